//! The timer through both doors: commands, phases, the ledger they leave, and what others hear.

use std::time::Duration;

use entity::{AccountId, account, segment};
use sea_orm::{EntityTrait, QueryOrder};
use serde_json::{Value, json};
use solgik::{clock, timer::settle};

use crate::support::{Person, TestApp};

const MINUTE: Duration = Duration::from_secs(60);

fn plan(total: i64, work: i64, rest: i64) -> Value {
    json!({"total_time": total, "work_time": work, "break_time": rest})
}

async fn command(person: &Person, command: &str, body: Value) -> Value {
    person.post(&format!("/accounts/timer/{command}/"), body).await.ok().clone()
}

/// Kind, seconds and points of every stretch. Midnight may fall into any of them: its two lines count as one.
async fn lines(app: &TestApp) -> Vec<(i16, i64, i32)> {
    let lines = segment::Entity::find().order_by_asc(segment::Column::FromAt).all(&*app.app.db).await.unwrap();
    let mut stretches: Vec<(segment::Model, i32)> = Vec::new();
    for line in lines {
        match stretches.last_mut() {
            Some((last, points)) if last.phase == line.phase && last.to_at == line.from_at => {
                last.to_at = line.to_at;
                *points += line.points;
            }
            _ => stretches.push((line.clone(), line.points)),
        }
    }
    // A test's clock moves by hand and on its own, and a busy machine takes its time.
    let seconds = |line: &segment::Model| (line.to_at.0 - line.from_at.0 + 2500) / 5000 * 5;
    stretches.iter().map(|(line, points)| (line.kind, seconds(line), *points)).collect()
}

/// What is there once the sweeper has come by.
async fn swept(app: &TestApp) -> Vec<(i16, i64, i32)> {
    settle::sweep_once(&app.app).await.unwrap();
    lines(app).await
}

#[tokio::test]
async fn a_timer_is_started_paused_restarted_and_stopped() {
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    let idle = sumi.get("/accounts/timer/").await.ok();
    assert_eq!((&idle["user_state"], &idle["run"]), (&json!(1), &Value::Null));
    let started = command(&sumi, "start", plan(0, 25, 5)).await;
    assert_eq!((&started["user_state"], &started["run"]["phase"]), (&json!(2), &json!("work")));
    assert_eq!(started["run"]["next"][0]["phase"], "break");
    app.app.clock.advance(10 * MINUTE);
    assert_eq!(command(&sumi, "pause", json!({})).await["user_state"], 4);
    app.app.clock.advance(7 * MINUTE);
    assert_eq!(command(&sumi, "restart", json!({})).await["user_state"], 2);
    app.app.clock.advance(16 * MINUTE);
    assert_eq!(sumi.get("/accounts/timer/").await.ok()["user_state"], 3, "26 minutes are a break");
    let stopped = command(&sumi, "stop", json!({})).await;
    assert_eq!((&stopped["user_state"], &stopped["run"]["state"]), (&json!(1), &json!("idle")));
    assert_eq!(lines(&app).await, [(0, 600, 10), (0, 900, 15), (1, 60, 0)]);
    app.stop().await;
}

#[tokio::test]
async fn a_command_in_the_wrong_state_is_409() {
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    let refuse = async |command: &str, code: &str| {
        sumi.post(&format!("/accounts/timer/{command}/"), json!({})).await.refused(409, code);
    };
    for idle in ["pause", "restart", "stop"] {
        refuse(idle, "no_timer").await;
    }
    sumi.post("/accounts/timer/start/", json!({})).await.refused(404, "plan_not_found");
    sumi.post("/accounts/timesetting/", plan(60, 25, 5)).await.ok();
    command(&sumi, "start", json!({})).await;
    refuse("start", "timer_running").await;
    refuse("restart", "timer_not_paused").await;
    command(&sumi, "pause", json!({})).await;
    refuse("pause", "timer_paused").await;
    sumi.post("/accounts/timer/start/", plan(0, 0, 5)).await.refused(409, "timer_running");
    app.stop().await;
}

