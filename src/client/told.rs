//! Promises about who hears of whom: both doors, timers, friends, and one presence a person.

use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{
    Line,
    check::{Stage, id_of},
    number,
    promises::{GRACE, Pair, Seen, kept},
};

pub(super) async fn two_doors(stage: &Stage) -> Seen {
    let mut pair = Pair::sit_down(stage).await?;
    let mina = id_of(&stage.mina).await?;
    for (action, ev, at) in [("enter", "room.entered", "/member/id"), ("leave", "room.exited", "/user")] {
        let began = Instant::now();
        stage.mina.ask("POST", &format!("/rooms/{}/", pair.room), &json!({"action": action})).await?;
        let told = pair.listener.expect(ev).await?;
        ensure!(number(&told, at)? == mina, "{ev} tells of another: {told}");
        ensure!(began.elapsed() < Duration::from_secs(1), "{ev} took {:?}", began.elapsed());
    }
    kept("who enters and leaves by REST is told by the socket within a second")
}

pub(super) async fn timer(stage: &Stage) -> Seen {
    let mut pair = Pair::sit_down(stage).await?;
    let plan = json!({"total_time": 60, "work_time": 25, "break_time": 5});
    if let Err(refusal) = pair.speaker.call("timer.start", plan.clone()).await? {
        ensure!(refusal.get("code") == Some(&json!("timer_running")), "timer.start is refused: {refusal}");
        pair.speaker.done("timer.stop", json!({})).await?;
        pair.listener.expect("timer.stopped").await?;
        pair.speaker.done("timer.start", plan).await?;
    }
    let run = pair.listener.expect("timer.started").await?;
    let (started, ends) = (number(&run, "/run/started_at")?, number(&run, "/run/ends_at")?);
    ensure!(ends - started == 25 * 60_000, "a phase of 25 minutes has {} ms", ends - started);
    number(&run, "/run/server_time")?;
    let next = number(&run, "/run/next/0/at")?;
    ensure!(next == ends, "a phase ends at {ends} and the next begins at {next}");
    pair.speaker.done("timer.stop", json!({})).await?;
    pair.listener.expect("timer.stopped").await?;
    kept("anchor, end and next boundary are there for clients that ring by themselves")
}

pub(super) async fn friends(stage: &Stage) -> Seen {
    let (mut sumi, mut hana) = (Line::open(&stage.sumi, json!({})).await?, Line::open(&stage.hana, json!({})).await?);
    let (me, other) = (number(&sumi.hello, "/user/id")?, number(&hana.hello, "/user/id")?);
    // Guests may be friends already.
    let _ = sumi.call("friend.remove", json!({"user": other})).await?;
    sumi.done("friend.request", json!({"user": other})).await?;
    let asked = hana.expect("friend.requested").await?;
    ensure!(number(&asked, "/user")? == me, "another one asks: {asked}");
    hana.done("friend.accept", json!({"user": me})).await?;
    let accepted = sumi.expect("friend.accepted").await?;
    ensure!(accepted.pointer("/friend/online") == Some(&json!(true)), "a friend who is here isn't online: {accepted}");
    sumi.done("friend.remove", json!({"user": other})).await?;
    hana.expect("friend.removed").await?;
    kept("asked, accepted and parted, each told to the other")
}

pub(super) async fn presence(stage: &Stage) -> Seen {
    let mut pair = Pair::sit_down(stage).await?;
    let hana = number(&pair.listener.hello, "/user/id")?;
    let edges = async |line: &mut Line| -> anyhow::Result<Vec<Value>> {
        let events = line.events().await?;
        let edge = |event: &Value| {
            let ev = event.get("ev").and_then(Value::as_str).unwrap_or_default();
            ev.starts_with("presence.") && event.pointer("/d/user") == Some(&json!(hana))
        };
        Ok(events.into_iter().filter(edge).collect())
    };
    edges(&mut pair.speaker).await?;
    // A second device, the first one lost, and back again: nobody hears of it.
    let second = Line::open(&stage.hana, json!({})).await?;
    drop(pair.listener);
    let third = Line::open(&stage.hana, json!({})).await?;
    drop(second);
    sleep(Duration::from_millis(300)).await;
    let heard = edges(&mut pair.speaker).await?;
    ensure!(heard.is_empty(), "devices that come and go are told: {heard:?}");
    let here = number(&third.hello, "/server_time")?;
    drop(third);
    let until = Instant::now() + GRACE;
    let offline = loop {
        ensure!(Instant::now() < until, "nobody is told that the last device is gone");
        let Some(event) = pair.speaker.event(Duration::from_secs(1)).await? else { continue };
        if event.get("ev") == Some(&json!("presence.offline")) && event.pointer("/d/user") == Some(&json!(hana)) {
            break event;
        }
    };
    let (at, told) = (number(&offline, "/d/at")?, number(&offline, "/at")?);
    ensure!((here..=told).contains(&at), "told at {told} for {at}, and it was there at {here}");
    let back = Line::open(&stage.hana, json!({})).await?;
    pair.speaker.expect("presence.online").await?;
    let more = edges(&mut pair.speaker).await?;
    ensure!(more.is_empty(), "an edge is told twice: {more:?}");
    drop(back);
    kept(format!("offline once, {:.1} s after the loss and dated by it; online once", (told - at) as f64 / 1000.0))
}
