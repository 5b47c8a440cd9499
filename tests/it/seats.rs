//! Seats through the door: entering, leaving, and what that lets one see and do. Crowds at the door are in `races.rs`.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use entity::{AccountId, membership};
use futures_util::future::{join, join_all};
use reqwest::Method;
use sea_orm::EntityTrait;
use serde_json::{Value, json};
use solgik::realtime::{Channel, Event};

use crate::{
    rooms::{fields, ids, make, path},
    support::{Person, Reply, TestApp},
};

const SESAME: &str = "열려라 참깨 sesame-canary";

/// Where `person` sits.
async fn seat(person: &Person) -> Option<i64> {
    person.get("/rooms/check/").await.ok()["id"].as_i64()
}

// 방 입장, 퇴장

#[tokio::test]
async fn post_rooms_id_enters_and_leaves() {
    let app = TestApp::start().await;
    let (sumi, minho) = (app.person("수미").await, app.person("민호").await);
    let room = make(&sumi, json!({"name": "새벽반"})).await;
    for path in [path(room), format!("/rooms/{room}")] {
        // Clients send nothing, an empty object or null.
        let entered = Reply::to(minho.request(Method::POST, &path)).await.ok();
        assert_eq!((&entered["id"], &entered["member_num"]), (&json!(room), &json!(2)));
        assert_eq!(ids(&entered["members"]), [sumi.id, minho.id]);
        assert_eq!(
            fields(&entered["members"][1]),
            ["current_state", "email", "first_name", "id", "image", "last_name", "name", "online", "since", "timer",]
        );
        assert_eq!(seat(&minho).await, Some(room));
        let left = minho.post(&path, Value::Null).await.ok();
        assert_eq!((&left["id"], &left["member_num"]), (&json!(room), &json!(1)));
        assert_eq!(ids(&left["members"]), [sumi.id]);
        assert_eq!(seat(&minho).await, None);
    }
    app.stop().await;
}

#[tokio::test]
async fn post_rooms_id_with_an_action_does_it_once() {
    let app = TestApp::start().await;
    let (sumi, minho) = (app.person("수미").await, app.person("민호").await);
    let room = make(&sumi, json!({"name": "새벽반"})).await;
    let mut sumi_socket = sumi.connect().await;
    sumi_socket.hello().await;
    for _ in 0..2 {
        let entered = minho.post(&path(room), json!({"action": "enter"})).await.ok();
        assert_eq!(ids(&entered["members"]), [sumi.id, minho.id]);
    }
    for _ in 0..2 {
        let left = minho.post(&path(room), json!({"action": "leave"})).await.ok();
        assert_eq!(ids(&left["members"]), [sumi.id]);
    }
    assert_eq!(sumi_socket.expect("room.entered").await["d"]["member"]["id"], minho.id);
    assert_eq!(sumi_socket.expect("room.exited").await["d"]["user"], minho.id);
    sumi_socket.expect_silence().await;
    app.stop().await;
}

#[tokio::test]
async fn post_rooms_id_with_an_unknown_action_is_400() {
    let app = TestApp::start().await;
    let (sumi, minho) = (app.person("수미").await, app.person("민호").await);
    let room = make(&sumi, json!({"name": "새벽반"})).await;
    for (action, code) in
        [(json!("sit"), "invalid_choice"), (json!("ENTER"), "invalid_choice"), (json!(1), "wrong_type")]
    {
        let refused = minho.post(&path(room), json!({"action": action})).await.refused(400, code);
        assert_eq!(refused["errors"][0]["field"], "action");
    }
    assert_eq!(seat(&minho).await, None);
    app.stop().await;
}

#[tokio::test]
async fn post_rooms_id_when_in_another_room_is_409() {
    let app = TestApp::start().await;
    let (sumi, minho) = (app.person("수미").await, app.person("민호").await);
    let first = make(&sumi, json!({"name": "새벽반"})).await;
    let second = make(&minho, json!({"name": "야간반"})).await;
    for body in [json!({}), json!({"action": "enter"})] {
        let refused = minho.post(&path(first), body).await.refused(409, "already_in_room");
        assert_eq!(refused["params"], json!({"room": second}));
    }
    // To leave where one does not sit is done already.
    minho.post(&path(first), json!({"action": "leave"})).await.ok();
    assert_eq!(seat(&minho).await, Some(second));
    assert_eq!(sumi.get(&path(first)).await.ok()["member_num"], 1);
    app.stop().await;
}

