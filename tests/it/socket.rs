//! The socket's door and its operations: who gets in and how, what `hello` says, and what may be asked for.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use solgik::{auth::sessions, realtime::broker::Which};

use crate::support::{Person, Reply, RoomPicture, TestApp, WsClient};

const FOUR_WAYS: [&str; 4] = ["header", "subprotocol", "ticket", "first message"];

async fn ticket(person: &Person) -> String {
    person.post("/ws/ticket/", json!({})).await.ok()["ticket"].as_str().unwrap().to_owned()
}

async fn with_protocols(app: &TestApp, protocols: &str) -> WsClient {
    app.open("/ws", &[("sec-websocket-protocol", protocols)]).await.unwrap()
}

/// What somebody reads who is not let in: `err`'s content, and the close frame's number.
async fn turned_away(mut socket: WsClient) -> (Value, u16) {
    let err = socket.answer(None).await["err"].take();
    let (code, bye) = socket.expect_close().await;
    assert_eq!(bye["code"], code);
    (err, code)
}

fn keys(object: &Value) -> Vec<&str> {
    object.as_object().unwrap_or_else(|| panic!("{object}")).keys().map(String::as_str).collect()
}

// The four ways to authenticate.

#[tokio::test]
async fn four_ways_lead_to_the_same_hello() {
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    for way in FOUR_WAYS {
        let jwt = format!("JWT {}", sumi.token);
        let mut socket = match way {
            "header" => app.open("/ws", &[("authorization", &jwt)]).await.unwrap(),
            "subprotocol" => with_protocols(&app, &format!("solgik.v1, bearer.{}", sumi.token)).await,
            "ticket" => with_protocols(&app, &format!("solgik.v1, ticket.{}", ticket(&sumi).await)).await,
            _ => app.open("/ws/", &[]).await.unwrap(),
        };
        if way == "first message" {
            assert_eq!(socket.call("auth", json!({"token": sumi.token})).await, Ok(json!({})));
        }
        assert_eq!(socket.hello().await["user"]["id"], sumi.id, "{way}");
        let offered = matches!(way, "subprotocol" | "ticket");
        assert_eq!(socket.subprotocol.as_deref(), offered.then_some("solgik.v1"), "{way}: no secret is echoed");
    }
    for scheme in ["jwt", "Bearer", "TOKEN"] {
        let header = format!("{scheme} {}", sumi.token);
        app.open("/ws", &[("authorization", &header)]).await.unwrap().hello().await;
    }
    app.stop().await;
}

#[tokio::test]
async fn the_first_message_may_come_late_and_with_company() {
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    let mut socket = app.open("/ws", &[]).await.unwrap();
    for (op, d, code) in [
        ("whoami", json!({}), "unauthenticated"),
        ("room.enter", json!({"room": 1}), "unauthenticated"),
        ("fly", json!({}), "unknown_op"),
        ("auth", json!({}), "malformed_message"),
    ] {
        assert_eq!(socket.call(op, d).await.unwrap_err()["code"], code, "{op}");
    }
    let auth = json!({"id": 90, "op": "auth", "d": {"token": sumi.token}});
    let whoami = json!({"id": 91, "op": "whoami"});
    socket.raw_send(format!("{{}}\n{auth}\n{whoami}")).await;
    assert_eq!(socket.answer(Some(90)).await["ok"], json!({}));
    assert_eq!(socket.answer(Some(91)).await["ok"]["user"]["id"], sumi.id);
    socket.hello().await;
    let again = socket.call("auth", json!({"token": sumi.token})).await;
    assert_eq!(again.unwrap_err()["code"], "malformed_message", "once is enough");
    app.stop().await;
}

