//! The cases of the public Autobahn suite for servers that apply here, by their numbers, in our own words.
//!
//! That suite wants every message echoed; what comes back here is the answer to a `whoami` that the message holds. Left out
//! are its cases of speed (9, but for the limit), of compression (12 and 13: it is never agreed on), and of binary
//! messages, which this protocol has none of. Where the suite lets a server choose how it fails, so does this table.

use serde_json::{Value, json};

use crate::support::{CLOSE, FIN, Person, Raw, TEXT, TestApp, frame};

const CONTINUATION: u8 = 0x0;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

/// Numbers of a close that says that the peer broke the protocol, or sent what is no text.
const FAILURES: [u16; 3] = [1002, 1007, 4501];

/// What comes of a case.
enum Comes {
    /// These pongs, in order, and so many answers; the connection lives on.
    Answers(Vec<Vec<u8>>, usize),
    /// The connection is failed, after so many answers.
    Fails(usize),
    /// The connection is closed as too much was sent.
    TooBig,
    /// The close is answered in kind, and nothing behind it.
    Closes(Option<u16>),
}

use Comes::{Answers, Closes, Fails, TooBig};

/// A `whoami` that is so many bytes long.
fn whoami(length: usize) -> Vec<u8> {
    let bare = r#"{"id":1,"op":"whoami","more":""}"#;
    format!(r#"{{"id":1,"op":"whoami","more":"{}"}}"#, "*".repeat(length - bare.len())).into_bytes()
}

/// A `whoami` with `bytes` in it, as they are.
fn with(bytes: &[u8]) -> Vec<u8> {
    [&br#"{"id":1,"op":"whoami","more":""#[..], bytes, br#""}"#].concat()
}

fn text(payload: &[u8]) -> Vec<u8> {
    frame(FIN | TEXT, payload)
}

/// A text in pieces of so many bytes.
fn pieces(payload: &[u8], length: usize) -> Vec<Vec<u8>> {
    let last = payload.len().div_ceil(length) - 1;
    let kind = |index| if index == 0 { TEXT } else { CONTINUATION } | if index == last { FIN } else { 0 };
    payload.chunks(length).enumerate().map(|(index, piece)| frame(kind(index), piece)).collect()
}

fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(FIN | CLOSE, &[&code.to_be_bytes()[..], reason].concat())
}

/// Sends `parts`, at once or byte by byte, and checks what comes.
async fn check(person: &Person, name: &str, parts: &[Vec<u8>], bytewise: bool, comes: &Comes) {
    let mut raw = Raw::connect(person, "/ws").await;
    let bytes = parts.concat();
    if bytewise {
        for byte in &bytes {
            raw.send(&[*byte]).await;
        }
    } else {
        raw.send(&bytes).await;
    }
    let name = format!("{name}, byte by byte: {bytewise}");
    match comes {
        Answers(pongs, answers) => {
            raw.send(&text(br#"{"id":999,"op":"whoami"}"#)).await;
            let (mut heard, mut answered) = (Vec::new(), 0);
            loop {
                match raw.next().await {
                    (PONG, payload) => heard.push(payload),
                    (TEXT, payload) => {
                        let message: Value = serde_json::from_slice(&payload).unwrap();
                        assert!(message["ok"].is_object(), "{name}: {message}");
                        if message["id"] == json!(999) {
                            break;
                        }
                        answered += 1;
                    }
                    other => panic!("{name}: {other:?}"),
                }
            }
            assert_eq!((&heard, answered), (pongs, *answers), "{name}");
        }
        Fails(answers) => {
            let frames = raw.until_end().await;
            let code = closed_with(&frames, &name).expect("a failure has a number");
            assert!(FAILURES.contains(&code), "{name}: {code}");
            assert_eq!(count_answers(&frames), *answers, "{name}: {frames:?}");
        }
        TooBig => assert_eq!(closed_with(&raw.until_end().await, &name), Some(1009), "{name}"),
        Closes(code) => {
            let frames = raw.until_end().await;
            let answered = closed_with(&frames, &name);
            // Whoever is told no number may say that all was well.
            assert!(answered == *code || code.is_none() && answered == Some(1000), "{name}: {answered:?}");
            assert!(frames.iter().all(|(kind, _)| *kind != PONG), "{name}: {frames:?}");
        }
    }
}

/// The number of the close, which is the last frame, and the only one of its kind.
fn closed_with(frames: &[(u8, Vec<u8>)], name: &str) -> Option<u16> {
    let closes: Vec<_> = frames.iter().filter(|(kind, _)| *kind == CLOSE).collect();
    assert_eq!(closes.len(), 1, "{name}: {frames:?}");
    let (kind, payload) = frames.last().unwrap();
    assert_eq!(*kind, CLOSE, "{name}: {frames:?}");
    payload.first_chunk().map(|code| u16::from_be_bytes(*code))
}

fn count_answers(frames: &[(u8, Vec<u8>)]) -> usize {
    let is_answer = |payload: &[u8]| serde_json::from_slice::<Value>(payload).unwrap()["ok"].is_object();
    frames.iter().filter(|(kind, payload)| *kind == TEXT && is_answer(payload)).count()
}

async fn check_all(cases: Vec<(String, Vec<Vec<u8>>, Comes)>) {
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    for (name, parts, comes) in &cases {
        for bytewise in [false, true] {
            // Byte by byte, a long one is no other case than a short one.
            if !bytewise || parts.iter().map(Vec::len).sum::<usize>() < 1000 {
                check(&sumi, name, parts, bytewise, comes).await;
            }
        }
    }
    app.stop().await;
}

fn case(name: impl ToString, parts: Vec<Vec<u8>>, comes: Comes) -> (String, Vec<Vec<u8>>, Comes) {
    (name.to_string(), parts, comes)
}

#[tokio::test]
async fn cases_1_and_2_lengths_pings_and_pongs() {
    let mut cases: Vec<_> = [125, 126, 127, 128, 4096, 16_384]
        .map(|length| case(format!("1.1 a text of {length}"), vec![text(&whoami(length))], Answers(vec![], 1)))
        .into();
    cases.push(case("1.1, 9: a text beyond the limit", vec![text(&whoami(16_385))], TooBig));
    let all_bytes: Vec<u8> = (0..=124).map(|byte: u8| byte.wrapping_mul(37) | 0x80).collect();
    for (name, payload) in [
        ("2.1 an empty ping", &b""[..]),
        ("2.2 a ping of text", b"Hello, world!"),
        ("2.3 a ping of any bytes", b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff"),
        ("2.4 the longest ping", &all_bytes),
    ] {
        cases.push(case(name, vec![frame(FIN | PING, payload)], Answers(vec![payload.to_vec()], 0)));
    }
    let ten: Vec<_> = (0..10).map(|number| format!("payload-{number}").into_bytes()).collect();
    cases.extend([
        case("2.5 a ping that is too long", vec![frame(FIN | PING, &[b'*'; 126])], Fails(0)),
        case("2.7 a pong that nobody wanted", vec![frame(FIN | PONG, b"")], Answers(vec![], 0)),
        case("2.8 a pong with a payload", vec![frame(FIN | PONG, b"unsolicited")], Answers(vec![], 0)),
        case(
            "2.9 a pong, then a ping",
            vec![frame(FIN | PONG, b"unsolicited"), frame(FIN | PING, b"ping")],
            Answers(vec![b"ping".to_vec()], 0),
        ),
        case("2.10, 2.11 ten pings", ten.iter().map(|ping| frame(FIN | PING, ping)).collect(), Answers(ten, 0)),
    ]);
    check_all(cases).await;
}

#[tokio::test]
async fn cases_3_and_4_reserved_bits_and_kinds() {
    let good = text(&whoami(40));
    let mut cases = Vec::new();
    for bits in 1..=7_u8 {
        let reserved = bits << 4;
        for (name, bad) in [
            ("a text", frame(FIN | reserved | TEXT, &whoami(40))),
            ("a ping", frame(FIN | reserved | PING, b"")),
            ("a close", frame(FIN | reserved | CLOSE, &1000_u16.to_be_bytes())),
        ] {
            let parts = vec![good.clone(), bad, frame(FIN | PING, b"")];
            cases.push(case(format!("3 reserved bits {bits} of {name}"), parts, Fails(1)));
        }
    }
    for kind in (3..=7_u8).chain(11..=15) {
        for payload in [&b""[..], b"reserved"] {
            let parts = vec![good.clone(), frame(FIN | kind, payload), frame(FIN | PING, b"")];
            cases.push(case(format!("4 the reserved kind {kind}"), parts, Fails(1)));
        }
    }
    check_all(cases).await;
}

#[tokio::test]
async fn cases_5_fragments() {
    let whole = whoami(64);
    let two = pieces(&whole, 32);
    let (start, end) = (two[0].clone(), two[1].clone());
    let ping = |payload: &[u8]| frame(FIN | PING, payload);
    let pongs = |count: usize| (0..count).map(|_| b"ping".to_vec()).collect::<Vec<_>>();
    let orphan = frame(FIN | CONTINUATION, b"no beginning");
    let orphan_start = frame(CONTINUATION, b"no beginning");
    let mut long = pieces(&whole, 7);
    for at in (1..long.len()).rev() {
        long.insert(at, ping(b"ping"));
    }
    let between = long.iter().filter(|part| part[0] == FIN | PING).count();
    check_all(vec![
        case("5.1 a ping in two", vec![frame(PING, b"p"), frame(FIN | CONTINUATION, b"ing")], Fails(0)),
        case("5.2 a pong in two", vec![frame(PONG, b"p"), frame(FIN | CONTINUATION, b"ong")], Fails(0)),
        case("5.3 to 5.5 a text in two", two.clone(), Answers(vec![], 1)),
        case("5.6 to 5.8 a ping between", vec![start.clone(), ping(b"ping"), end.clone()], Answers(pongs(1), 1)),
        case("5.9, 5.10 the continuation of nothing", vec![orphan.clone(), text(&whole)], Fails(0)),
        case("5.12 to 5.14 the same without an end", vec![orphan_start.clone(), text(&whole)], Fails(0)),
        case("5.15 one behind a text", vec![start.clone(), end.clone(), orphan.clone(), text(&whole)], Fails(1)),
        case("5.16, 5.17 and before one", vec![orphan_start, start.clone(), end.clone()], Fails(0)),
        case("5.18 a text within a text", vec![start.clone(), text(&whole)], Fails(0)),
        case("5.19, 5.20 pings between all pieces", long, Answers(pongs(between), 1)),
        case("6.1.2 pieces of nothing, and nothing else", vec![frame(TEXT, b""), frame(FIN, b"")], Fails(0)),
        case(
            "6.1.3 pieces of nothing around a text",
            vec![frame(TEXT, b""), frame(CONTINUATION, &whole), frame(FIN | CONTINUATION, b"")],
            Answers(vec![], 1),
        ),
        case("9 pieces that are too much together", pieces(&whoami(16_385), 4096), TooBig),
    ])
    .await;
}

#[tokio::test]
async fn cases_6_text() {
    let valid: [&[u8]; 12] = [
        "Hello-µ@ßöäüàá-UTF-8!!".as_bytes(),
        "κόσμε".as_bytes(),
        b"\x7f",
        b"\xc2\x80",
        b"\xdf\xbf",
        b"\xe0\xa0\x80",
        b"\xed\x9f\xbf",
        b"\xee\x80\x80",
        b"\xef\xbf\xbd",
        b"\xef\xbf\xbf",
        b"\xf0\x90\x80\x80",
        b"\xf4\x8f\xbf\xbf",
    ];
    let invalid: [&[u8]; 25] = [
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xfc\x84\x80\x80\x80\x80",
        b"\xf7\xbf\xbf\xbf",
        b"\x80",
        b"\xbf",
        b"\x80\xbf\x80\xbf",
        b"\xc0 \xc1 ",
        b"\xe0 \xef ",
        b"\xf0 \xf7 ",
        b"\xf8 ",
        b"\xc0",
        b"\xe0\x80",
        b"\xf0\x80\x80",
        b"\xdf",
        b"\xef\xbf",
        b"\xf7\xbf\xbf",
        b"\xfe",
        b"\xff",
        b"\xc0\xaf",
        b"\xe0\x80\xaf",
        b"\xf0\x80\x80\xaf",
        b"\xed\xbf\xbf",
        b"\xed\xa0\x80\xed\xb0\x80",
    ];
    let mut cases = vec![case("6.1.1 an empty text", vec![text(b"")], Fails(0))];
    for bytes in valid {
        let payload = with(bytes);
        cases.push(case(format!("6.2 to 6.22 {bytes:x?}"), vec![text(&payload)], Answers(vec![], 1)));
        cases.push(case(format!("6.2 {bytes:x?} in pieces of a byte"), pieces(&payload, 1), Answers(vec![], 1)));
    }
    for bytes in invalid {
        let payload = with(bytes);
        cases.push(case(format!("6.3 to 6.21 {bytes:x?}"), vec![text(&payload)], Fails(0)));
        cases.push(case(format!("6.3, 6.4 {bytes:x?} in pieces of a byte"), pieces(&payload, 1), Fails(0)));
    }
    check_all(cases).await;
}

#[tokio::test]
async fn cases_7_closing() {
    let good = text(&whoami(40));
    let ping = frame(FIN | PING, b"too late");
    let start = frame(TEXT, b"{");
    let normal = close(1000, b"");
    let mut cases = vec![
        case("7.1.1 after a text", vec![good.clone(), normal.clone()], Closes(Some(1000))),
        case("7.1.2 twice", vec![normal.clone(), normal.clone()], Closes(Some(1000))),
        case("7.1.3 a ping behind it", vec![normal.clone(), ping.clone()], Closes(Some(1000))),
        case("7.1.4 a text behind it", vec![normal.clone(), good], Closes(Some(1000))),
        case("7.1.5 within a text", vec![start, normal, ping], Closes(Some(1000))),
        case("7.3.1 without anything", vec![frame(FIN | CLOSE, b"")], Closes(None)),
        case("7.3.2 with half a number", vec![frame(FIN | CLOSE, b"\x03")], Fails(0)),
        case("7.3.4 with a reason", vec![close(1000, b"Hello World!")], Closes(Some(1000))),
        case("7.3.5 with the longest reason", vec![close(1000, &[b'*'; 123])], Closes(Some(1000))),
        case("7.3.6 with one that is too long", vec![close(1000, &[b'*'; 124])], Fails(0)),
        case("7.5.1 with one that is no text", vec![close(1000, b"\xce\xba\xed\xa0\x80edited")], Fails(0)),
    ];
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999] {
        cases.push(case(format!("7.7 the number {code}"), vec![close(code, b"")], Closes(Some(code))));
    }
    for code in [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65_535] {
        cases.push(case(format!("7.9, 7.13 the number {code}"), vec![close(code, b"")], Fails(0)));
    }
    check_all(cases).await;
}
