//! What `solgik.v1` promises, on one instance: order, completeness, no gap, one presence a person, slow readers, the
//! end of sessions, heartbeats, and that nobody acts where they don't sit.

use std::{collections::BTreeSet, time::Duration};

use entity::{AccountId, RoomId};
use futures_util::future::join_all;
use serde_json::{Value, json};
use solgik::{
    clock,
    realtime::{Channel, Event, protocol::events::OfflineReason},
};

use crate::support::{PING, Person, Raw, RoomPicture, TEXT, TestApp, WsClient, frame};

/// A socket opened by a first message that says where the client stands.
async fn resume(app: &TestApp, person: &Person, since: &Value) -> (WsClient, Value) {
    let mut socket = app.open("/ws", &[]).await.unwrap();
    socket.call("auth", json!({"token": person.token, "since": since})).await.unwrap();
    let hello = socket.hello().await;
    (socket, hello)
}

/// Ends the sign-in that `person`'s token belongs to.
pub async fn sign_out(person: &Person) {
    person.post("/rest-auth/logout/", json!({})).await.bare(200);
}

/// Says so many words in `room`, past the door, where nothing waits for a reader.
async fn cheers(app: &TestApp, room: i64, user: i64, texts: impl IntoIterator<Item = String>) {
    for text in texts {
        app.app.hub.say(Channel::Room(RoomId(room)), &Event::RoomCheer { user, text }).await.unwrap();
    }
}

fn offs(events: &[Value]) -> Vec<u64> {
    events.iter().map(|event| event["off"].as_u64().unwrap_or_else(|| panic!("no place: {event}"))).collect()
}

fn of_channel(events: Vec<Value>, channel: &str) -> Vec<Value> {
    events.into_iter().filter(|event| event["ch"] == channel).collect()
}

// 1. Order and completeness.

#[tokio::test]
async fn places_are_contiguous_and_the_same_for_everybody() {
    let app = TestApp::start().await;
    let people = join_all(["수미", "하나", "민지"].map(|name| app.person(name))).await;
    let room = people[0].make_room().await;
    let channel = format!("room:{room}");
    people[1].enter(room).await;
    people[2].enter(room).await;
    let mut sockets = Vec::new();
    for person in &people {
        let mut socket = person.connect().await;
        socket.hello().await;
        sockets.push(socket);
    }
    for round in 0..20 {
        for socket in &mut sockets {
            socket.call("room.cheer", json!({"text": format!("{round}")})).await.unwrap();
        }
        sockets[round % 3].call("goal.set", json!({"text": format!("{round}쪽")})).await.unwrap();
    }
    let mut heard = Vec::new();
    for socket in &mut sockets {
        let mut events = of_channel(socket.events().await, &channel);
        while events.last().unwrap()["off"] != json!(6 + 80) {
            events.push(socket.event().await);
        }
        heard.push(events);
    }
    // Three have entered, and three are online; the last of them heard of nobody after itself.
    assert_eq!(offs(&heard[2]), (7..=86).collect::<Vec<_>>());
    assert_eq!(heard[0][heard[0].len() - 80..], heard[2]);
    assert_eq!(heard[1][heard[1].len() - 80..], heard[2]);
    app.stop().await;
}