#[tokio::test]
async fn a_bad_token_is_answered_after_the_upgrade() {
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    let mut doors = Vec::new();
    for header in ["JWT nonsense", "Basic c3VtaTp4", "nonsense", "JWT ", ""] {
        doors.push(app.open("/ws", &[("authorization", header)]).await.unwrap());
    }
    for protocols in ["solgik.v1, bearer.nonsense", "solgik.v1, bearer."] {
        doors.push(with_protocols(&app, protocols).await);
    }
    let mut by_message = app.open("/ws", &[]).await.unwrap();
    assert_eq!(by_message.call("auth", json!({"token": "x"})).await.unwrap_err()["code"], "token_invalid");
    let (code, bye) = by_message.expect_close().await;
    assert_eq!((code, bye), (4500, json!({"code": 4500, "reason": "unauthorized"})));
    for socket in doors {
        let (err, code) = turned_away(socket).await;
        assert_eq!((&err["code"], code), (&json!("token_invalid"), 4500));
        assert_eq!(err["retry_ms"], json!(null));
    }

    let caller = app.app.auth.check(&sumi.token).await.unwrap();
    let hana = app.person("하나").await;
    let tx = app.app.db.begin().await.unwrap();
    sessions::end(&tx, caller.account, Which::All).await.unwrap();
    tx.commit_quietly().await.unwrap();
    app.app.auth.forget(caller.account, Which::All);
    let socket = with_protocols(&app, &format!("solgik.v1, bearer.{}", sumi.token)).await;
    assert_eq!(turned_away(socket).await.0["code"], "session_ended");

    app.app.clock.advance(Duration::from_secs(8 * 24 * 3600));
    let socket = with_protocols(&app, &format!("solgik.v1, bearer.{}", hana.token)).await;
    assert_eq!(turned_away(socket).await.0["code"], "token_expired");
    app.stop().await;
}

#[tokio::test]
async fn threat_11_a_ticket_is_good_once_and_not_for_long() {
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    app.post("/ws/ticket/", json!({})).await.refused(401, "unauthenticated");
    let protocols = format!("solgik.v1, ticket.{}", ticket(&sumi).await);
    with_protocols(&app, &protocols).await.hello().await;
    let late = ticket(&sumi).await;
    app.app.clock.advance(Duration::from_secs(31));
    let unknown = "solgik.v1, ticket.0000".to_owned();
    for refused in [protocols, format!("solgik.v1, ticket.{late}"), unknown, "solgik.v1, ticket.".to_owned()] {
        let (err, code) = turned_away(with_protocols(&app, &refused).await).await;
        assert_eq!((&err["code"], code), (&json!("ticket_invalid"), 4500), "{refused}");
    }
    app.stop().await;
}

#[tokio::test]
async fn threat_11_a_ticket_does_not_outlive_its_session() {
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    let protocols = format!("solgik.v1, ticket.{}", ticket(&sumi).await);
    let caller = app.app.auth.check(&sumi.token).await.unwrap();
    let tx = app.app.db.begin().await.unwrap();
    sessions::end(&tx, caller.account, Which::One(caller.session)).await.unwrap();
    tx.commit_quietly().await.unwrap();
    app.app.auth.forget(caller.account, Which::One(caller.session));
    let (err, code) = turned_away(with_protocols(&app, &protocols).await).await;
    assert_eq!((&err["code"], code), (&json!("session_ended"), 4500));
    app.stop().await;
}

#[tokio::test]
async fn threat_11_of_fifty_racers_with_one_ticket_one_wins() {
    let app = TestApp::with(&[("limits.connections_per_user", "50")]).await;
    let sumi = app.person("수미").await;
    let protocols = format!("solgik.v1, ticket.{}", ticket(&sumi).await);
    let race = |_| async {
        let mut socket = with_protocols(&app, &protocols).await;
        let first = socket.event().await;
        if first["ev"] == "hello" {
            return true;
        }
        assert_eq!(first["err"]["code"], "ticket_invalid");
        assert_eq!(socket.expect_close().await.0, 4500);
        false
    };
    let winners = join_all((0..50).map(race)).await.into_iter().filter(|won| *won).count();
    assert_eq!(winners, 1);
    app.stop().await;
}

#[tokio::test]
async fn threat_11_a_token_in_the_address_counts_only_where_that_is_configured() {
    for (allowed, server) in
        [(false, TestApp::start().await), (true, TestApp::with(&[("socket.query_token", "true")]).await)]
    {
        let sumi = server.person("수미").await;
        let mut socket = server.open(&format!("/ws?token={}", sumi.token), &[]).await.unwrap();
        if allowed {
            assert_eq!(socket.hello().await["user"]["id"], sumi.id);
        } else {
            let (err, code) = turned_away(socket).await;
            assert_eq!((&err["code"], code), (&json!("token_invalid"), 4500));
        }
        server.stop().await;
    }
}

