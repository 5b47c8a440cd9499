//! Every number with which a socket is closed, each after a `bye` that says the same.
//!
//! 4003 (the token expired), 4500 (a bad token) and 4503 (the session ended) are closes of promises and of the door:
//! `promises.rs` and `socket.rs` have them too. 4009 is reserved: an instance that is full refuses by HTTP.

use serde_json::{Value, json};
use solgik::realtime::CloseReason;

use super::promises::sign_out;
use crate::support::{Raw, TestApp, WsClient, frame};

#[track_caller]
fn said(closed: &(u16, Value), reason: CloseReason) {
    let expected = json!({"code": reason.code(), "reason": reason.as_str()});
    assert_eq!(closed, &(reason.code(), expected));
}

async fn greeted(mut socket: WsClient) -> WsClient {
    socket.hello().await;
    socket
}

#[tokio::test]
async fn threat_12_1009_a_frame_is_too_big() {
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    let whoami = |size: usize| {
        let text = json!({"id": 1, "op": "whoami"}).to_string();
        format!("{text}{}", " ".repeat(size - text.len()))
    };
    let mut socket = greeted(sumi.connect().await).await;
    socket.raw_send(whoami(16 * 1024)).await;
    assert_eq!(socket.answer(Some(1)).await["ok"]["user"]["id"], sumi.id, "just small enough");
    socket.raw_send(whoami(16 * 1024 + 1)).await;
    said(&socket.expect_close().await, CloseReason::TooBig);
    let mut socket = greeted(sumi.connect().await).await;
    socket.raw_send(whoami(17 * 1024)).await;
    said(&socket.expect_close().await, CloseReason::TooBig);
    app.stop().await;
}

#[tokio::test]
async fn threat_12_1009_pieces_are_counted_together() {
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    let mut raw = Raw::connect(&sumi, "/ws").await;
    let piece = vec![b' '; 6000];
    for first in [0x01, 0x00, 0x00] {
        raw.send(&frame(first, &piece)).await;
    }
    said(&raw.expect_close().await, CloseReason::TooBig);
    drop(raw);
    app.stop().await;
}

/// Whoever goes on sending after what is refused must still be able to read why.
#[tokio::test]
async fn threat_12_1009_reaches_who_is_still_sending() {
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    let mut raw = Raw::connect(&sumi, "/ws").await;
    let mut megabyte = vec![0x81, 0x80 | 127];
    megabyte.extend((1_u64 << 20).to_be_bytes());
    megabyte.extend([0; 4]);
    megabyte.resize(megabyte.len() + (1 << 20), b' ');
    raw.send(&megabyte).await;
    said(&raw.expect_close().await, CloseReason::TooBig);
    drop(raw);
    app.stop().await;
}

#[tokio::test]
async fn close_4001_the_instance_goes_and_says_when_to_come_back() {
    let app = TestApp::start().await;
    let (sumi, hana) = (app.person("수미").await, app.person("하나").await);
    sumi.befriend(&hana).await;
    let mut sockets = [greeted(sumi.connect().await).await, greeted(hana.connect().await).await];
    sockets[0].expect("friend.online").await;
    app.begin_stop();
    for socket in &mut sockets {
        let (code, bye) = socket.expect_close().await;
        assert_eq!((code, &bye["code"], &bye["reason"]), (4001, &json!(4001), &json!("draining")));
        assert!((500..5000).contains(&bye["reconnect_ms"].as_u64().unwrap()), "{bye}");
        assert!(socket.events_so_far().is_empty(), "nobody is said to be gone");
    }
    app.stop().await;
}

#[tokio::test]
async fn close_4002_the_server_is_broken() {
    let app = TestApp::with(&[("database.acquire_secs", "1")]).await;
    let sumi = app.person("수미").await;
    let mut before = greeted(sumi.connect().await).await;
    // The session is known, the rows can't be reached.
    app.app.db.close().await;
    let jwt = format!("JWT {}", sumi.token);
    let mut socket = app.open("/ws", &[("authorization", &jwt)]).await.unwrap();
    said(&socket.expect_close().await, CloseReason::ServerError);
    let refused = before.call("room.leave", json!({})).await.unwrap_err();
    assert!(["unavailable", "internal"].contains(&refused["code"].as_str().unwrap()), "{refused}");
    before.answer_heartbeats(true);
    before.raw_send("{}").await;
    app.stop().await;
}

#[tokio::test]
async fn close_4006_a_heartbeat_is_not_answered() {
    let app = TestApp::with(&[("socket.heartbeat_secs", "1"), ("socket.answer_secs", "1")]).await;
    let sumi = app.person("수미").await;
    let (mut dead, mut alive) = (greeted(sumi.connect().await).await, greeted(sumi.connect().await).await);
    dead.answer_heartbeats(false);
    said(&dead.expect_close().await, CloseReason::NoAnswer);
    alive.expect_silence().await;
    app.stop().await;
}

