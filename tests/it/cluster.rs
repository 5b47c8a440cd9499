//! Two instances are one service: what is done at one is seen at the other, and either may go.

use std::time::Duration;

use entity::{AccountId, Millis, outbox};
use reqwest::Method;
use sea_orm::{ActiveValue::Set, EntityTrait};
use serde_json::{Value, json};
use solgik::{
    accounts, clock,
    realtime::{Event, broker::Message},
};

use crate::support::{Pair, Reply};

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

#[tokio::test]
async fn whoever_roams_resumes_where_it_left() {
    let Some(pair) = Pair::start(&[]).await else { return };
    let (sumi, hana) = (pair.one.person("수미").await, pair.one.person("하나").await);
    let room = sumi.make_room().await;
    hana.enter(room).await;
    let mut a = sumi.connect().await;
    a.hello().await;
    let mut b = hana.connect().await;
    let hello = b.hello().await;
    a.expect("presence.online").await;
    let name = format!("room:{room}");
    let (epoch, off) = (&hello["channels"][&name]["epoch"], hello["channels"][&name]["off"].as_u64().unwrap());
    b.abort().await;
    for number in 0..3 {
        a.call("room.cheer", json!({"text": format!("{number}")})).await.unwrap();
    }
    let mut again = pair.two.open("/ws", &[("sec-websocket-protocol", "solgik.v1")]).await.unwrap();
    again
        .raw_send(json!({"op": "auth", "d": {"token": hana.token, "since": {&*name: [epoch, off]}}}).to_string())
        .await;
    let hello = again.expect("hello").await;
    assert_eq!(hello["d"]["channels"][&name]["recovered"], true, "{hello}");
    let mut last = off;
    for _ in 0..3 {
        let cheer = again.expect("room.cheer").await;
        assert!(cheer["off"].as_u64().unwrap() > last);
        last = cheer["off"].as_u64().unwrap();
    }
    // Back within the grace: nobody was told anything.
    assert!(a.events().await.iter().all(|event| event["ev"] != "presence.offline" && event["ev"] != "presence.online"));
    drop((a, again));
    pair.stop().await;
}

#[tokio::test]
async fn presence_is_of_the_user_on_all_instances_together() {
    let Some(pair) = Pair::start(&[("presence.grace_secs", "1")]).await else { return };
    let (sumi, hana) = (pair.one.person("수미").await, pair.one.person("하나").await);
    sumi.befriend(&hana).await;
    let mut watch = sumi.connect().await;
    watch.hello().await;
    let (mut phone, mut laptop) = (hana.connect().await, hana.at(&pair.two).connect().await);
    phone.hello().await;
    laptop.hello().await;
    assert_eq!(watch.expect("friend.online").await["d"]["user"], hana.id);
    phone.close().await;
    // The other device is still there, for longer than a grace.
    let mut third = hana.connect().await;
    third.hello().await;
    third.close().await;
    watch.expect_silence().await;
    laptop.abort().await;
    let offline = watch.expect("friend.offline").await;
    assert_eq!((&offline["d"]["user"], &offline["d"]["reason"]), (&json!(hana.id), &json!("disconnected")));
    watch.expect_silence().await;
    drop(watch);
    pair.stop().await;
}

#[tokio::test]
async fn threat_11_a_ticket_is_good_at_one_instance_only() {
    let Some(pair) = Pair::start(&[]).await else { return };
    let hana = pair.one.person("하나").await;
    let ticket = hana.post("/ws/ticket/", json!({})).await.ok()["ticket"].as_str().unwrap().to_owned();
    let protocols = format!("solgik.v1, ticket.{ticket}");
    let offer = [("sec-websocket-protocol", &*protocols)];
    let (one, two) = tokio::join!(pair.one.open("/ws", &offer), pair.two.open("/ws", &offer));
    let mut greeted = 0;
    for mut socket in [one.unwrap(), two.unwrap()] {
        let first: Value = socket.event().await;
        greeted += u32::from(first["ev"] == "hello");
    }
    assert_eq!(greeted, 1);
    pair.stop().await;
}

#[tokio::test]
async fn threat_8_a_session_ends_on_every_instance() {
    let Some(pair) = Pair::start(&[]).await else { return };
    let hana = pair.one.person("하나").await;
    let there = hana.at(&pair.two);
    let mut socket = there.connect().await;
    socket.hello().await;
    there.get("/rooms/").await.ok();
    hana.post("/rest-auth/logout/", json!({})).await.bare(200);
    assert_eq!(socket.expect_close().await.0, 4503);
    there.get("/rooms/").await.refused(401, "session_ended");
    pair.stop().await;
}

#[tokio::test]
async fn threat_2_wrong_passwords_delay_on_another_instance_too() {
    let settings = [("limits.exempt_loopback", "false"), ("limits.login_per_address", "3/300")];
    let Some(pair) = Pair::start(&settings).await else { return };
    let hana = pair.one.person("하나").await;
    let wrong = json!({"email": hana.email, "password": "not this one"});
    for door in [&pair.one, &pair.two, &pair.one] {
        door.post("/rest-auth/login/", wrong.clone()).await.refused(400, "wrong_credentials");
    }
    for door in [&pair.two, &pair.one] {
        door.post("/rest-auth/login/", wrong.clone()).await.refused(429, "too_many_requests");
    }
    pair.stop().await;
}