// Who may connect at all.

#[tokio::test]
async fn threat_10_a_page_connects_only_from_an_origin_on_the_list_or_our_own() {
    let app = TestApp::with(&[("server.origins", "https://study.example,https://a.example:8443")]).await;
    let sumi = app.person("수미").await;
    let jwt = format!("JWT {}", sumi.token);
    let own = app.base.clone();
    let host = own.strip_prefix("http://").unwrap().to_owned();
    let open = |origin: &str| {
        let headers = [("authorization", jwt.clone()), ("origin", origin.to_owned())];
        let app = &app;
        async move {
            let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
            app.open("/ws", &headers).await
        }
    };
    for origin in [own.as_str(), &format!("https://{host}"), "https://study.example", "https://a.example:8443"] {
        open(origin).await.unwrap().hello().await;
    }
    for origin in [
        "https://evil.example",
        "http://study.example",
        "https://study.example.evil.example",
        "https://evil-study.example",
        "https://study.example:444",
        "https://study.example/",
        "https://sub.study.example",
        "https://a.example",
        "https://a.example:8444",
        "http://127.0.0.1:1",
        "http://127.0.0.1",
        &format!("http://{host}0"),
        &format!("http://{host}/"),
        &format!("ftp://{host}"),
        &host,
        "null",
        "*",
        "",
    ] {
        let refusal = open(origin).await.err().unwrap_or_else(|| panic!("{origin:?} is let in"));
        refusal.refused(403, "origin_refused");
    }
    app.stop().await;
}

