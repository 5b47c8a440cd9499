//! Golden transcripts: a whole session of two people over both doors, and every message of the socket, word for word.
//!
//! What is compared here is what `/docs/session` and `/docs/messages` show. A change that is meant is written down by
//! `SOLGIK_TEST_GOLDEN=write cargo test --test it transcripts`, and read before it is committed.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Write,
    fs,
    time::Duration,
};

use entity::RoomId;
use reqwest::Method;
use serde_json::{Value, json};
use solgik::realtime::{
    Channel, Event,
    protocol::{
        events::{OfflineReason, OfflineView, OnlineView},
        frames,
    },
};

use crate::support::{Actor, Script, TestApp};

const SESSION: &str = "# A session, word for word

Two people, REST and the socket: what they send (→) and what they are told (←). A test plays this session on a real server
and compares every word. Instants, tokens, epochs and names of instances are put in afterwards, the same everywhere. Whoever is
signed in sends `Authorization: Bearer <token>` with every request. An answer and the pushes around it have no order that
could be relied on, except that the events of a channel come by their `off`. [Every message of the socket](/docs/messages)
has a page of its own.
";

const MESSAGES: &str = "# Every message of the socket

An example of each, as a real server sends it; a test compares them all. [The protocol](/docs/protocol) says what they
mean together, [asyncapi.json](/docs/asyncapi.json) has their schemas, and [a session](/docs/session) shows them in use.
";

const HOUR_MS: i64 = 3_600_000;

#[tokio::test]
async fn a_session_and_every_message_are_what_they_were() {
    let app = TestApp::with(&[("presence.grace_secs", "1")]).await;
    // Minutes on both sides of midnight would be points of two days.
    if (app.app.clock.now().0 + 9 * HOUR_MS) % (24 * HOUR_MS) > 23 * HOUR_MS {
        app.app.clock.advance(Duration::from_secs(3600));
    }
    let mut script = Script::default();
    let (mut sumi, mut hana) = arrive(&app, &mut script).await;
    meet(&mut script, &mut sumi, &mut hana).await;
    study(&app, &mut script, &mut sumi, &mut hana).await;
    lose_and_find(&mut script, &mut sumi, &mut hana).await;
    part(&mut script, &mut sumi, &mut hana).await;
    app.stop().await;
    compare("session", &format!("{SESSION}{}", script.pages()));
    let mut examples = rare().await;
    examples.extend(script.examples);
    compare("messages", &every_message(&examples));
}

async fn arrive(app: &TestApp, s: &mut Script) -> (Actor, Actor) {
    s.chapter("Two people sign up");
    let mut sumi = s.sign_up(app, "수미", "sumi@example.com").await;
    let mut hana = s.sign_up(app, "하나", "hana@example.com").await;
    let wrong = json!({"email": "hana@example.com", "password": "seven loud pines"});
    s.rest("하나", app, Method::POST, "/rest-auth/login/", wrong).await;

    s.chapter("One connects, and makes a room by REST");
    s.connect(&mut sumi).await;
    s.ask(&sumi, Method::POST, "/rooms/", json!({"name": "새벽반", "description": "Six to eight, every day"})).await;
    s.hears(&mut sumi, &["room.moved", "snapshot"]).await;

    s.chapter("The other looks into the lobby, and enters by the socket");
    s.connect(&mut hana).await;
    s.ask(&hana, Method::GET, "/rooms/?keyword=새벽", Value::Null).await;
    s.call(&mut hana, "room.watch", json!({"rooms": [1]})).await;
    s.call(&mut hana, "room.enter", json!({"room": 1})).await;
    s.hears(&mut hana, &["room.moved", "room.counts"]).await;
    s.hears(&mut sumi, &["room.entered"]).await;
    s.call(&mut hana, "room.unwatch", json!({})).await;
    s.silence([&mut sumi, &mut hana]).await;
    (sumi, hana)
}