#[tokio::test]
async fn who_comes_back_gets_exactly_what_was_missed() {
    let app = TestApp::start().await;
    let (sumi, hana) = (app.person("수미").await, app.person("하나").await);
    let room = sumi.make_room().await;
    let mut socket = sumi.connect().await;
    let hello = socket.hello().await;
    let mut picture = RoomPicture::of(&hello);
    let own = format!("user:{}", sumi.id);
    let mut since = picture.since();
    since[&own] = json!([hello["channels"][&own]["epoch"], hello["channels"][&own]["off"]]);
    socket.abort().await;

    hana.enter(room).await;
    app.say_all().await;
    cheers(&app, room, hana.id, (0..5).map(|n| n.to_string())).await;
    hana.befriend(&sumi).await;
    // By first message, before anything live.
    let (mut socket, hello) = resume(&app, &sumi, &since).await;
    assert_eq!(hello["room"], json!({"id": room}), "the picture is the client's own");
    let place = &hello["channels"][&format!("room:{room}")];
    assert_eq!((&place["recovered"], &place["off"]), (&json!(true), &json!(picture.last + 6)));
    assert_eq!(hello["channels"][&own]["recovered"], true);
    let events = socket.events().await;
    let names =
        |events: &[Value]| events.iter().map(|event| event["ev"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let (in_room, of_mine): (Vec<_>, Vec<_>) = events.into_iter().partition(|event| event["ch"] != *own);
    assert_eq!(names(&of_mine), ["friend.requested", "friend.accepted"]);
    assert_eq!(names(&in_room), ["room.entered", "room.cheer", "room.cheer", "room.cheer", "room.cheer", "room.cheer"]);
    assert!(in_room.iter().all(|event| picture.apply(event)), "nothing twice");

    // And by sync, in a socket that opened without a word about it.
    let mut by_header = sumi.connect().await;
    by_header.hello().await;
    cheers(&app, room, hana.id, ["또".to_owned()]).await;
    assert_eq!(by_header.expect("room.cheer").await["off"], picture.last + 1);
    let synced = by_header.call("sync", json!({"since": since})).await.unwrap();
    let place = &synced["channels"][&format!("room:{room}")];
    assert_eq!((&place["recovered"], &place["off"]), (&json!(true), &json!(picture.last + 1)));
    let events = of_channel(by_header.events().await, &format!("room:{room}"));
    let first = since[&format!("room:{room}")][1].as_u64().unwrap();
    assert_eq!(offs(&events), (first + 1..=picture.last + 1).collect::<Vec<_>>());
    cheers(&app, room, hana.id, ["그리고".to_owned()]).await;
    assert_eq!(by_header.expect("room.cheer").await["off"], picture.last + 2, "live goes on behind it");
    by_header.expect_silence().await;
    app.stop().await;
}

#[tokio::test]
async fn what_can_not_be_recovered_is_told_as_a_whole() {
    let roomy = [("socket.queue_messages", "1000"), ("limits.connections_per_user", "50")];
    let app = TestApp::with(&roomy).await;
    let (sumi, hana) = (app.person("수미").await, app.person("하나").await);
    let room = sumi.make_room().await;
    hana.enter(room).await;
    let channel = format!("room:{room}");
    let mut socket = sumi.connect().await;
    let hello = socket.hello().await;
    let (epoch, off) =
        (hello["channels"][&channel]["epoch"].clone(), hello["channels"][&channel]["off"].as_u64().unwrap());
    cheers(&app, room, hana.id, (0..300).map(|n| n.to_string())).await;
    for (why, epoch, off, recovered) in [
        ("300 are remembered", epoch.clone(), off, true),
        ("everything is known", epoch.clone(), off + 300, true),
        ("301 are too many", epoch.clone(), off - 1, false),
        ("another numbering", json!("another"), off + 299, false),
        ("a place that is not yet", epoch.clone(), off + 301, false),
        ("a place beyond every number", epoch.clone(), u64::MAX, false),
    ] {
        whole_or_recovered(&app, &sumi, &channel, json!({&channel: [epoch, off]}), recovered, why).await;
    }
    app.app.clock.advance(Duration::from_secs(121));
    cheers(&app, room, hana.id, ["오랜만".to_owned()]).await;
    let long_ago = json!({&channel: [epoch, off + 299]});
    whole_or_recovered(&app, &sumi, &channel, long_ago, false, "too long ago").await;
    app.stop().await;
}

/// By a first message and by `sync`: either every missed event, or the whole; never both.
async fn whole_or_recovered(app: &TestApp, person: &Person, channel: &str, since: Value, recovered: bool, why: &str) {
    let (mut socket, hello) = resume(app, person, &since).await;
    assert_eq!(hello["channels"][channel]["recovered"], recovered, "{why}");
    assert_eq!(hello["room"].get("members").is_none(), recovered, "{why}");
    let stands_at = hello["channels"][channel]["off"].as_u64().unwrap();
    let asked = since[channel][1].as_u64().unwrap();
    let expected = if recovered { (asked + 1..=stands_at).collect() } else { vec![] };
    assert_eq!(offs(&of_channel(socket.events().await, channel)), expected, "{why}");

    let synced = socket.call("sync", json!({"since": since})).await.unwrap();
    assert_eq!(synced["channels"][channel]["recovered"], recovered, "{why}");
    let events = of_channel(socket.events().await, channel);
    if recovered {
        assert_eq!(offs(&events), expected, "{why}");
    } else {
        assert_eq!(events.len(), 1, "{why}: {events:?}");
        assert_eq!((&events[0]["ev"], &events[0]["d"]["off"]), (&json!("snapshot"), &json!(stands_at)), "{why}");
        assert!(events[0]["d"]["room"]["members"].is_array(), "{why}");
        assert!(events[0].get("off").is_none(), "{why}");
    }
}

#[tokio::test]
async fn nobody_recovers_a_channel_that_is_not_theirs() {
    let app = TestApp::start().await;
    let (sumi, hana) = (app.person("수미").await, app.person("하나").await);
    let room = hana.make_room().await;
    let mut hana_socket = hana.connect().await;
    let hello = hana_socket.hello().await;
    let mut since = json!({});
    for (channel, place) in hello["channels"].as_object().unwrap() {
        since[channel] = json!([place["epoch"], 0]);
    }
    assert!(since.get(format!("room:{room}")).is_some());
    let (mut socket, hello) = resume(&app, &sumi, &since).await;
    assert_eq!(hello["room"], json!(null));
    assert_eq!(hello["channels"].as_object().unwrap().len(), 1);
    assert_eq!(socket.call("sync", json!({"since": since})).await, Ok(json!({"channels": {}})));
    socket.expect_silence().await;
    app.stop().await;
}

#[tokio::test]
async fn what_is_done_twice_is_told_once() {
    let app = TestApp::start().await;
    let (sumi, hana) = (app.person("수미").await, app.person("하나").await);
    let room = sumi.make_room().await;
    let mut socket = sumi.connect().await;
    let mut picture = RoomPicture::of(&socket.hello().await);
    join_all((0..10).map(|_| hana.enter(room))).await;
    let ask = format!("/accounts/friend/{}/", hana.id);
    join_all((0..10).map(|_| sumi.post(&ask, json!({"flag": true})))).await;
    app.say_all().await;
    let events = socket.events().await;
    let entered: Vec<_> = events.iter().filter(|event| event["ev"] == "room.entered").collect();
    assert_eq!(entered.len(), 1, "{events:?}");
    assert!(picture.apply(entered[0]) && !picture.apply(entered[0]));
    let mut hana_socket = hana.connect().await;
    let hello = hana_socket.hello().await;
    assert_eq!(hello["requests"].as_array().unwrap().len(), 1);
    assert_eq!(hello["channels"][&format!("user:{}", hana.id)]["off"], 2, "moved and requested");
    app.stop().await;
}

// 2. No gap between snapshot and live.

#[tokio::test]
async fn whoever_joins_a_busy_room_misses_nothing_of_it() {
    const JOINERS: usize = 12;
    let app = TestApp::start().await;
    let (sumi, hana) = (app.person("수미").await, app.person("하나").await);
    let room = sumi.make_room().await;
    hana.enter(room).await;
    let joiners = join_all((0..JOINERS).map(|_| app.person("새내기"))).await;
    let seated = join_all((0..JOINERS).map(|_| app.person("민지"))).await;
    join_all(seated.iter().map(|person| person.enter(room))).await;
    let mut noise = hana.connect().await;
    noise.hello().await;

    let busy = async {
        for round in 0..40 {
            noise.call("room.cheer", json!({"text": format!("{round}")})).await.unwrap();
            noise.call("goal.set", json!({"text": format!("{round}쪽")})).await.unwrap();
            if round % 4 == 0 {
                sumi.delete(&format!("/rooms/{room}/")).await.ok();
                sumi.enter(room).await;
            }
        }
    };
    // Some sit there already and only connect; the others enter by their sockets.
    let by_hello = join_all(seated.iter().map(|person| async {
        let mut socket = person.connect().await;
        let picture = RoomPicture::of(&socket.hello().await);
        (socket, picture)
    }));
    let by_entering = join_all(joiners.iter().map(|person| async {
        let mut socket = person.connect().await;
        socket.hello().await;
        let picture = RoomPicture::of(&socket.call("room.enter", json!({"room": room})).await.unwrap());
        (socket, picture)
    }));
    let ((), hello, entered) = tokio::join!(busy, by_hello, by_entering);

    let mut clients: Vec<_> = hello.into_iter().chain(entered).collect();
    let fresh = RoomPicture::of(&sumi.connect().await.hello().await);
    // The last look has made an edge of its own, which everybody hears of.
    for (socket, picture) in &mut clients {
        while picture.last < fresh.last {
            picture.apply(&socket.event().await);
        }
        assert_eq!(*picture, fresh);
    }
    app.stop().await;
}

// 4. Presence is of the user.

/// Sumi and Hana sit in one room and are friends; Hana looks on.
async fn watched(app: &TestApp) -> (Person, Person, i64, WsClient) {
    let (sumi, hana) = (app.person("수미").await, app.person("하나").await);
    let room = hana.make_room().await;
    sumi.enter(room).await;
    sumi.befriend(&hana).await;
    let mut watcher = hana.connect().await;
    watcher.hello().await;
    (sumi, hana, room, watcher)
}

#[tokio::test]
async fn many_devices_are_one_presence() {
    let app = TestApp::with(&[("presence.grace_secs", "1")]).await;
    let (sumi, _, room, mut watcher) = watched(&app).await;
    let before = app.app.clock.now().0;
    let mut devices = Vec::new();
    for _ in 0..3 {
        let mut device = sumi.connect().await;
        device.hello().await;
        devices.push(device);
    }
    let online = watcher.expect("presence.online").await;
    assert_eq!((&online["ch"], &online["d"]["user"]), (&json!(format!("room:{room}")), &json!(sumi.id)));
    assert!(online["d"]["since"].as_i64().unwrap() >= before);
    assert_eq!(watcher.expect("friend.online").await["d"], online["d"]);
    watcher.expect_silence().await;

    let last = devices.pop().unwrap();
    for device in devices {
        device.close().await;
    }
    let lost = app.app.clock.now().0;
    last.abort().await;
    let offline = watcher.expect("presence.offline").await;
    let told = app.app.clock.now().0;
    let at = offline["d"]["at"].as_i64().unwrap();
    assert_eq!(offline["d"], json!({"user": sumi.id, "at": at, "reason": "disconnected"}));
    assert!(lost <= at && at + 1000 <= told, "lost at {lost}, said to be lost at {at}, told at {told}");
    assert_eq!(watcher.expect("friend.offline").await["d"], offline["d"]);
    watcher.expect_silence().await;
    let row = sumi.get(&format!("/rooms/{room}/")).await.ok();
    assert_eq!((&row["member_num"], &row["online_num"]), (&json!(2), &json!(1)), "the seat stays");
    assert_eq!(row["members"][1]["since"], clock::rfc3339(entity::Millis(at)));
    app.stop().await;
}

#[tokio::test]
async fn a_return_within_the_grace_is_silent() {
    let app = TestApp::with(&[("presence.grace_secs", "1")]).await;
    let (sumi, hana, _, mut watcher) = watched(&app).await;
    let minji = app.person("민지").await;
    minji.befriend(&hana).await;
    watcher.expect("friend.accepted").await;
    let mut device = sumi.connect().await;
    let since = device.hello().await["room"]["members"][1]["since"].clone();
    watcher.expect("presence.online").await;
    watcher.expect("friend.online").await;
    for _ in 0..3 {
        device.abort().await;
        device = sumi.connect().await;
        let hello = device.hello().await;
        assert_eq!(hello["room"]["members"][1]["since"], since, "online all the time");
    }
    // A grace that began later has ended: so has that of the lost devices.
    let mut other = minji.connect().await;
    other.hello().await;
    watcher.expect("friend.online").await;
    other.abort().await;
    assert_eq!(watcher.expect("friend.offline").await["d"]["user"], minji.id);
    watcher.expect("friend.requested").await;
    watcher.expect_silence().await;
    app.stop().await;
}

#[tokio::test]
async fn signing_out_and_deletion_are_told_at_once() {
    let app = TestApp::start().await;
    let (sumi, _, _, mut watcher) = watched(&app).await;
    let again = sumi.signed_in_again(&app.app).await;
    let (mut phone, mut laptop) = (sumi.connect().await, again.connect().await);
    phone.hello().await;
    laptop.hello().await;
    watcher.expect("presence.online").await;
    watcher.expect("friend.online").await;
    sign_out(&sumi).await;
    assert_eq!(phone.expect_close().await.0, 4503);
    watcher.expect_silence().await;
    sign_out(&again).await;
    assert_eq!(laptop.expect_close().await.0, 4503);
    let offline = watcher.expect("presence.offline").await;
    assert_eq!(offline["d"]["reason"], "logout");
    assert_eq!(watcher.expect("friend.offline").await["d"], offline["d"]);

    let back = sumi.signed_in_again(&app.app).await;
    let mut device = back.connect().await;
    device.hello().await;
    watcher.expect("presence.online").await;
    watcher.expect("friend.online").await;
    back.delete(&format!("/accounts/{}/", sumi.id)).await.ok();
    assert_eq!(device.expect_close().await.0, 4505);
    let exited = watcher.expect("room.exited").await;
    assert_eq!((&exited["d"]["user"], &exited["d"]["reason"]), (&json!(sumi.id), &json!("deleted")));
    assert_eq!(watcher.expect("friend.removed").await["d"]["user"], sumi.id);
    watcher.expect_silence().await;
    app.stop().await;
}

#[tokio::test]
async fn a_large_room_hears_of_presence_in_batches() {
    let app = TestApp::with(&[("presence.grace_secs", "1")]).await;
    let mut members = Vec::new();
    for _ in 0..51 {
        members.push(app.person("민지").await);
    }
    let room = members[0].make_room().await;
    join_all(members[1..].iter().map(|member| member.enter(room))).await;
    let mut watcher = members[0].connect().await;
    let mut picture = RoomPicture::of(&watcher.hello().await);
    let mut devices = join_all(members[1..6].iter().map(|member| member.connect())).await;
    for device in &mut devices {
        device.hello().await;
    }
    let online = |picture: &RoomPicture| picture.members.values().filter(|member| member["online"] == true).count();
    let mut batches = 0;
    while online(&picture) < 6 {
        let event = watcher.event().await;
        assert_eq!(event["ev"], "presence.batch", "{event}");
        picture.apply(&event);
        batches += 1;
    }
    assert!(batches < 5, "{batches} batches for five members");
    for device in devices {
        device.abort().await;
    }
    while online(&picture) > 1 {
        let event = watcher.event().await;
        assert_eq!(event["ev"], "presence.batch", "{event}");
        let mut offline = event["d"]["offline"].as_array().unwrap().iter();
        assert!(offline.all(|entry| entry["reason"] == "disconnected"), "{event}");
        picture.apply(&event);
    }
    app.stop().await;
}

// 6. Slow readers harm only themselves.

#[tokio::test]
async fn a_reader_that_stops_is_closed_and_may_resume() {
    let app = TestApp::start().await;
    let (sumi, hana) = (app.person("수미").await, app.person("하나").await);
    let room = sumi.make_room().await;
    hana.enter(room).await;
    let (mut slow, mut quick) = (sumi.connect().await, hana.connect().await);
    let mut picture = RoomPicture::of(&slow.hello().await);
    quick.hello().await;
    slow.keep_reading(false);
    let slow_is_held = || !app.app.hub.registry().of(AccountId(sumi.id)).is_empty();
    let mut said = 0;
    while slow_is_held() {
        cheers(&app, room, hana.id, ["가".repeat(15_000)]).await;
        said += 1;
        assert_eq!(quick.expect("room.cheer").await["d"]["user"], hana.id, "no sender waits, and no other receiver");
        assert!(said < 1000, "the reader is never found to be slow");
    }
    // What was on its way may still be read, and why it was the last.
    slow.keep_reading(true);
    loop {
        let event = slow.event().await;
        if event["ev"] == "bye" {
            assert_eq!(event["d"], json!({"code": 4004, "reason": "slow"}));
            break;
        }
        picture.apply(&event);
    }
    assert_eq!(slow.expect_close().await.0, 4004);
    let missed_from = picture.last;
    let (mut back, hello) = resume(&app, &sumi, &picture.since()).await;
    let place = &hello["channels"][&format!("room:{room}")];
    assert_eq!(place["recovered"], true);
    while picture.last < place["off"].as_u64().unwrap() {
        assert!(picture.apply(&back.event().await));
    }
    assert!(picture.last > missed_from);
    quick.call("room.cheer", json!({"text": "다시"})).await.unwrap();
    assert!(picture.apply(&back.expect("room.cheer").await));
    app.stop().await;
}

#[tokio::test]
async fn what_comes_while_a_reader_rests_is_not_forgotten() {
    let app = TestApp::with(&[("socket.queue_bytes", "100000000")]).await;
    let (sumi, hana) = (app.person("수미").await, app.person("하나").await);
    let room = sumi.make_room().await;
    hana.enter(room).await;
    let mut socket = sumi.connect().await;
    socket.hello().await;
    socket.keep_reading(false);
    // More than the system's buffers take: the write has to wait.
    cheers(&app, room, hana.id, ["x".repeat(12_000_000)]).await;
    app.get("/livez").await.ok();
    cheers(&app, room, hana.id, ["그 사이에".to_owned()]).await;
    app.get("/livez").await.ok();
    socket.keep_reading(true);
    socket.expect("room.cheer").await;
    assert_eq!(socket.expect("room.cheer").await["d"]["text"], "그 사이에", "long before the next heartbeat");
    app.stop().await;
}

#[tokio::test]
async fn superseded_presence_keeps_its_place() {
    let app = TestApp::with(&[("socket.queue_messages", "200"), ("socket.queue_bytes", "100000000")]).await;
    let (sumi, hana) = (app.person("수미").await, app.person("하나").await);
    let room = sumi.make_room().await;
    hana.enter(room).await;
    let mut socket = sumi.connect().await;
    let mut picture = RoomPicture::of(&socket.hello().await);
    socket.keep_reading(false);
    // The system's buffers take a part of this; far more than half a queue is left.
    cheers(&app, room, hana.id, (0..180).map(|_| "x".repeat(150_000))).await;
    let channel = Channel::Room(RoomId(room));
    let user = hana.id;
    for at in 1..=30 {
        let offline = Event::PresenceOffline { user, at, reason: OfflineReason::Disconnected };
        app.app.hub.say(channel, &offline).await.unwrap();
        app.app.hub.say(channel, &Event::PresenceOnline { user, since: at }).await.unwrap();
    }
    let last = app.app.hub.standing(channel).await.unwrap().place.off;
    socket.keep_reading(true);
    let (mut superseded, mut told) = (0, Vec::new());
    while picture.last < last {
        let event = socket.event().await;
        assert!(picture.apply(&event), "every place has its frame: {}", event["off"]);
        match event["ev"].as_str().unwrap() {
            "superseded" => superseded += 1,
            "room.cheer" => {}
            _ => told.push(event["d"].clone()),
        }
    }
    assert_eq!(told.last().unwrap(), &json!({"user": user, "since": 30}), "the last state stands");
    assert_eq!(superseded + told.len(), 60);
    assert!(superseded > 50, "{superseded}");
    app.stop().await;
}

// 7. A session's end closes its sockets.

#[tokio::test]
async fn a_sessions_end_closes_its_sockets_and_no_others() {
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    let again = sumi.signed_in_again(&app.app).await;
    let (mut one, mut two, mut other) = (sumi.connect().await, sumi.connect().await, again.connect().await);
    for socket in [&mut one, &mut two, &mut other] {
        socket.hello().await;
    }
    sign_out(&sumi).await;
    for mut socket in [one, two] {
        assert_eq!(socket.expect_close().await, (4503, json!({"code": 4503, "reason": "session_ended"})));
    }
    other.expect_silence().await;
    sumi.get("/rooms/check/").await.refused(401, "session_ended");
    again.get("/rooms/check/").await.ok();
    app.stop().await;
}

#[tokio::test]
async fn threat_9_a_socket_dies_with_its_token_unless_it_is_refreshed() {
    let app = TestApp::with(&[("socket.expiry_grace_secs", "1")]).await;
    let sumi = app.person("수미").await;
    let caller = app.app.auth.check(&sumi.token).await.unwrap();
    let soon = clock::after(app.app.clock.now(), Duration::from_secs(3));
    let brief = app.app.auth.issue(caller.account, caller.session, soon).unwrap();
    let open = async |token: &str| {
        let mut socket = app.open("/ws", &[("authorization", &format!("JWT {token}"))]).await.unwrap();
        let hello = socket.hello().await;
        (socket, hello)
    };
    let (mut dies, hello) = open(&brief.token).await;
    assert_eq!(hello["token_expires_at"], brief.expires_at.0);
    let (mut lives, _) = open(&brief.token).await;
    let refreshed = lives.call("refresh", json!({"token": sumi.token})).await.unwrap();
    assert_eq!(refreshed, json!({"token_expires_at": caller.expires_at.0}));
    assert_eq!(dies.expect_close().await, (4003, json!({"code": 4003, "reason": "token_expired"})));
    let died = app.app.clock.now().0;
    let grace_over = brief.expires_at.0 + 1000;
    assert!((grace_over..grace_over + 1000).contains(&died), "{died} is not soon after {grace_over}");
    lives.expect_silence().await;
    app.stop().await;
}

#[tokio::test]
async fn threat_9_only_ones_own_session_refreshes_a_socket() {
    let app = TestApp::start().await;
    let (sumi, hana) = (app.person("수미").await, app.person("하나").await);
    let again = sumi.signed_in_again(&app.app).await;
    let mut socket = sumi.connect().await;
    let before = socket.hello().await["token_expires_at"].clone();
    for token in [&hana.token, &again.token, "nonsense"] {
        let refused = socket.call("refresh", json!({"token": token})).await.unwrap_err();
        assert_eq!(refused["code"], "token_invalid");
    }
    assert_eq!(socket.call("whoami", json!({})).await.unwrap()["token_expires_at"], before);
    app.stop().await;
}

// 8. The heartbeat is the server's.

#[tokio::test]
async fn a_heartbeat_that_is_answered_is_followed_by_the_next() {
    let app = TestApp::with(&[("socket.heartbeat_secs", "1"), ("socket.answer_secs", "1")]).await;
    let sumi = app.person("수미").await;
    let mut raw = Raw::connect(&sumi, "/ws").await;
    for _ in 0..2 {
        assert_eq!(raw.next().await, (TEXT, b"{}".to_vec()));
        raw.send(&frame(0x81, b"{}")).await;
    }
    assert_eq!(raw.next().await, (TEXT, b"{}".to_vec()));
    // Any message is a sign of life.
    raw.send(&frame(0x81, br#"{"id":1,"op":"whoami"}"#)).await;
    assert_eq!(raw.message().await["id"], 1);
    assert_eq!(raw.next().await, (TEXT, b"{}".to_vec()));
    drop(raw);
    app.stop().await;
}

#[tokio::test]
async fn pings_take_the_heartbeats_place_where_they_are_asked_for() {
    let app = TestApp::with(&[("socket.heartbeat_secs", "1"), ("socket.answer_secs", "1")]).await;
    let sumi = app.person("수미").await;
    let mut raw = Raw::connect(&sumi, "/ws?hb=ws").await;
    for _ in 0..2 {
        let (kind, payload) = raw.next().await;
        assert_eq!(kind, PING);
        raw.send(&frame(0x8a, &payload)).await;
    }
    assert_eq!(raw.next().await.0, PING);
    assert_eq!(raw.expect_close_after_pings().await, (4006, json!({"code": 4006, "reason": "no_answer"})));
    drop(raw);
    app.stop().await;
}

// Threat 14: acting without membership.

#[tokio::test]
async fn threat_14_who_has_left_hears_and_says_nothing() {
    let app = TestApp::start().await;
    let (sumi, hana) = (app.person("수미").await, app.person("하나").await);
    let room = hana.make_room().await;
    sumi.enter(room).await;
    let channel = format!("room:{room}");
    let (mut phone, mut laptop, mut inside) = (sumi.connect().await, sumi.connect().await, hana.connect().await);
    for socket in [&mut phone, &mut laptop, &mut inside] {
        socket.hello().await;
    }
    for by_rest in [true, false] {
        if by_rest {
            sumi.delete(&format!("/rooms/{room}/")).await.ok();
        } else {
            phone.call("room.leave", json!({})).await.unwrap();
        }
        phone.events().await;
        laptop.events().await;
        inside.call("room.cheer", json!({"text": "우리끼리"})).await.unwrap();
        inside.call("goal.set", json!({"text": "비밀"})).await.unwrap();
        for device in [&mut phone, &mut laptop] {
            for (op, d) in [("room.cheer", json!({"text": "들리니"})), ("goal.set", json!({"text": "x"}))] {
                assert_eq!(device.call(op, d).await.unwrap_err()["code"], "not_a_member", "{op}");
            }
            assert_eq!(device.call("room.leave", json!({})).await.unwrap_err()["code"], "not_a_member");
            let overheard = of_channel(device.events().await, &channel);
            assert!(overheard.is_empty(), "{overheard:?}");
            let since = json!({&channel: ["", 0]});
            assert_eq!(device.call("sync", json!({"since": since})).await, Ok(json!({"channels": {}})));
        }
        sumi.enter(room).await;
        for device in [&mut phone, &mut laptop] {
            assert_eq!(device.expect("snapshot").await["ch"], channel);
        }
    }
    let heard = inside.events().await;
    assert!(heard.iter().all(|event| event["ev"] != "room.cheer" || event["d"]["user"] == hana.id));
    app.stop().await;
}

#[tokio::test]
async fn threat_14_the_answer_to_leaving_is_the_last_of_the_room() {
    let app = TestApp::start().await;
    let (sumi, hana) = (app.person("수미").await, app.person("하나").await);
    let room = hana.make_room().await;
    let (mut leaver, mut noise) = (sumi.connect().await, hana.connect().await);
    leaver.hello().await;
    noise.hello().await;
    for _ in 0..10 {
        leaver.call("room.enter", json!({"room": room})).await.unwrap();
        let lines: Vec<_> =
            (0..16).map(|n| json!({"id": 1000 + n, "op": "room.cheer", "d": {"text": "와"}}).to_string()).collect();
        noise.raw_send(lines.join("\n")).await;
        leaver.call("room.leave", json!({})).await.unwrap();
        leaver.events_so_far();
        for n in 0..16 {
            noise.answer(Some(1000 + n)).await;
        }
        let events = leaver.events().await;
        let channels: BTreeSet<_> = events.iter().map(|event| event["ch"].to_string()).collect();
        assert!(events.iter().all(|event| event["ev"] == "room.moved"), "{channels:?} {events:?}");
    }
    app.stop().await;
}