#[tokio::test]
async fn what_is_no_upgrade_is_told_to_upgrade() {
    let app = TestApp::start().await;
    for (method, path) in [(Method::GET, "/ws"), (Method::GET, "/ws/"), (Method::POST, "/ws"), (Method::DELETE, "/ws")]
    {
        let reply = Reply::to(app.request(method.clone(), path)).await;
        reply.refused(426, "upgrade_required");
        assert_eq!(reply.header("upgrade"), "websocket", "{method}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_draining_instance_takes_nobody_in() {
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    app.app.drain.cancel();
    let jwt = format!("JWT {}", sumi.token);
    let refusal = app.open("/ws", &[("authorization", &jwt)]).await.err().unwrap();
    refusal.refused(503, "draining");
    assert_ne!(refusal.header("retry-after"), "");
    app.get("/readyz").await.refused(503, "draining");
    app.stop().await;
}

#[tokio::test]
async fn no_more_are_taken_in_than_there_is_room_for() {
    for cap in ["limits.connections", "limits.connections_per_address"] {
        let app = TestApp::with(&[(cap, "2")]).await;
        let sumi = app.person("수미").await;
        let (mut first, mut second) = (sumi.connect().await, app.open("/ws", &[]).await.unwrap());
        first.hello().await;
        let jwt = format!("JWT {}", sumi.token);
        let refusal = app.open("/ws", &[("authorization", &jwt)]).await.err().unwrap();
        refusal.refused(503, "overloaded");
        assert_ne!(refusal.header("retry-after"), "");
        // Whoever has not authenticated yet takes a place too, and gives it back.
        second.raw_send("not this protocol").await;
        second.expect_close().await;
        while app.open("/ws", &[("authorization", &jwt)]).await.is_err() {}
        app.stop().await;
    }
}

// Hello.

#[tokio::test]
async fn hello_answers_every_first_question() {
    let app = TestApp::start().await;
    let (sumi, hana, minji) = (app.person("수미").await, app.person("하나").await, app.person("민지").await);
    sumi.befriend(&hana).await;
    minji.post(&format!("/accounts/friend/{}/", sumi.id), json!({"flag": true})).await.ok();
    let room = hana.make_room().await;
    sumi.enter(room).await;
    let before = app.app.clock.now().0;
    let mut hana_socket = hana.connect().await;
    let alone = hana_socket.hello().await;
    let mut socket = sumi.connect().await;
    let hello = socket.hello().await;
    let after = app.app.clock.now().0;

    let fields = [
        "channels",
        "friends",
        "heartbeat_ms",
        "instance",
        "max_frame",
        "requests",
        "room",
        "run",
        "server_time",
        "session",
        "token_expires_at",
        "user",
    ];
    assert_eq!(keys(&hello), fields);
    assert!(hello["session"].as_i64().unwrap() > 0);
    assert_eq!(hello["instance"], *app.app.hub.instance());
    assert!((before..=after).contains(&hello["server_time"].as_i64().unwrap()));
    assert_eq!(hello["heartbeat_ms"], 25_000);
    assert_eq!(hello["max_frame"], 16_384);
    let expires = hello["token_expires_at"].as_i64().unwrap();
    assert!((after + 6 * 24 * 3_600_000..=after + 7 * 24 * 3_600_000).contains(&expires));
    let user = json!({
        "id": sumi.id, "last_name": "김", "first_name": "수미", "name": "김수미", "email": sumi.email, "image": null,
        "current_state": 1,
    });
    assert_eq!(hello["user"], user);
    let since = alone["room"]["members"][0]["since"].as_i64().unwrap();
    assert!((before..=after).contains(&since));
    let person = |person: &Person, name: &str| {
        json!({
            "id": person.id, "last_name": "김", "first_name": name, "name": format!("김{name}"), "image": null,
            "current_state": 1, "state": "idle",
        })
    };
    let with = |mut person: Value, more: Value| {
        person.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        person
    };
    assert_eq!(hello["friends"], json!([with(person(&hana, "하나"), json!({"online": true, "since": since}))]));
    let request = &hello["requests"][0];
    assert_eq!(hello["requests"].as_array().unwrap().len(), 1);
    assert_eq!((&request["user"], &request["person"]), (&json!(minji.id), &person(&minji, "민지")));
    assert!(request["at"].as_i64().unwrap() <= before);

    let seat = json!({"online": true, "since": since, "goal": null, "run": null});
    assert_eq!(keys(&hello["room"]), ["description", "has_password", "id", "members", "name"]);
    assert_eq!(hello["room"]["id"], room);
    assert_eq!(hello["room"]["name"], "새벽반");
    assert_eq!(hello["room"]["description"], "");
    assert_eq!(hello["room"]["has_password"], false);
    assert_eq!(hello["room"]["members"][0], with(person(&hana, "하나"), seat));
    assert_eq!(hello["room"]["members"][1]["id"], sumi.id);
    assert_eq!(hello["room"]["members"][1]["online"], true);

    let (own, rooms) = (format!("user:{}", sumi.id), format!("room:{room}"));
    assert_eq!(keys(&hello["channels"]), [rooms.as_str(), own.as_str()]);
    for channel in [&own, &rooms] {
        let place = &hello["channels"][channel];
        assert_eq!(keys(place), ["epoch", "off", "recovered"], "{channel}");
        assert_eq!(place["recovered"], false);
        assert!(place["epoch"].as_str().is_some_and(|epoch| !epoch.is_empty()));
    }
    // Two have entered and two came online; the last was oneself.
    assert_eq!(hello["channels"][&rooms]["off"], 4);
    socket.expect_silence().await;

    let mut lonely = minji.connect().await;
    let hello = lonely.hello().await;
    assert_eq!(hello["room"], json!(null));
    assert_eq!(keys(&hello["channels"]), [format!("user:{}", minji.id)]);
    app.stop().await;
}

// Operations.

#[tokio::test]
async fn two_people_see_each_other_come_and_go() {
    let app = TestApp::start().await;
    let (sumi, hana) = (app.person("수미").await, app.person("하나").await);
    let room = sumi.make_room().await;
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

#[tokio::test]
async fn a_picture_says_since_when_somebody_is_away_who_left_after_it_was_drawn() {
    let app = TestApp::with(&[("presence.grace_secs", "0")]).await;
    let (sumi, hana) = (app.person("수미").await, app.person("하나").await);
    let room = sumi.make_room().await;
    hana.enter(room).await;
    let mut sumi_socket = sumi.connect().await;
    assert_eq!(sumi_socket.hello().await["room"]["members"][1]["since"], json!(null), "never here");
    for _ in 0..2 {
        let mut hana_socket = hana.connect().await;
        hana_socket.hello().await;
        sumi_socket.expect("presence.online").await;
        hana_socket.abort().await;
        let left = sumi_socket.expect("presence.offline").await["d"]["at"].clone();
        let away = &sumi.connect().await.hello().await["room"]["members"][1];
        assert_eq!((&away["online"], &away["since"]), (&json!(false), &left));
    }
    app.stop().await;
}

#[tokio::test]
async fn a_goal_and_a_cheer_reach_the_room() {
    let app = TestApp::start().await;
    let (sumi, hana) = (app.person("수미").await, app.person("하나").await);
    let room = sumi.make_room().await;
    hana.enter(room).await;
    let mut sumi_socket = sumi.connect().await;
    sumi_socket.hello().await;
    let mut hana_socket = hana.connect().await;
    hana_socket.hello().await;
    sumi_socket.expect("presence.online").await;
    assert_eq!(hana_socket.call("goal.set", json!({"text": " 수학 3장 "})).await, Ok(json!({"text": "수학 3장"})));
    let changed = sumi_socket.expect("goal.changed").await;
    assert_eq!(changed["d"], json!({"user": hana.id, "text": "수학 3장"}));
    let said = hana_socket.call("room.cheer", json!({"text": "화이팅!"})).await.unwrap();
    let cheer = sumi_socket.expect("room.cheer").await;
    assert_eq!(cheer["d"], json!({"user": hana.id, "text": "화이팅!"}));
    assert_eq!(cheer["off"], said["off"]);
    assert_eq!(cheer["ch"], format!("room:{room}"));
    assert!(cheer["at"].as_i64().unwrap() >= changed["at"].as_i64().unwrap());
    for (text, code) in
        [("", "required"), (" ", "required"), (&*"가".repeat(201), "too_long"), ("a\u{7}", "invalid_characters")]
    {
        let refused = hana_socket.call("room.cheer", json!({"text": text})).await.unwrap_err();
        assert_eq!(refused["code"], code);
    }
    assert_eq!(hana_socket.call("goal.set", json!({"text": null})).await, Ok(json!({"text": null})));
    assert_eq!(sumi_socket.expect("goal.changed").await["d"]["text"], json!(null));
    sumi_socket.expect_silence().await;
    app.stop().await;
}

#[tokio::test]
async fn rooms_refuse_by_socket_as_they_do_by_rest() {
    let app = TestApp::start().await;
    let (sumi, hana) = (app.person("수미").await, app.person("하나").await);
    let body = json!({"name": "비밀", "password": "열려라"});
    let locked = sumi.post("/rooms/", body).await.ok()["id"].as_i64().unwrap();
    let mut socket = hana.connect().await;
    socket.hello().await;
    for (op, d, code) in [
        ("room.enter", json!({"room": 999_999}), "room_not_found"),
        ("room.enter", json!({"room": locked}), "wrong_password"),
        ("room.enter", json!({"room": locked, "password": "참깨"}), "wrong_password"),
        ("room.leave", json!({}), "not_a_member"),
        ("goal.set", json!({"text": "x"}), "not_a_member"),
        ("room.cheer", json!({"text": "x"}), "not_a_member"),
    ] {
        assert_eq!(socket.call(op, d.clone()).await.unwrap_err()["code"], code, "{op} {d}");
    }
    socket.expect_silence().await;
    let entered = socket.call("room.enter", json!({"room": locked, "password": "열려라"})).await.unwrap();
    assert_eq!(entered["room"]["has_password"], true);
    assert!(!entered.to_string().contains("열려라"));
    let again = socket.call("room.enter", json!({"room": locked})).await.unwrap();
    assert_eq!(again["room"], entered["room"], "who sits there is not asked again");
    let elsewhere = app.person("민지").await.make_room().await;
    let refused = socket.call("room.enter", json!({"room": elsewhere})).await.unwrap_err();
    assert_eq!((&refused["code"], &refused["params"]["room"]), (&json!("already_in_room"), &json!(locked)));
    assert_eq!(socket.call("room.leave", json!({})).await, Ok(json!({"room": locked})));
    app.stop().await;
}

#[tokio::test]
async fn friendship_goes_its_whole_way_by_socket() {
    let app = TestApp::start().await;
    let (sumi, hana) = (app.person("수미").await, app.person("하나").await);
    let (mut sumi_socket, mut hana_socket) = (sumi.connect().await, hana.connect().await);
    sumi_socket.hello().await;
    hana_socket.hello().await;
    let (to_hana, to_sumi) = (json!({"user": hana.id}), json!({"user": sumi.id}));
    for (by_sumi, op, status, told, to_both) in [
        (true, "friend.request", "ADD", "friend.requested", false),
        (true, "friend.cancel", "DELETE", "friend.cancelled", true),
        (true, "friend.request", "ADD", "friend.requested", false),
        (false, "friend.reject", "DELETE", "friend.rejected", true),
        (true, "friend.request", "ADD", "friend.requested", false),
        (false, "friend.accept", "ACCEPT", "friend.accepted", true),
        (false, "friend.remove", "DELETE", "friend.removed", true),
    ] {
        let (actor, other) =
            if by_sumi { (&mut sumi_socket, &mut hana_socket) } else { (&mut hana_socket, &mut sumi_socket) };
        let (to, from) = if by_sumi { (&to_hana, &to_sumi) } else { (&to_sumi, &to_hana) };
        assert_eq!(actor.call(op, to.clone()).await, Ok(json!({"status": status})), "{op}");
        let event = other.expect(told).await;
        assert_eq!(event["d"]["user"], from["user"], "{op}");
        if told == "friend.accepted" {
            assert_eq!(event["d"]["friend"]["online"], true);
        }
        if to_both {
            assert_eq!(actor.expect(told).await["d"]["user"], to["user"], "{op}");
        }
    }
    for (op, code) in [
        ("friend.accept", "request_not_found"),
        ("friend.reject", "request_not_found"),
        ("friend.remove", "not_friends"),
    ] {
        assert_eq!(sumi_socket.call(op, to_hana.clone()).await.unwrap_err()["code"], code, "{op}");
    }
    assert_eq!(sumi_socket.call("friend.request", to_sumi.clone()).await.unwrap_err()["code"], "request_to_oneself");
    let nobody = sumi_socket.call("friend.request", json!({"user": 999_999})).await.unwrap_err();
    assert_eq!(nobody["code"], "account_not_found");
    sumi_socket.expect_silence().await;
    hana_socket.expect_silence().await;
    app.stop().await;
}

#[tokio::test]
async fn every_device_follows_its_user_from_room_to_room() {
    let app = TestApp::start().await;
    let (sumi, hana) = (app.person("수미").await, app.person("하나").await);
    let room = hana.make_room().await;
    let (mut phone, mut laptop) = (sumi.connect().await, sumi.connect().await);
    phone.hello().await;
    laptop.hello().await;
    phone.call("room.enter", json!({"room": room})).await.unwrap();
    assert_eq!(laptop.expect("room.moved").await["d"], json!({"room": room}));
    let snapshot = laptop.expect("snapshot").await;
    assert_eq!(snapshot["ch"], format!("room:{room}"));
    assert_eq!(snapshot["d"]["room"]["members"][1]["id"], sumi.id);
    hana.delete(&format!("/rooms/{room}/")).await.ok();
    let (exited, same) = (phone.expect("room.exited").await, laptop.expect("room.exited").await);
    assert_eq!(exited, same);
    assert_eq!(exited["off"], json!(snapshot["d"]["off"].as_u64().unwrap() + 1));
    assert_eq!((&exited["d"]["user"], &exited["d"]["reason"]), (&json!(hana.id), &json!("left")));
    assert_eq!(laptop.call("whoami", json!({})).await.unwrap()["room"], room);
    sumi.delete(&format!("/rooms/{room}/")).await.ok();
    assert_eq!(phone.expect("room.moved").await["d"]["room"], room, "told to all devices, also to the one that moved");
    for device in [&mut phone, &mut laptop] {
        assert_eq!(device.expect("room.moved").await["d"], json!({"room": null}));
        assert_eq!(device.call("whoami", json!({})).await.unwrap()["room"], json!(null));
    }
    app.stop().await;
}

/// The relay's word that somebody has left comes later than the leaving; it must not reach whoever is back.
#[tokio::test]
async fn going_in_and_out_in_a_hurry_leaves_nobody_deaf() {
    let app = TestApp::start().await;
    let (sumi, hana) = (app.person("수미").await, app.person("하나").await);
    let room = hana.make_room().await;
    let (mut phone, mut laptop) = (sumi.connect().await, sumi.connect().await);
    phone.hello().await;
    laptop.hello().await;
    for _ in 0..10 {
        phone.call("room.enter", json!({"room": room})).await.unwrap();
        sumi.delete(&format!("/rooms/{room}/")).await.ok();
        sumi.enter(room).await;
        phone.call("room.leave", json!({})).await.unwrap();
    }
    sumi.enter(room).await;
    let mut hana_socket = hana.connect().await;
    hana_socket.hello().await;
    for (name, device) in [("phone", &mut phone), ("laptop", &mut laptop)] {
        let (mut tries, mut heard) = (0, false);
        while !heard && tries < 50 {
            hana_socket.call("room.cheer", json!({"text": "들리니?"})).await.unwrap();
            let events = device.events().await;
            heard = events.iter().any(|event| event["ev"] == "room.cheer");
            tries += 1;
        }
        assert!(heard, "{name} is deaf");
    }
    app.stop().await;
}

#[tokio::test]
async fn messages_of_one_frame_are_answered_in_their_order() {
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    let mut socket = sumi.connect().await;
    socket.hello().await;
    let lines: Vec<_> = (1..=16).map(|id| json!({"id": id, "op": "whoami"}).to_string()).collect();
    socket.raw_send(lines.join("\n")).await;
    for id in 1..=16 {
        assert_eq!(socket.answer(Some(id)).await["ok"]["user"]["id"], sumi.id);
    }
    socket.raw_send(r#"{"op":"whoami"}"#).await;
    assert_eq!(socket.answer(None).await["ok"]["user"]["id"], sumi.id, "an id is the client's choice");
    app.stop().await;
}

#[tokio::test]
async fn sentences_are_in_the_language_of_the_socket() {
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    let jwt = format!("JWT {}", sumi.token);
    let english = "You are not in this room.";
    let korean = "들어가 있지 않은 방입니다.";
    for (language, sentence) in [("en", english), ("ko", korean)] {
        let mut socket = app.open("/ws", &[("authorization", &jwt), ("accept-language", language)]).await.unwrap();
        socket.hello().await;
        assert_eq!(socket.call("room.leave", json!({})).await.unwrap_err()["message"], sentence);
    }
    let mut socket = app.open("/ws", &[("accept-language", "ko")]).await.unwrap();
    socket.call("auth", json!({"token": sumi.token, "locale": "en"})).await.unwrap();
    assert_eq!(socket.call("room.leave", json!({})).await.unwrap_err()["message"], english);
    app.stop().await;
}

// The lobby.

#[tokio::test]
async fn a_lobby_sees_counts_and_nothing_else() {
    let app = TestApp::start().await;
    let (sumi, hana) = (app.person("수미").await, app.person("하나").await);
    let (quiet, busy) = (app.person("민지").await.make_room().await, hana.make_room().await);
    let mut lobby = sumi.connect().await;
    lobby.hello().await;
    let counts = |id: i64, member_num: u64, online_num: u64| json!({"id": id, "member_num": member_num, "online_num": online_num});
    let told = lobby.call("room.watch", json!({"rooms": [busy, quiet]})).await.unwrap();
    let mut expected = vec![counts(quiet, 1, 0), counts(busy, 1, 0)];
    expected.sort_by_key(|count| count["id"].as_i64());
    assert_eq!(told, json!({"rooms": expected}));

    let mut hana_socket = hana.connect().await;
    hana_socket.hello().await;
    assert_eq!(lobby.expect("room.counts").await["d"], json!({"rooms": [counts(busy, 1, 1)]}), "what changed, alone");
    app.person("유리").await.enter(busy).await;
    let push = lobby.expect("room.counts").await;
    assert_eq!(push, json!({"ev": "room.counts", "d": {"rooms": [counts(busy, 2, 1)]}}), "no channel and no place");

    assert_eq!(lobby.call("room.unwatch", json!({})).await, Ok(json!({})));
    hana_socket.call("room.leave", json!({})).await.unwrap();
    let mut other = app.person("보라").await.connect().await;
    other.hello().await;
    other.call("room.watch", json!({"rooms": [busy]})).await.unwrap();
    app.person("다솜").await.enter(busy).await;
    other.expect("room.counts").await;
    lobby.expect_silence().await;

    let many: Vec<_> = (0..101).collect();
    assert_eq!(lobby.call("room.watch", json!({"rooms": many})).await.unwrap_err()["code"], "out_of_range");
    assert_eq!(lobby.call("room.watch", json!({"rooms": []})).await, Ok(json!({"rooms": []})));
    app.stop().await;
}

/// A picture is what its events make of it: this keeps [`Picture`] honest.
#[tokio::test]
async fn a_picture_follows_a_room() {
    let app = TestApp::start().await;
    let (sumi, hana) = (app.person("수미").await, app.person("하나").await);
    let room = sumi.make_room().await;
    let mut socket = sumi.connect().await;
    let mut picture = RoomPicture::of(&socket.hello().await);
    hana.enter(room).await;
    hana.delete(&format!("/rooms/{room}/")).await.ok();
    hana.enter(room).await;
    while picture.last < 5 {
        picture.apply(&socket.event().await);
    }
    assert_eq!(picture.members.keys().copied().collect::<Vec<_>>(), [sumi.id, hana.id]);
    app.stop().await;
}

/// Each change finds a picture that was drawn before; an instance that has drawn none reads every row.
#[tokio::test]
async fn a_picture_that_is_brought_up_to_date_is_that_which_is_drawn_anew() {
    let app = TestApp::start().await;
    let mut people = Vec::new();
    for name in ["수미", "하나", "보라", "다솜", "미라", "나래", "가람", "이슬"] {
        people.push(app.person(name).await);
    }
    let [sumi, hana, bora, dasom, mira, ..] = &people[..] else { panic!() };
    let room = sumi.make_room().await;
    for person in &people[1..7] {
        person.enter(room).await;
    }
    let leave = |who: &Person| {
        let who = who.clone();
        async move { who.delete(&format!("/rooms/{room}/")).await.ok() }
    };
    let mut socket = bora.connect().await;
    socket.hello().await;
    let mut seen = Vec::new();
    for step in 0..8 {
        match step {
            0 => people[7].enter(room).await,
            1 => drop(leave(hana).await),
            2 => {
                leave(dasom).await;
                dasom.enter(room).await;
            }
            3 => drop(mira.put(&format!("/accounts/{}/", mira.id), json!({"first_name": "마루"})).await.ok()),
            4 => drop(
                mira.post("/accounts/timer/start/", json!({"total_time": 0, "work_time": 25, "break_time": 5}))
                    .await
                    .ok(),
            ),
            5 => drop(socket.call("goal.set", json!({"text": "수학"})).await.unwrap()),
            6 => {
                hana.enter(room).await;
                leave(&people[7]).await;
            }
            _ => {}
        }
        app.say_all().await;
        let updated = members_as_seen(&app, sumi).await;
        let anew = app.beside(&[]).await;
        assert_eq!(updated, members_as_seen(&anew, &sumi.at(&anew)).await, "after step {step}");
        anew.stop().await;
        seen.push(updated);
    }
    seen.dedup();
    assert_eq!(seen.len(), 7, "each step but the last can be seen");
    app.stop().await;
}

/// Who sits in the room of `who`, in their order, as `hello` says it, but for what is another at each instance.
async fn members_as_seen(app: &TestApp, who: &Person) -> Vec<Value> {
    let mut hello = who.at(app).connect().await.hello().await;
    let mut members = hello["room"]["members"].as_array_mut().unwrap().split_off(0);
    for member in &mut members {
        let run = member["run"]["id"].take();
        let member = member.as_object_mut().unwrap();
        member.retain(|name, _| !["online", "since"].contains(&&**name));
        member.insert("run".to_owned(), run);
    }
    members
}