async fn meet(s: &mut Script, sumi: &mut Actor, hana: &mut Actor) {
    s.chapter("A word and a goal");
    s.call(hana, "room.cheer", json!({"text": "화이팅!"})).await;
    s.hears(sumi, &["room.cheer"]).await;
    s.hears(hana, &["room.cheer"]).await;
    s.call(sumi, "goal.set", json!({"text": "미적분 3단원"})).await;
    s.hears(hana, &["goal.changed"]).await;
    s.hears(sumi, &["goal.changed"]).await;
    s.silence([sumi, hana]).await;

    s.chapter("Friendship is asked for, taken back, turned down and at last given");
    for (answer, told) in [("friend.cancel", "friend.cancelled"), ("friend.reject", "friend.rejected")] {
        s.call(hana, "friend.request", json!({"user": sumi.id})).await;
        s.hears(sumi, &["friend.requested"]).await;
        if answer == "friend.cancel" {
            s.call(hana, answer, json!({"user": sumi.id})).await;
        } else {
            s.call(sumi, answer, json!({"user": hana.id})).await;
        }
        s.hears(sumi, &[told]).await;
        s.hears(hana, &[told]).await;
    }
    s.call(hana, "friend.request", json!({"user": sumi.id})).await;
    s.hears(sumi, &["friend.requested"]).await;
    s.call(sumi, "friend.accept", json!({"user": hana.id})).await;
    s.hears(hana, &["friend.accepted"]).await;
    s.hears(sumi, &["friend.accepted"]).await;
    s.ask(sumi, Method::GET, "/accounts/friend/", Value::Null).await;
    s.silence([sumi, hana]).await;
}

async fn study(app: &TestApp, s: &mut Script, sumi: &mut Actor, hana: &mut Actor) {
    s.chapter("A timer runs: 25 minutes of work, 5 of rest");
    let plan = json!({"total_time": 120, "work_time": 25, "break_time": 5});
    s.ask(sumi, Method::POST, "/accounts/timesetting/", plan).await;
    s.call(sumi, "timer.start", json!({"cmd": "a-1"})).await;
    s.hears(sumi, &["timer.started", "timer.started"]).await;
    s.hears(hana, &["timer.started", "friend.state"]).await;
    s.silence([sumi, hana]).await;

    s.chapter("25 minutes later the break begins by itself");
    app.app.clock.advance(Duration::from_secs(25 * 60));
    s.hears(sumi, &["timer.phase", "timer.phase"]).await;
    s.hears(hana, &["timer.phase", "friend.state"]).await;
    s.call(sumi, "timer.pause", json!({"run": 1, "cmd": "a-2"})).await;
    s.hears(hana, &["timer.paused", "friend.state"]).await;
    s.hears(sumi, &["timer.paused", "timer.paused"]).await;
    s.call(sumi, "timer.resume", json!({"run": 1, "cmd": "a-3"})).await;
    s.hears(hana, &["timer.resumed", "friend.state"]).await;
    s.hears(sumi, &["timer.resumed", "timer.resumed"]).await;
    s.call(sumi, "timer.stop", json!({"run": 1, "cmd": "a-4"})).await;
    s.hears(hana, &["timer.stopped", "friend.state"]).await;
    s.hears(sumi, &["timer.stopped", "timer.stopped"]).await;
    s.call(sumi, "timer.pause", json!({})).await;
    s.ask(hana, Method::GET, "/accounts/?order_by=point", Value::Null).await;
    s.silence([sumi, hana]).await;
}

async fn lose_and_find(s: &mut Script, sumi: &mut Actor, hana: &mut Actor) {
    s.chapter(
        "A connection is lost; its grace (15 s, a moment here) ends, and what was missed follows the next `hello`",
    );
    hana.lose().await;
    s.hears(sumi, &["presence.offline", "friend.offline"]).await;
    s.call(sumi, "room.cheer", json!({"text": "어디 갔어요?"})).await;
    s.hears(sumi, &["room.cheer"]).await;
    s.connect(hana).await;
    s.hears(hana, &["presence.offline", "room.cheer", "presence.online"]).await;
    s.hears(sumi, &["presence.online", "friend.online"]).await;
    s.silence([sumi, hana]).await;

    s.chapter("Who has lost the thread asks for the whole picture");
    let nowhere = json!({"since": {"room:1": ["", 0], "user:2": ["", 0]}});
    s.call(hana, "sync", nowhere).await;
    s.hears(hana, &["snapshot", "snapshot"]).await;
    s.silence([sumi, hana]).await;

    s.chapter("A name changes, a token is renewed");
    s.ask(hana, Method::PUT, "/accounts/2/", json!({"first_name": "하늬"})).await;
    s.hears(sumi, &["room.updated"]).await;
    s.hears(hana, &["room.updated"]).await;
    let later = s.ask(hana, Method::POST, "/rest-auth/token/refresh/", json!({})).await;
    s.call(hana, "refresh", json!({"token": later["token"]})).await;
    s.call(hana, "whoami", json!({})).await;
    s.silence([sumi, hana]).await;
}