#[tokio::test]
async fn close_4007_the_third_violation_of_the_rate() {
    let app = TestApp::with(&[("limits.messages_per_second", "10")]).await;
    let sumi = app.person("수미").await;
    let mut socket = greeted(sumi.connect().await).await;
    let frame = |from: u32| {
        let lines: Vec<_> = (from..from + 16).map(|id| json!({"id": id, "op": "fly"}).to_string()).collect();
        lines.join("\n")
    };
    for from in [1, 17, 33, 49] {
        socket.raw_send(frame(from)).await;
    }
    let (mut carried_out, mut refused) = (0, 0);
    for id in 1.. {
        let err = match socket.answer_or_close(id).await {
            Ok(answer) => answer["err"].clone(),
            Err(closed) => {
                said(&closed, CloseReason::Rate);
                break;
            }
        };
        match err["code"].as_str().unwrap() {
            "unknown_op" => carried_out += 1,
            _ => {
                assert_eq!((&err["code"], &err["retry_ms"]), (&json!("too_many_requests"), &json!(1000)));
                refused += 1;
            }
        }
    }
    assert!((20..30).contains(&carried_out), "{carried_out} at once");
    assert_eq!(refused, 2);
    app.stop().await;
}

#[tokio::test]
async fn this_machine_itself_is_not_limited_unless_the_rate_is_set() {
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    let mut socket = greeted(sumi.connect().await).await;
    for id in 1..=200 {
        socket.raw_send(json!({"id": id, "op": "fly"}).to_string()).await;
    }
    for id in 1..=200 {
        assert_eq!(socket.answer(Some(id)).await["err"]["code"], "unknown_op");
    }
    app.stop().await;
}

#[tokio::test]
async fn close_4010_nobody_authenticates() {
    let app = TestApp::with(&[("socket.auth_secs", "1")]).await;
    let mut silent = app.open("/ws", &[]).await.unwrap();
    let mut talkative = app.open("/ws", &[]).await.unwrap();
    talkative.call("whoami", json!({})).await.unwrap_err();
    said(&silent.expect_close().await, CloseReason::AuthTimeout);
    said(&talkative.expect_close().await, CloseReason::AuthTimeout);
    app.stop().await;
}

#[tokio::test]
async fn close_4500_whoever_talks_and_talks_and_does_not_authenticate() {
    let app = TestApp::start().await;
    let mut socket = app.open("/ws", &[]).await.unwrap();
    for _ in 0..8 {
        socket.call("whoami", json!({})).await.unwrap_err();
    }
    said(&socket.expect_close().await, CloseReason::Unauthorized);
    app.stop().await;
}

#[tokio::test]
async fn close_4501_what_comes_is_not_this_protocol() {
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    let mut socket = greeted(sumi.connect().await).await;
    socket.raw_send("hello?").await;
    said(&socket.expect_close().await, CloseReason::BadProtocol);
    let mut stranger = app.open("/ws", &[]).await.unwrap();
    stranger.raw_send("GET / HTTP/1.1").await;
    said(&stranger.expect_close().await, CloseReason::BadProtocol);
    app.stop().await;
}

#[tokio::test]
async fn close_4503_the_session_ends() {
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    let mut socket = greeted(sumi.connect().await).await;
    sign_out(&sumi).await;
    said(&socket.expect_close().await, CloseReason::SessionEnded);
    app.stop().await;
}

#[tokio::test]
async fn threat_13_close_4504_a_ninth_device_takes_the_place_of_the_first() {
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    let mut devices = Vec::new();
    for _ in 0..9 {
        devices.push(greeted(sumi.connect().await).await);
    }
    let mut first = devices.remove(0);
    said(&first.expect_close().await, CloseReason::Replaced);
    for device in &mut devices {
        device.expect_silence().await;
    }
    app.stop().await;
}

#[tokio::test]
async fn close_4505_the_account_is_gone() {
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    let mut socket = greeted(sumi.connect().await).await;
    sumi.delete(&format!("/accounts/{}/", sumi.id)).await.ok();
    said(&socket.expect_close().await, CloseReason::AccountDeleted);
    app.stop().await;
}

#[tokio::test]
async fn close_4506_another_version_is_asked_for() {
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    let jwt = format!("JWT {}", sumi.token);
    let bearer = format!("solgik.v2, bearer.{}", sumi.token);
    for headers in [
        vec![("sec-websocket-protocol", "solgik.v2")],
        vec![("sec-websocket-protocol", "solgik.v2"), ("authorization", &*jwt)],
        vec![("sec-websocket-protocol", &*bearer)],
        vec![("sec-websocket-protocol", "graphql-ws")],
    ] {
        let mut raw = Raw::open(&app, "/ws", &headers).await;
        said(&raw.expect_close().await, CloseReason::Version);
    }
    // Whoever speaks several versions is answered in ours.
    let both = [("sec-websocket-protocol", "solgik.v2, solgik.v1"), ("authorization", &*jwt)];
    let socket = greeted(app.open("/ws", &both).await.unwrap()).await;
    assert_eq!(socket.subprotocol.as_deref(), Some("solgik.v1"));
    app.stop().await;
}
