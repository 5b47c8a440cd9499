//! Promises about one connection: how it begins, what it may do, and how it ends.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::json;

use super::{
    Door, Line,
    check::{Outcome, PASSWORD, Stage, id_of},
    number,
    promises::{GRACE, Seen, kept},
    text,
};

pub(super) async fn ticket(stage: &Stage) -> Seen {
    let answer = stage.sumi.ask("POST", "/ws/ticket/", &json!({})).await?;
    let ticket = text(&answer, "/data/ticket")?;
    Line::by_ticket(&stage.sumi, ticket).await?.expect("hello").await?;
    let (code, _) = Line::by_ticket(&stage.sumi, ticket).await?.end(GRACE).await?;
    ensure!(code == 4500, "a used ticket is closed with {code}");
    kept("the second use is closed with 4500")
}

pub(super) async fn mistakes(stage: &Stage) -> Seen {
    let mut line = Line::open(&stage.sumi, json!({})).await?;
    for (op, d, code) in [
        ("fly", json!({}), "unknown_op"),
        ("room.enter", json!({"room": "x"}), "malformed_message"),
        ("room.enter", json!({"room": 9_007_199_254_740_991_i64}), "room_not_found"),
    ] {
        let refused = line.call(op, d).await?.err().with_context(|| format!("{op} is done"))?;
        ensure!(refused.get("code") == Some(&json!(code)), "{op} is refused with {refused}");
    }
    line.done("whoami", json!({})).await?;
    kept("with a code, and the socket stays")
}

pub(super) async fn closes(door: &Door, stage: &Stage) -> Seen {
    let max = usize::try_from(number(&Line::open(&stage.sumi, json!({})).await?.hello, "/max_frame")?)?;
    for (what, frame, code) in [
        ("no JSON", "hello".to_owned(), 4501),
        ("17 messages", "{}\n".repeat(17), 4501),
        ("a frame too large", format!("{{\"op\":\"whoami\",\"x\":\"{}\"}}", "x".repeat(max)), 1009),
    ] {
        let mut line = Line::open(&stage.sumi, json!({})).await?;
        line.send(&frame).await?;
        let (closed, bye) = line.end(GRACE).await?;
        ensure!(closed == code, "{what} is closed with {closed}");
        ensure!(bye.get("code") == Some(&json!(code)), "before {code} bye says {bye}");
    }
    let mut line = Line::dial(door, "solgik.v1").await?;
    line.send(&json!({"op": "auth", "d": {"token": "no.such.token"}}).to_string()).await?;
    let (unauthorized, _) = line.end(GRACE).await?;
    ensure!(unauthorized == 4500, "a bad token is closed with {unauthorized}");
    kept("4501, 1009 and 4500, each after its bye")
}

pub(super) async fn rate(stage: &Stage) -> Seen {
    let mut line = Line::open(&stage.mina, json!({})).await?;
    for _ in 0..100 {
        line.send(&json!({"id": 1, "op": "whoami"}).to_string()).await?;
    }
    match line.end(Duration::from_secs(5)).await {
        Ok((4007, _)) => kept("4007 after three refusals"),
        Ok((code, bye)) => bail!("closed with {code} {bye}"),
        Err(_) => Ok(Outcome::Unseen("100 messages at once are let through: this machine is exempt".into())),
    }
}

pub(super) async fn devices(stage: &Stage) -> Seen {
    let mut lines = Vec::new();
    for _ in 0..9 {
        lines.push(Line::open(&stage.mina, json!({})).await?);
    }
    let mut oldest = lines.remove(0);
    match oldest.end(Duration::from_secs(3)).await {
        Ok((4504, _)) => kept("the ninth closes the oldest with 4504"),
        Ok((code, bye)) => bail!("the oldest is closed with {code} {bye}"),
        Err(_) => Ok(Outcome::Unseen("nine devices of one user are let in: the limit is set higher".into())),
    }
}

pub(super) async fn session_end(stage: &Stage) -> Seen {
    let Some(email) = &stage.email else {
        return Ok(Outcome::Unseen("nobody knows how to sign in for a token that was lent".into()));
    };
    let again = stage.mina.sign_in(email, PASSWORD).await?;
    let mut line = Line::open(&again, json!({})).await?;
    let began = Instant::now();
    again.ask("POST", "/rest-auth/logout/", &json!({})).await?;
    let (code, _) = line.end(GRACE).await?;
    ensure!(code == 4503, "signing out closes with {code}");
    ensure!(began.elapsed() < Duration::from_secs(1), "it took {:?}", began.elapsed());
    id_of(&stage.mina).await.context("the account's other session")?;
    kept("4503 within a second; another session of the account goes on")
}

pub(super) async fn account_end(stage: &Stage) -> Seen {
    if stage.email.is_none() {
        return Ok(Outcome::Unseen("accounts whose tokens were lent are kept".into()));
    }
    let mut line = Line::open(&stage.mina, json!({})).await?;
    let id = number(&line.hello, "/user/id")?;
    let began = Instant::now();
    stage.mina.ask("DELETE", &format!("/accounts/{id}/"), &json!({})).await?;
    let (code, _) = line.end(GRACE).await?;
    ensure!(code == 4505, "deleting an account closes with {code}");
    ensure!(began.elapsed() < Duration::from_secs(1), "it took {:?}", began.elapsed());
    kept("4505 within a second")
}

pub(super) async fn heartbeat(stage: &Stage) -> Seen {
    let mut line = Line::open(&stage.sumi, json!({})).await?;
    let every = u64::try_from(number(&line.hello, "/heartbeat_ms")?)?;
    // A tenth of jitter, and a moment for a busy machine.
    let every = Duration::from_millis(every + every / 5) + Duration::from_secs(2);
    line.heartbeat(every).await?;
    line.heartbeat(every).await.context("after an answer")?;
    line.answers = false;
    let (code, _) = line.end(every + GRACE).await?;
    ensure!(code == 4006, "a heartbeat without an answer closes with {code}");
    kept("comes in time; who doesn't answer is closed with 4006")
}

pub(super) async fn unauthenticated(door: &Door) -> Seen {
    let mut line = Line::dial(door, "solgik.v1").await?;
    let (code, _) = line.end(GRACE).await?;
    ensure!(code == 4010, "who says nothing is closed with {code}");
    kept("who says nothing is closed with 4010")
}