async fn part(s: &mut Script, sumi: &mut Actor, hana: &mut Actor) {
    s.chapter("Friendship ends, one leaves and signs out");
    s.call(hana, "friend.remove", json!({"user": sumi.id})).await;
    s.hears(sumi, &["friend.removed"]).await;
    s.hears(hana, &["friend.removed"]).await;
    s.call(hana, "room.leave", json!({})).await;
    s.hears(hana, &["room.moved"]).await;
    s.hears(sumi, &["room.exited"]).await;
    s.call(hana, "room.cheer", json!({"text": "안녕"})).await;
    s.silence([sumi, hana]).await;
    s.ask(hana, Method::POST, "/rest-auth/logout/", json!({})).await;
    s.ends(hana).await;

    s.chapter("The other deletes the account");
    s.ask(sumi, Method::DELETE, "/accounts/1/", Value::Null).await;
    s.ends(sumi).await;
    s.ask(sumi, Method::GET, "/rooms/check/", Value::Null).await;
}

/// What a short session doesn't meet: a large room, a reader who is slow, a room that closes while somebody listens.
async fn rare() -> BTreeMap<String, String> {
    let app = TestApp::start().await;
    let mut script = Script::default();
    let s = &mut script;
    s.chapter("");
    let mut sumi = s.sign_up(&app, "수미", "sumi@example.com").await;
    s.connect(&mut sumi).await;
    s.ask(&sumi, Method::POST, "/rooms/", json!({"name": "새벽반"})).await;
    s.hears(&mut sumi, &["room.moved", "snapshot"]).await;
    let room = Channel::Room(RoomId(1));
    let at = app.app.clock.now().0;
    let batch = Event::PresenceBatch {
        online: vec![OnlineView { user: 2, since: at }],
        offline: vec![OfflineView { user: 3, at, reason: OfflineReason::Disconnected }],
    };
    for event in [batch, Event::RoomClosed { room: 1 }] {
        app.app.hub.say(room, &event).await.unwrap();
    }
    s.hears(&mut sumi, &["presence.batch", "room.closed"]).await;
    s.heard("", &serde_json::from_str(frames::superseded(room, 7).as_str()).unwrap());
    app.stop().await;
    let mut examples = script.examples;
    examples.insert("heartbeat".to_owned(), frames::HEARTBEAT.to_owned());
    examples
}

/// The page of all messages. One that the document of the socket describes and nobody has heard here has no example yet.
fn every_message(examples: &BTreeMap<String, String>) -> String {
    let document: Value = serde_json::from_str(include_str!("../../src/web/docs/asyncapi.json")).unwrap();
    let messages = document["components"]["messages"].as_object().unwrap();
    let (described, heard): (BTreeSet<_>, BTreeSet<_>) = (messages.keys().collect(), examples.keys().collect());
    assert_eq!(described, heard, "messages that are described, and those that have an example");
    let about = |name: &str| messages[name]["summary"].as_str().unwrap();
    let (mut operations, mut pushes) = (String::new(), String::new());
    for (name, example) in examples {
        if let Some(op) = name.strip_prefix("op.") {
            let answer = &examples[&format!("ok.{op}")];
            let block = format!("```text\n→ {example}\n← {answer}\n```");
            write!(operations, "\n### {op}\n\n{}\n\n{block}\n", about(name)).unwrap();
        } else if !name.starts_with("ok.") {
            write!(pushes, "\n### {name}\n\n{}\n\n```text\n← {example}\n```\n", about(name)).unwrap();
        }
    }
    format!("{MESSAGES}\n## What a client asks, and how it is answered\n{operations}\n## What it is told\n{pushes}")
}

/// Compares with the page that is served, or writes it.
fn compare(page: &str, text: &str) {
    let path = format!("{}/src/web/docs/{page}.md", env!("CARGO_MANIFEST_DIR"));
    if env::var("SOLGIK_TEST_GOLDEN").is_ok_and(|mode| mode == "write") {
        fs::write(path, text).unwrap();
        return;
    }
    let golden = fs::read_to_string(path).unwrap();
    for (number, (golden, now)) in golden.lines().zip(text.lines()).enumerate() {
        assert_eq!(golden, now, "line {} of {page}.md", number + 1);
    }
    assert_eq!(golden.lines().count(), text.lines().count(), "{page}.md is longer or shorter");
}