#[tokio::test]
async fn threat_13_the_oldest_socket_makes_room_wherever_it_is() {
    let Some(pair) = Pair::start(&[("limits.connections_per_user", "2")]).await else { return };
    let hana = pair.one.person("하나").await;
    let there = hana.at(&pair.two);
    let mut oldest = hana.connect().await;
    oldest.hello().await;
    let (mut second, mut third) = (there.connect().await, there.connect().await);
    second.hello().await;
    third.hello().await;
    assert_eq!(oldest.expect_close().await.0, 4504);
    second.expect_silence().await;
    third.expect_silence().await;
    drop((second, third));
    pair.stop().await;
}

#[tokio::test]
async fn staff_sees_every_instance_and_drains_any() {
    let Some(pair) = Pair::start(&[]).await else { return };
    let (root, hana) = (pair.one.person("지기").await, pair.one.person("하나").await);
    accounts::set_staff(&pair.one.app, AccountId(root.id), true).await.unwrap();
    let root = root.signed_in_again(&pair.one.app).await;
    let (mut here, mut there) = (hana.connect().await, hana.at(&pair.two).connect().await);
    here.hello().await;
    let two = there.hello().await["instance"].as_str().unwrap().to_owned();
    let instances = root.get("/admin/instances/").await.ok();
    assert_eq!(instances.as_array().unwrap().len(), 2, "{instances}");
    assert!(instances.as_array().unwrap().iter().any(|instance| instance["id"] == two));
    let connections = format!("/admin/users/{}/connections/", hana.id);
    let seen = root.get(&connections).await.ok();
    assert_eq!(seen.as_array().unwrap().len(), 2, "{seen}");
    assert!(seen.as_array().unwrap().iter().any(|connection| connection["instance"] == two));
    assert_eq!(Reply::to(root.request(Method::DELETE, &connections)).await.ok().as_array().unwrap().len(), 2);
    for socket in [&mut here, &mut there] {
        assert_eq!(socket.expect_close().await.0, 4001);
    }
    let mut again = hana.at(&pair.two).connect().await;
    again.hello().await;
    root.post(&format!("/admin/instances/{two}/drain/"), json!({})).await.ok();
    assert_eq!(again.expect_close().await.0, 4001);
    pair.two.get("/readyz").await.refused(503, "draining");
    pair.one.get("/readyz").await.ok();
    pair.stop().await;
}

#[tokio::test]
async fn a_rolling_restart_shows_nobody_leaving() {
    let Some(mut pair) = Pair::start(&[("presence.grace_secs", "5")]).await else { return };
    let (sumi, hana) = (pair.one.person("수미").await, pair.one.person("하나").await);
    let room = sumi.make_room().await;
    hana.enter(room).await;
    let mut watch = sumi.connect().await;
    watch.hello().await;
    let mut socket = hana.at(&pair.two).connect().await;
    socket.hello().await;
    watch.expect("presence.online").await;
    for _ in 0..2 {
        pair.two.begin_stop();
        assert_eq!(socket.expect_close().await.0, 4001);
        pair.replace_two().await;
        socket = hana.at(&pair.two).connect().await;
        socket.hello().await;
    }
    assert_eq!(watch.events().await, Vec::<Value>::new());
    drop((watch, socket));
    pair.stop().await;
}

/// What an instance has committed that isn't there any more: a cheer in `room` at `at`.
async fn orphan(pair: &Pair, room: i64, text: &str, at: Millis) {
    let message = Message::new(&Event::RoomCheer { user: 0, text: text.to_owned() }).unwrap();
    let row = outbox::ActiveModel {
        channel: Set(Some(format!("room:{room}"))),
        body: Set(serde_json::to_string(&message).unwrap()),
        at: Set(at),
        due_at: Set(at),
        attempts: Set(0),
        ..Default::default()
    };
    outbox::Entity::insert(row).exec_without_returning(&*pair.one.app.db).await.unwrap();
}

#[tokio::test]
async fn an_instance_says_what_it_has_committed_and_what_nobody_else_does() {
    let Some(pair) = Pair::start(&[]).await else { return };
    let (sumi, hana) = (pair.one.person("수미").await, pair.one.person("하나").await);
    let room = sumi.make_room().await;
    let mut watch = sumi.connect().await;
    watch.hello().await;
    let (now, minute) = (pair.one.app.clock.now(), Duration::from_secs(60));

    // Another one is about to say it: what is committed in other channels does not draw it in.
    orphan(&pair, room, "하나", clock::after(now, minute)).await;
    sumi.befriend(&hana).await;
    watch.expect("friend.accepted").await;
    assert!(watch.events().await.iter().all(|event| event["ev"] != "room.cheer"));
    // Nothing in its own channel overtakes it.
    watch.call("goal.set", json!({"text": "단어 50개"})).await.unwrap();
    let cheer = watch.expect("room.cheer").await;
    assert_eq!(watch.expect("goal.changed").await["off"], cheer["off"].as_u64().unwrap() + 1);

    // Nobody is: it is said, and so is what stands before it, by whichever clock.
    orphan(&pair, room, "둘", clock::after(now, minute)).await;
    orphan(&pair, room, "셋", clock::before(now, minute)).await;
    for text in ["둘", "셋"] {
        assert_eq!(watch.expect("room.cheer").await["d"]["text"], text);
    }
    drop(watch);
    pair.stop().await;
}
