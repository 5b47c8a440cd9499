//! The socket, promise by promise.

use serde_json::json;

use crate::support::TestApp;

#[tokio::test]
async fn two_people_see_each_other_come_and_go() {
    let app = TestApp::start().await;
    let (sumi, hana) = (app.person("수미").await, app.person("하나").await);
    let room = sumi.post("/rooms/", json!({"name": "새벽반"})).await.ok()["id"].as_i64().unwrap();
    let mut sumi_socket = sumi.connect().await;
    let hello = sumi_socket.hello().await;
    assert_eq!(hello["room"]["id"], room);
    assert_eq!(hello["room"]["members"][0]["online"], true);
    let mut hana_socket = hana.connect().await;
    hana_socket.hello().await;
    let entered = hana_socket.call("room.enter", json!({"room": room})).await.unwrap();
    assert_eq!(entered["room"]["members"][1]["id"], hana.id);
    let event = sumi_socket.expect("room.entered").await;
    assert_eq!(event["d"]["member"]["id"], hana.id);
    assert_eq!(event["d"]["member"]["online"], true);
    hana_socket.call("friend.request", json!({"user": sumi.id})).await.unwrap();
    assert_eq!(sumi_socket.expect("friend.requested").await["d"]["user"], hana.id);
    hana_socket.call("room.leave", json!({})).await.unwrap();
    assert_eq!(sumi_socket.expect("room.exited").await["d"]["user"], hana.id);
    app.stop().await;
}
