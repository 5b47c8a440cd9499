//! Two instances are one service: what is done at one is seen at the other, and either may go.

use serde_json::json;

use crate::support::{TestApp, prefix, redis};

/// Two instances on one database and one Redis.
struct Pair {
    // The second stands on what the first owns: it goes first.
    two: TestApp,
    one: TestApp,
}

impl Pair {
    async fn start(settings: &[(&str, &str)]) -> Option<Self> {
        let (url, prefix) = (redis()?, prefix());
        let shared = [("broker.redis_url", &*url), ("broker.prefix", &*prefix)];
        let settings: Vec<_> = shared.iter().chain(settings).copied().collect();
        let one = TestApp::with(&settings).await;
        let two = one.beside(&settings).await;
        Some(Self { two, one })
    }

    async fn stop(self) {
        self.two.stop().await;
        self.one.stop().await;
    }
}

#[tokio::test]
async fn a_room_is_one_on_both_instances() {
    let Some(pair) = Pair::start(&[]).await else { return };
    let (sumi, hana) = (pair.one.person("수미").await, pair.one.person("하나").await);
    let room = sumi.make_room().await;
    let mut a = sumi.connect().await;
    let hello = a.hello().await;
    assert_eq!(hello["room"]["members"][0]["online"], true);
    let hana = hana.at(&pair.two);
    let mut b = hana.connect().await;
    assert_ne!(b.hello().await["instance"], hello["instance"]);

    let entered = b.call("room.enter", json!({"room": room})).await.unwrap();
    assert_eq!(entered["room"]["members"].as_array().unwrap().len(), 2);
    let heard = a.expect("room.entered").await;
    assert_eq!((&heard["d"]["member"]["id"], &heard["d"]["member"]["online"]), (&json!(hana.id), &json!(true)));
    let said = b.call("room.cheer", json!({"text": "화이팅"})).await.unwrap();
    assert_eq!(a.expect("room.cheer").await["off"], said["off"]);
    assert_eq!(b.expect("room.cheer").await["off"], said["off"]);

    // Both say something at once; both hear the same in the same order.
    for number in 0..20 {
        let (one, two) = (json!({"text": format!("하나 {number}")}), json!({"text": format!("둘 {number}")}));
        let (one, two) = tokio::join!(a.call("room.cheer", one), b.call("room.cheer", two));
        assert_ne!(one.unwrap()["off"], two.unwrap()["off"]);
    }
    for _ in 0..40 {
        assert_eq!(a.expect("room.cheer").await, b.expect("room.cheer").await);
    }
    b.call("room.leave", json!({})).await.unwrap();
    assert_eq!(a.expect("room.exited").await["d"]["user"], hana.id);
    a.close().await;
    b.close().await;
    pair.stop().await;
}