#[tokio::test]
async fn threat_21_a_command_sent_twice_is_carried_out_once_and_a_late_stop_changes_nothing() {
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    let mut start = plan(0, 25, 5);
    start["cmd"] = json!("c-1");
    let first = command(&sumi, "start", start.clone()).await["run"]["id"].clone();
    assert_eq!(command(&sumi, "start", start).await["run"]["id"], first);
    app.app.clock.advance(MINUTE);
    for _ in 0..2 {
        assert_eq!(command(&sumi, "stop", json!({"run": first, "cmd": "c-2"})).await["user_state"], 1);
    }
    let second = command(&sumi, "start", plan(0, 25, 5)).await["run"]["id"].clone();
    assert_ne!(second, first);
    command(&sumi, "stop", json!({"run": first})).await;
    assert_eq!(sumi.get("/accounts/timer/").await.ok()["run"]["id"], second, "it goes on");
    assert_eq!(lines(&app).await.len(), 1);
    app.stop().await;
}

#[tokio::test]
async fn a_plan_that_is_fulfilled_ends_by_itself_and_leaves_every_minute() {
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    sumi.make_room().await;
    let mut socket = sumi.connect().await;
    socket.hello().await;
    command(&sumi, "start", plan(60, 25, 5)).await;
    assert_eq!(socket.expect("timer.started").await["d"]["user"], sumi.id);
    app.app.clock.advance(61 * MINUTE);
    let found = swept(&app).await;
    assert_eq!(found, [(0, 1500, 25), (1, 300, 0), (0, 1500, 25), (1, 300, 0)]);
    let stopped = socket.expect("timer.stopped").await;
    assert_eq!(stopped["d"]["reason"], "completed");
    assert_eq!(stopped["d"]["run"]["elapsed_ms"], 3_600_000);
    assert_eq!(sumi.get("/accounts/timer/").await.ok()["run"], Value::Null);
    app.stop().await;
}

#[tokio::test]
async fn phases_ring_for_the_room_and_for_every_device() {
    let app = TestApp::start().await;
    let (sumi, hana) = (app.person("수미").await, app.person("하나").await);
    let room = sumi.make_room().await;
    hana.enter(room).await;
    let mut phone = sumi.connect().await;
    let mut other = hana.connect().await;
    phone.hello().await;
    other.hello().await;
    let started = phone.call("timer.start", plan(0, 25, 5)).await.unwrap();
    assert_eq!(started["user_state"], 2);
    assert_eq!(other.expect("timer.started").await["d"]["run"]["next"].as_array().unwrap().len(), 4);
    app.app.clock.advance(25 * MINUTE);
    let expected = format!("t:{}:{}:1", sumi.id, started["run"]["id"]);
    for socket in [&mut phone, &mut other] {
        let phase = socket.expect("timer.phase").await;
        assert_eq!((&phase["eid"], &phase["d"]["phase"]), (&json!(expected), &json!("break")));
        assert!(phase.get("off").is_none());
    }
    let mut late = hana.connect().await;
    let hello = late.hello().await;
    let member = hello["room"]["members"].as_array().unwrap().iter().find(|m| m["id"] == sumi.id).unwrap();
    assert_eq!((&member["state"], &member["run"]["index"]), (&json!("break"), &json!(1)));
    app.stop().await;
}

#[tokio::test]
async fn a_friend_sees_what_one_does() {
    let app = TestApp::start().await;
    let (sumi, hana) = (app.person("수미").await, app.person("하나").await);
    sumi.befriend(&hana).await;
    let mut socket = hana.connect().await;
    socket.hello().await;
    command(&sumi, "start", plan(0, 25, 5)).await;
    let state = socket.expect("friend.state").await;
    assert_eq!((&state["d"]["user"], &state["d"]["state"]), (&json!(sumi.id), &json!("studying")));
    let friends = hana.get("/accounts/friend/").await.ok();
    assert_eq!(friends["friends"][0]["current_state"], 2);

    // Phases ring for friends too, without a place, whether they came before the timer or after it.
    let mut late = hana.connect().await;
    late.hello().await;
    for (minutes, expected) in [(25, "break"), (5, "studying")] {
        app.app.clock.advance(minutes * MINUTE);
        for socket in [&mut socket, &mut late] {
            let state = socket.expect("friend.state").await;
            assert_eq!((&state["d"]["user"], &state["d"]["state"]), (&json!(sumi.id), &json!(expected)));
            assert!(state.get("off").is_none() && state["eid"].is_string(), "{state}");
        }
    }
    // Whoever befriends a person at their timer hears it as well; whoever parts doesn't.
    let mira = app.person("미라").await;
    let mut new = mira.connect().await;
    new.hello().await;
    sumi.befriend(&mira).await;
    new.expect("friend.accepted").await;
    hana.delete(&format!("/accounts/friend/{}/", sumi.id)).await.ok();
    socket.expect("friend.removed").await;
    app.app.clock.advance(25 * MINUTE);
    assert_eq!(new.expect("friend.state").await["d"]["state"], "break");
    socket.expect_silence().await;
    app.stop().await;
}