#[tokio::test]
async fn post_rooms_id_of_a_full_room_is_409() {
    let app = TestApp::with(&[("rooms.capacity", "2")]).await;
    let (sumi, minho, hana) = (app.person("수미").await, app.person("민호").await, app.person("하나").await);
    let room = make(&sumi, json!({"name": "새벽반", "password": SESAME})).await;
    let enter = json!({"action": "enter", "password": SESAME});
    minho.post(&path(room), enter.clone()).await.ok();
    hana.post(&path(room), enter.clone()).await.refused(409, "room_full");
    // Full for a member means nothing; who doesn't know the password does not learn whether there is a seat.
    minho.post(&path(room), json!({"action": "enter"})).await.ok();
    hana.post(&path(room), json!({"password": "x"})).await.refused(403, "wrong_password");
    assert_eq!(seat(&hana).await, None);
    sumi.delete(&path(room)).await.ok();
    assert_eq!(ids(&hana.post(&path(room), enter).await.ok()["members"]), [minho.id, hana.id]);
    app.stop().await;
}

#[tokio::test]
async fn the_last_one_out_closes_the_room() {
    let app = TestApp::start().await;
    let (sumi, minho) = (app.person("수미").await, app.person("민호").await);
    for by_delete in [false, true] {
        let room = make(&sumi, json!({"name": "새벽반"})).await;
        minho.post(&path(room), json!({})).await.ok();
        sumi.post(&path(room), json!({})).await.ok();
        assert_eq!(ids(&sumi.get("/rooms/").await.ok()), [room]);
        let left = if by_delete {
            minho.delete(&path(room)).await.ok()
        } else {
            minho.post(&path(room), json!({})).await.ok()
        };
        assert_eq!((&left["id"], &left["member_num"], &left["members"]), (&json!(room), &json!(0), &json!([])));
        let list = sumi.get("/rooms/").await;
        assert_eq!((list.ok(), &list["page"]["total"]), (json!([]), &json!(0)));
        for person in [&sumi, &minho] {
            person.get(&path(room)).await.refused(404, "room_not_found");
            person.post(&path(room), json!({})).await.refused(404, "room_not_found");
            person.post(&path(room), json!({"action": "enter"})).await.refused(404, "room_not_found");
        }
    }
    app.stop().await;
}

#[tokio::test]
async fn delete_rooms_id_leaves() {
    let app = TestApp::start().await;
    let (sumi, minho, hana) = (app.person("수미").await, app.person("민호").await, app.person("하나").await);
    let room = make(&sumi, json!({"name": "새벽반", "password": SESAME})).await;
    minho.post(&path(room), json!({"password": SESAME})).await.ok();
    let left = minho.delete(&path(room)).await.ok();
    // Whoever sat there a moment ago may see who still does.
    assert_eq!((&left["id"], ids(&left["members"])), (&json!(room), vec![sumi.id]));
    let elsewhere = make(&hana, json!({"name": "야간반"})).await;
    for person in [&minho, &hana] {
        person.delete(&path(room)).await.refused(409, "not_a_member");
    }
    assert_eq!(ids(&sumi.get(&path(room)).await.ok()["members"]), [sumi.id]);
    assert_eq!(seat(&hana).await, Some(elsewhere));
    app.stop().await;
}

#[tokio::test]
async fn get_rooms_check_is_the_caller_s_room() {
    let app = TestApp::start().await;
    let (sumi, minho) = (app.person("수미").await, app.person("민호").await);
    let room = make(&sumi, json!({"name": "새벽반", "password": SESAME})).await;
    for path in ["/rooms/check", "/rooms/check/"] {
        let check = sumi.get(path).await.ok();
        assert_eq!(check, sumi.get(&crate::rooms::path(room)).await.ok());
        assert_eq!(ids(&check["members"]), [sumi.id]);
        let none = minho.get(path).await;
        assert_eq!((none.ok(), none.body.as_object().unwrap().contains_key("data")), (Value::Null, true));
    }
    app.stop().await;
}

// Passwords

#[tokio::test]
async fn post_rooms_id_with_a_wrong_password_is_403() {
    let app = TestApp::start().await;
    let (sumi, minho) = (app.person("수미").await, app.person("민호").await);
    let room = make(&sumi, json!({"name": "새벽반", "password": SESAME})).await;
    for body in [
        json!({}),
        Value::Null,
        json!({"password": null}),
        json!({"password": ""}),
        json!({"password": "열려라"}),
        json!({"password": SESAME.to_uppercase()}),
        json!({"password": format!("{SESAME} ")}),
        json!({"action": "enter", "password": "열려라"}),
    ] {
        let refused = minho.post(&path(room), body).await.refused(403, "wrong_password");
        assert_eq!(refused["detail"], "방 비밀번호가 올바르지 않습니다.");
    }
    for (password, code) in [(json!(7), "wrong_type"), (json!("x".repeat(129)), "too_long")] {
        let refused = minho.post(&path(room), json!({"password": password})).await.refused(400, code);
        assert_eq!(refused["errors"][0]["field"], "password");
    }
    assert_eq!(seat(&minho).await, None);
    let entered = minho.post(&path(room), json!({"password": SESAME})).await.ok();
    assert_eq!(ids(&entered["members"]), [sumi.id, minho.id]);
    // To go, and to be there already, needs none.
    minho.post(&path(room), json!({"action": "enter"})).await.ok();
    minho.post(&path(room), json!({})).await.ok();
    assert_eq!(seat(&minho).await, None);
    // To an open room a password does not matter.
    let open = make(&minho, json!({"name": "야간반"})).await;
    let hana = app.person("하나").await;
    hana.post(&path(open), json!({"password": "x"})).await.ok();
    app.stop().await;
}

