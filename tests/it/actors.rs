//! What every other test relies on: the people and the sockets of `support` are what they seem to be.

use serde_json::json;

use crate::support::{PASSWORD, Person, TestApp, WsClient};

async fn connected(person: &Person) -> WsClient {
    let mut socket = person.connect().await;
    socket.hello().await;
    socket
}

#[tokio::test]
async fn a_person_put_into_the_database_is_like_one_who_signed_up() {
    let app = TestApp::start().await;
    let mut profiles = Vec::new();
    for person in [app.person("수미").await, app.signed_up("수미").await] {
        let login = app.post("/rest-auth/login/", json!({"email": person.email, "password": PASSWORD})).await.bare(200);
        assert_eq!(
            (&login["user"]["pk"], &login["user"]["first_name"]),
            (&json!(person.id), &json!(person.first_name))
        );
        let mut profile = person.get(&format!("/accounts/{}/", person.id)).await.ok();
        assert_eq!((profile["id"].take(), profile["email"].take()), (json!(person.id), json!(person.email)));
        profiles.push(profile);
    }
    assert_eq!(profiles[0], profiles[1]);
    app.stop().await;
}

#[tokio::test]
async fn a_socket_answers_calls_and_proves_silence() {
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    let protocols = format!("solgik.v1, bearer.{}", sumi.token);
    let mut socket = app.open("/ws/", &[("sec-websocket-protocol", &protocols)]).await.unwrap();
    assert_eq!(socket.subprotocol.as_deref(), Some("solgik.v1"));
    assert_eq!(socket.hello().await["user"]["id"], sumi.id);
    assert_eq!(socket.call("fly", json!({})).await.unwrap_err()["code"], "unknown_op");
    socket.expect_silence().await;
    sumi.post("/rooms/", json!({"name": "새벽반"})).await.ok();
    socket.expect("room.moved").await;
    socket.raw_send("no JSON").await;
    let (code, bye) = socket.expect_close().await;
    assert_eq!((code, &bye["code"]), (4501, &json!(4501)));
    app.stop().await;
}

#[tokio::test]
async fn a_refused_upgrade_is_a_reply() {
    let app = TestApp::start().await;
    let refused = app.open("/ws", &[("origin", "https://evil.example")]).await.unwrap_err();
    refused.refused(403, "origin_refused");
    app.stop().await;
}

#[tokio::test]
async fn a_lost_connection_is_not_a_goodbye_and_a_silent_one_is_noticed() {
    let app =
        TestApp::with(&[("presence.grace_secs", "0"), ("socket.heartbeat_secs", "1"), ("socket.answer_secs", "2")])
            .await;
    let (sumi, hana) = (app.person("수미").await, app.person("하나").await);
    let room = sumi.post("/rooms/", json!({"name": "새벽반"})).await.ok()["id"].clone();
    let (mut watcher, leaver) = (connected(&sumi).await, connected(&hana).await);
    hana.post(&format!("/rooms/{room}/"), json!({})).await.ok();
    leaver.abort().await;
    let offline = watcher.expect("presence.offline").await;
    assert_eq!((&offline["d"]["user"], &offline["d"]["reason"]), (&json!(hana.id), &json!("disconnected")));

    // Whoever answers heartbeats stays longer than whoever does not.
    let mut silent = connected(&hana).await;
    silent.answer_heartbeats(false);
    assert_eq!(silent.expect_close().await.0, 4006);
    watcher.call("whoami", json!({})).await.unwrap();
    watcher.close().await;
    app.stop().await;
}