#[tokio::test]
async fn an_open_end_without_anybody_there_ends_where_they_went() {
    let app = TestApp::with(&[("presence.grace_secs", "0")]).await;
    let sumi = app.person("수미").await;
    let socket = sumi.connect().await;
    command(&sumi, "start", plan(0, 0, 0)).await;
    app.app.clock.advance(30 * MINUTE);
    socket.close().await;
    // When they were last seen is written down a moment after they went.
    while account::Entity::find_by_id(AccountId(sumi.id)).one(&*app.app.db).await.unwrap().unwrap().seen_at.is_none() {
        app.get("/livez").await.ok();
    }
    app.app.clock.advance(Duration::from_secs(3 * 3600));
    let found = swept(&app).await;
    assert_eq!(found, [(0, 1800, 30)]);
    app.stop().await;
}

/// How whoever comes first finds a run that was left alone.
const FINDERS: [&str; 4] = ["sweeper", "socket", "question", "command"];

#[tokio::test]
async fn an_open_end_that_was_left_ends_at_the_same_instant_whoever_comes_first() {
    for paused in [false, true] {
        for finder in FINDERS {
            let app = TestApp::start().await;
            let (sumi, hana) = (app.person("수미").await, app.person("하나").await);
            sumi.befriend(&hana).await;
            let run = command(&sumi, "start", plan(0, 0, 0)).await["run"].clone();
            app.app.clock.advance(10 * MINUTE);
            if paused {
                command(&sumi, "pause", json!({})).await;
            } else {
                sumi.get("/accounts/timer/").await.ok();
            }
            let left = app.app.clock.now();
            // Nobody comes by for long, as if the service had been down.
            app.app.clock.advance(Duration::from_secs(3 * 3600));
            let mut friend = hana.connect().await;
            friend.hello().await;
            match finder {
                "sweeper" => {
                    settle::sweep_once(&app.app).await.unwrap();
                }
                "socket" => {
                    let mut socket = sumi.connect().await;
                    assert!(socket.hello().await["run"].is_null());
                }
                "question" => assert!(sumi.get("/accounts/timer/").await.ok()["run"].is_null()),
                _ => {
                    let stop = sumi.post("/accounts/timer/stop/", json!({"run": run["id"]})).await.ok();
                    assert_eq!(stop["run"]["id"], run["id"]);
                }
            }
            let grace = app.app.config.presence.grace;
            let stored = entity::run::Entity::find().one(&*app.app.db).await.unwrap().unwrap();
            let after = stored.ended_at.unwrap().0 - clock::after(left, grace).0;
            assert_eq!(stored.end_reason.as_deref(), Some("abandoned"), "{finder}, paused: {paused}");
            // The last sight was some milliseconds before it was answered.
            assert!((-2000..=0).contains(&after), "{finder}, paused: {paused}: {after} ms");
            let worked = 600 + if paused { 0 } else { grace.as_secs().cast_signed() };
            let seconds: i64 = lines(&app).await.iter().map(|(_, seconds, _)| seconds).sum();
            assert!((worked - 5..=worked + 5).contains(&seconds), "{finder}: {seconds} s instead of {worked} s");
            app.stop().await;
        }
    }
}

#[tokio::test]
async fn an_open_end_goes_on_for_whoever_only_asks() {
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    command(&sumi, "start", plan(0, 0, 0)).await;
    for _ in 0..3 {
        app.app.clock.advance(90 * MINUTE);
        sumi.get("/accounts/timer/").await.ok();
        settle::sweep_once(&app.app).await.unwrap();
    }
    assert_eq!(sumi.get("/accounts/timer/").await.ok()["user_state"], 2);
    app.app.clock.advance(180 * MINUTE);
    let grace = i64::try_from(app.app.config.presence.grace.as_secs()).unwrap();
    assert_eq!(swept(&app).await, [(0, 270 * 60 + grace, 270)]);
    app.stop().await;
}