#[tokio::test]
async fn threat_15_a_room_s_password_can_t_be_guessed() {
    let app = TestApp::with(&[("limits.exempt_loopback", "false")]).await;
    let (sumi, minho, hana) = (app.person("수미").await, app.person("민호").await, app.person("하나").await);
    let room = path(make(&sumi, json!({"name": "새벽반", "password": SESAME})).await);
    let right = json!({"password": SESAME});
    // Who sends none has not tried.
    for _ in 0..10 {
        minho.post(&room, json!({})).await.refused(403, "wrong_password");
    }
    for number in 0..5 {
        minho.post(&room, json!({"password": format!("{number}")})).await.refused(403, "wrong_password");
    }
    for body in [json!({"password": "5"}), right.clone()] {
        let refused = minho.post(&room, body).await;
        refused.refused(429, "too_many_requests");
        let wait: u64 = refused.header("retry-after").parse().unwrap();
        assert!((500..=600).contains(&wait), "{wait}");
    }
    // The socket's door is the same door.
    let mut socket = minho.connect().await;
    socket.hello().await;
    let id: i64 = room.split('/').nth(2).unwrap().parse().unwrap();
    let refused = socket.call("room.enter", json!({"room": id, "password": SESAME})).await.unwrap_err();
    assert_eq!(refused["code"], "too_many_requests");
    assert!(refused["retry_ms"].as_u64().unwrap() > 500_000, "{refused}");
    // Others are not held up, nor is he elsewhere.
    hana.post(&room, right.clone()).await.ok();
    hana.post(&room, json!({})).await.ok();
    let other = app.person("지우").await;
    let other_room = path(make(&other, json!({"name": "야간반", "password": SESAME})).await);
    minho.post(&other_room, right.clone()).await.ok();
    minho.post(&other_room, json!({})).await.ok();
    app.app.clock.advance(Duration::from_secs(601));
    minho.post(&room, right.clone()).await.ok();
    minho.post(&room, json!({})).await.ok();
    // The right one takes back the wrong ones before it.
    for _ in 0..2 {
        for number in 0..4 {
            minho.post(&room, json!({"password": format!("{number}")})).await.refused(403, "wrong_password");
        }
        minho.post(&room, right.clone()).await.ok();
        minho.post(&room, json!({})).await.ok();
    }
    app.stop().await;
}

#[tokio::test]
async fn threat_15_parallel_guesses_are_counted_like_any_other() {
    let app = TestApp::with(&[("limits.exempt_loopback", "false")]).await;
    let (sumi, minho) = (app.person("수미").await, app.person("민호").await);
    let room = path(make(&sumi, json!({"name": "새벽반", "password": SESAME})).await);
    let guesses = join_all((0..30).map(|number| minho.post(&room, json!({"password": format!("{number}")})))).await;
    let tried = guesses.iter().filter(|reply| reply.status == 403).count();
    let refused = guesses.iter().filter(|reply| reply.status == 429).count();
    assert_eq!((tried, refused), (5, 25));
    app.stop().await;
}

