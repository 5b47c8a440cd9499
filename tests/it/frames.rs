//! Frames that no decent client sends: which of them end the connection, which are only answered, and that none of
//! them changes anything.

use serde_json::{Value, json};

use crate::support::{FIN, Person, Raw, TEXT, TestApp, frame};

const BINARY: u8 = 0x2;

/// A frame whose payload is not masked, as only a server may send it.
fn unmasked(payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![FIN | TEXT, u8::try_from(payload.len()).unwrap()];
    bytes.extend(payload);
    bytes
}

async fn seated(app: &TestApp) -> (Person, i64) {
    let sumi = app.person("수미").await;
    let room = sumi.make_room().await;
    (sumi, room)
}

/// What could have changed: where somebody sits, with which goal, and who is a friend.
async fn state(person: &Person, room: i64) -> Value {
    let mut socket = person.connect().await;
    let hello = socket.hello().await;
    let place = hello["channels"][format!("room:{room}")]["off"].clone();
    socket.close().await;
    json!([hello["room"]["id"], hello["room"]["members"][0]["goal"], hello["friends"], hello["requests"], place])
}

#[tokio::test]
async fn what_is_not_this_protocol_ends_the_connection() {
    let app = TestApp::start().await;
    let (sumi, room) = seated(&app).await;
    let mut watcher = Raw::connect(&sumi, "/ws").await;
    let before = state(&sumi, room).await;
    let leave = br#"{"id":1,"op":"room.leave"}"#;
    let seventeen = format!("{}\n", String::from_utf8_lossy(leave)).repeat(17);
    let half = format!("{}\nno JSON", String::from_utf8_lossy(leave));
    let mut huge = vec![FIN | TEXT, 0x80 | 127];
    huge.extend(u64::MAX.to_be_bytes());
    huge.extend([0; 4]);
    for (what, bytes, code) in [
        ("no JSON", frame(FIN | TEXT, b"hello"), 4501),
        ("half of an object", frame(FIN | TEXT, br#"{"id":1,"op":"room.leave""#), 4501),
        ("two objects in a line", frame(FIN | TEXT, br#"{"op":"whoami"}{"op":"room.leave"}"#), 4501),
        ("a good message before a bad one", frame(FIN | TEXT, half.as_bytes()), 4501),
        ("nothing", frame(FIN | TEXT, b""), 4501),
        ("blank lines", frame(FIN | TEXT, b"\n\n"), 4501),
        ("a byte-order mark", frame(FIN | TEXT, b"\xef\xbb\xbf{\"op\":\"room.leave\"}"), 4501),
        ("a binary frame", frame(FIN | BINARY, leave), 4501),
        ("seventeen messages", frame(FIN | TEXT, seventeen.as_bytes()), 4501),
        ("invalid UTF-8", frame(FIN | TEXT, b"{\"op\":\"\xff\xfe\"}"), 4501),
        ("a surrogate in UTF-8", frame(FIN | TEXT, b"\"\xed\xa0\x80\""), 4501),
        ("no mask", unmasked(leave), 4501),
        ("the first reserved bit: nothing is compressed", frame(FIN | 0x40 | TEXT, leave), 4501),
        ("the second reserved bit", frame(FIN | 0x20 | TEXT, leave), 4501),
        ("the third reserved bit", frame(FIN | 0x10 | TEXT, leave), 4501),
        ("a reserved kind", frame(FIN | 0x3, leave), 4501),
        ("a reserved control kind", frame(FIN | 0xb, b""), 4501),
        ("the continuation of nothing", frame(FIN, leave), 4501),
        ("a ping in pieces", frame(0x9, b"x"), 4501),
        ("a ping that is too long", frame(FIN | 0x9, &[b'x'; 126]), 4501),
        ("a text within a text", [frame(TEXT, b"{"), frame(FIN | TEXT, leave)].concat(), 4501),
        ("17 KiB", frame(FIN | TEXT, &vec![b' '; 17 * 1024]), 1009),
        ("the length of everything", huge, 1009),
    ] {
        let mut raw = Raw::connect(&sumi, "/ws").await;
        raw.send(&bytes).await;
        let (closed, bye) = raw.expect_close().await;
        assert_eq!((closed, &bye["code"]), (code, &json!(code)), "{what}");
    }
    assert_eq!(state(&sumi, room).await, before);
    watcher.send(&frame(FIN | TEXT, br#"{"id":2,"op":"whoami"}"#)).await;
    assert_eq!(watcher.message().await["ok"]["room"], room, "another connection never noticed");
    drop(watcher);
    app.stop().await;
}

#[tokio::test]
async fn what_is_only_wrong_is_answered_and_the_connection_lives_on() {
    let app = TestApp::start().await;
    let (sumi, room) = seated(&app).await;
    let hana = app.person("하나").await;
    let mut raw = Raw::connect(&sumi, "/ws").await;
    let before = state(&sumi, room).await;
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let cases = [
        ("a number", "7".to_owned(), None, "malformed_message"),
        ("nothing at all", "null".to_owned(), None, "malformed_message"),
        ("a text", r#""room.leave""#.to_owned(), None, "malformed_message"),
        ("a list", r#"["room.leave"]"#.to_owned(), None, "malformed_message"),
        ("a deep list", deep(8000), None, "malformed_message"),
        ("no op", r#"{"id":1}"#.to_owned(), Some(1), "malformed_message"),
        ("an op of null", r#"{"id":1,"op":null}"#.to_owned(), Some(1), "malformed_message"),
        ("an op of the wrong type", r#"{"id":1,"op":7}"#.to_owned(), Some(1), "malformed_message"),
        ("an unknown op", r#"{"id":1,"op":"room.burn"}"#.to_owned(), Some(1), "unknown_op"),
        ("an op in capitals", r#"{"id":1,"op":"ROOM.LEAVE"}"#.to_owned(), Some(1), "unknown_op"),
        ("an op that is prose", r#"{"id":1,"op":"\",\"d\":{}"}"#.to_owned(), Some(1), "unknown_op"),
        ("a negative id", r#"{"id":-1,"op":"room.leave"}"#.to_owned(), None, "wrong_type"),
        ("an id beyond u32", r#"{"id":4294967296,"op":"room.leave"}"#.to_owned(), None, "wrong_type"),
        ("an id beyond every number", r#"{"id":1e999,"op":"room.leave"}"#.to_owned(), None, "wrong_type"),
        ("half an id", r#"{"id":1.5,"op":"room.leave"}"#.to_owned(), None, "wrong_type"),
        ("an id of the wrong type", r#"{"id":"x","op":"room.leave"}"#.to_owned(), None, "wrong_type"),
        ("a deep id", format!(r#"{{"id":{},"op":"room.leave"}}"#, deep(8000)), None, "wrong_type"),
        ("no arguments", r#"{"id":1,"op":"room.enter"}"#.to_owned(), Some(1), "malformed_message"),
        (
            "arguments in a list",
            format!(r#"{{"id":1,"op":"friend.request","d":[{}]}}"#, hana.id),
            Some(1),
            "malformed_message",
        ),
        ("arguments in a text", r#"{"id":1,"op":"goal.set","d":"x"}"#.to_owned(), Some(1), "malformed_message"),
        ("arguments of true", r#"{"id":1,"op":"room.leave","d":true}"#.to_owned(), Some(1), "malformed_message"),
        ("a missing field", r#"{"id":1,"op":"room.cheer","d":{}}"#.to_owned(), Some(1), "malformed_message"),
        ("a field of null", r#"{"id":1,"op":"room.cheer","d":{"text":null}}"#.to_owned(), Some(1), "malformed_message"),
        (
            "a field of the wrong type",
            r#"{"id":1,"op":"goal.set","d":{"text":7}}"#.to_owned(),
            Some(1),
            "malformed_message",
        ),
        (
            "a room that is a text",
            r#"{"id":1,"op":"room.enter","d":{"room":"1"}}"#.to_owned(),
            Some(1),
            "malformed_message",
        ),
        (
            "a room beyond i64",
            r#"{"id":1,"op":"room.enter","d":{"room":9223372036854775808}}"#.to_owned(),
            Some(1),
            "malformed_message",
        ),
        (
            "a room beyond every number",
            r#"{"id":1,"op":"room.enter","d":{"room":1e999}}"#.to_owned(),
            Some(1),
            "malformed_message",
        ),
        (
            "the last room of all",
            r#"{"id":1,"op":"room.enter","d":{"room":9223372036854775807}}"#.to_owned(),
            Some(1),
            "room_not_found",
        ),
        ("a room below zero", r#"{"id":1,"op":"room.enter","d":{"room":-1}}"#.to_owned(), Some(1), "room_not_found"),
        ("deep arguments", format!(r#"{{"id":1,"op":"room.leave","d":{}}}"#, deep(8000)), Some(1), "malformed_message"),
        (
            "a deep argument",
            format!(r#"{{"id":1,"op":"goal.set","d":{{"text":{}}}}}"#, deep(8000)),
            Some(1),
            "malformed_message",
        ),
        (
            "half a character",
            r#"{"id":1,"op":"goal.set","d":{"text":"\ud800"}}"#.to_owned(),
            Some(1),
            "malformed_message",
        ),
        (
            "a hidden character",
            r#"{"id":1,"op":"goal.set","d":{"text":"a\u202eb"}}"#.to_owned(),
            Some(1),
            "invalid_characters",
        ),
        (
            "a place below zero",
            r#"{"id":1,"op":"sync","d":{"since":{"room:1":["e",-1]}}}"#.to_owned(),
            Some(1),
            "malformed_message",
        ),
        (
            "a channel of no kind",
            r#"{"id":1,"op":"sync","d":{"since":{"lobby":["e",1]}}}"#.to_owned(),
            Some(1),
            "malformed_message",
        ),
        (
            "a second auth",
            format!(r#"{{"id":1,"op":"auth","d":{{"token":"{}"}}}}"#, hana.token),
            Some(1),
            "malformed_message",
        ),
    ];
    for (what, text, id, code) in cases {
        raw.send(&frame(FIN | TEXT, text.as_bytes())).await;
        let answer = raw.message().await;
        assert_eq!((&answer["id"], &answer["err"]["code"]), (&json!(id), &json!(code)), "{what}: {answer}");
        assert!(answer["err"]["message"].as_str().is_some_and(|sentence| !sentence.is_empty()), "{what}");
    }
    // Unknown fields are no mistake, wherever they stand and whatever they hold.
    let later = format!(r#"{{"later":{},"d":{{"more":1e999}},"id":9,"op":"whoami"}}"#, deep(4000));
    raw.send(&frame(FIN | TEXT, later.as_bytes())).await;
    let answer = raw.message().await;
    assert_eq!((&answer["id"], &answer["ok"]["room"]), (&json!(9), &json!(room)));
    assert_eq!(state(&sumi, room).await, before);
    drop(raw);
    app.stop().await;
}

#[tokio::test]
async fn frames_in_pieces_and_pings_between_them_are_fine() {
    let app = TestApp::start().await;
    let (sumi, room) = seated(&app).await;
    let mut raw = Raw::connect(&sumi, "/ws").await;
    // A character may be torn apart where a piece ends.
    let text = r#"{"id":1,"op":"goal.set","d":{"text":"수학"}}"#.as_bytes();
    let torn = text.len() - 7;
    raw.send(&frame(TEXT, &text[..torn])).await;
    raw.send(&frame(FIN | 0x9, b"still there?")).await;
    raw.send(&frame(FIN, &text[torn..])).await;
    assert_eq!(raw.next().await, (0xa, b"still there?".to_vec()));
    let (mut answered, mut told) = (false, false);
    while !(answered && told) {
        let message = raw.message().await;
        answered |= message["ok"] == json!({"text": "수학"});
        told |= message["ev"] == "goal.changed" && message["ch"] == format!("room:{room}");
    }
    drop(raw);
    app.stop().await;
}