#[tokio::test]
async fn threat_15_a_room_s_password_is_in_no_answer() {
    let app = TestApp::start().await;
    let (sumi, minho, hana) = (app.person("수미").await, app.person("민호").await, app.person("하나").await);
    let mut sumi_socket = sumi.connect().await;
    sumi_socket.hello().await;
    let made = sumi.post("/rooms/", json!({"name": "새벽반", "password": SESAME})).await;
    let room = made.ok()["id"].as_i64().unwrap();
    let snapshot = sumi_socket.expect("snapshot").await;
    let wrong = minho.post(&path(room), json!({"password": format!("{SESAME}!")})).await;
    let mut seen = vec![made.body, snapshot, wrong.body];
    seen.push(minho.post(&path(room), json!({"password": SESAME})).await.body);
    seen.push(sumi_socket.expect("room.entered").await);
    let mut hana_socket = hana.connect().await;
    hana_socket.hello().await;
    seen.push(hana_socket.call("room.enter", json!({"room": room, "password": SESAME})).await.unwrap());
    let mut second_device = minho.connect().await;
    seen.push(second_device.hello().await);
    seen.push(second_device.call("room.watch", json!({"rooms": [room]})).await.unwrap());
    for person in [&sumi, &minho, &app.person("지우").await] {
        for path in ["/rooms/", "/rooms/?keyword=sesame", "/rooms/check/", &path(room)] {
            seen.push(person.get(path).await.body);
        }
    }
    seen.push(minho.delete(&path(room)).await.body);
    seen.push(sumi_socket.expect("room.exited").await);
    for answer in seen {
        let text = answer.to_string();
        for secret in ["열려라", "canary", "argon2", "password_hash"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
    app.stop().await;
}

// Membership

#[tokio::test]
async fn threat_14_whoever_has_left_hears_and_says_nothing() {
    let app = TestApp::start().await;
    let (sumi, minho) = (app.person("수미").await, app.person("민호").await);
    let room = make(&sumi, json!({"name": "새벽반"})).await;
    minho.post(&path(room), json!({})).await.ok();
    let mut sumi_socket = sumi.connect().await;
    sumi_socket.hello().await;
    let mut minho_socket = minho.connect().await;
    minho_socket.hello().await;
    assert_eq!(sumi_socket.expect("presence.online").await["d"]["user"], minho.id);
    sumi_socket.call("room.cheer", json!({"text": "모두 힘내요"})).await.unwrap();
    assert_eq!(minho_socket.expect("room.cheer").await["d"]["text"], "모두 힘내요");
    minho.delete(&path(room)).await.ok();
    sumi_socket.call("room.cheer", json!({"text": "우리끼리"})).await.unwrap();
    sumi_socket.expect("room.exited").await;
    for (op, body) in
        [("room.cheer", json!({"text": "아직 여기"})), ("goal.set", json!({"text": "수학"})), ("room.leave", json!({}))]
    {
        assert_eq!(minho_socket.call(op, body).await.unwrap_err()["code"], "not_a_member", "{op}");
    }
    assert_eq!(minho_socket.expect("room.moved").await["d"]["room"], Value::Null);
    minho_socket.expect_silence().await;
    // Sumi hears her own words, and none of his.
    for text in ["모두 힘내요", "우리끼리"] {
        assert_eq!(sumi_socket.expect("room.cheer").await["d"]["text"], text);
    }
    sumi_socket.expect_silence().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_that_is_lost_while_a_client_asks_anew_is_shown() {
    let app = TestApp::start().await;
    let (sumi, minho) = (app.person("수미").await, app.person("민호").await);
    let room = make(&sumi, json!({"name": "새벽반"})).await;
    let mut socket = minho.connect().await;
    socket.hello().await;
    let (own, registry) = (Channel::User(AccountId(minho.id)), app.app.hub.registry());
    let outlet = registry.of(AccountId(minho.id)).remove(0);
    let mut lost = 0;
    for _ in 0..100 {
        socket.call("room.enter", json!({"room": room})).await.unwrap();
        socket.events().await;
        // Gone, and no word of it comes.
        membership::Entity::delete_by_id(AccountId(minho.id)).exec(&*app.app.db).await.unwrap();
        let over = AtomicBool::new(false);
        let asks = async {
            socket.call("sync", json!({"since": {own.to_string(): ["long ago", 0]}})).await.unwrap();
            over.store(true, Ordering::Relaxed);
        };
        // While the answer is put together, something is missed.
        let misses = async {
            while !outlet.is_held(own) && !over.load(Ordering::Relaxed) {
                tokio::task::yield_now().await;
            }
            registry.resync(own);
            !over.load(Ordering::Relaxed)
        };
        lost += u32::from(join(asks, misses).await.1);
        let shown = socket.events().await;
        let snapshots = shown.iter().filter(|event| event["ev"] == "snapshot");
        let mut of_the_room = snapshots.filter(|event| event["ch"] == format!("room:{room}"));
        assert!(of_the_room.any(|event| event["d"]["room"].is_null()), "{shown:?}");
    }
    assert!(lost > 0, "the answer is always quicker");
    app.stop().await;
}

#[tokio::test]
async fn a_move_of_which_only_the_word_has_come_is_taken_back() {
    let app = TestApp::start().await;
    let minho = app.person("민호").await;
    let mut socket = minho.connect().await;
    socket.hello().await;
    // In and out again at once, and the second word is lost.
    let own = Channel::User(AccountId(minho.id));
    app.app.hub.say(own, &Event::RoomMoved { room: Some(7) }).await.unwrap();
    assert_eq!(socket.expect("room.moved").await["d"]["room"], 7);
    app.app.hub.registry().resync(own);
    let shown = socket.expect("snapshot").await;
    assert_eq!((&shown["ch"], &shown["d"]["room"]), (&json!("room:7"), &Value::Null));
    assert_eq!(socket.expect("snapshot").await["ch"], own.to_string());
    socket.expect_silence().await;
    app.stop().await;
}
