//! The promises of the protocol, each with the way in which it is tried; those about one connection are in
//! `manners`, those about who hears of whom in `told`.
//!
//! A trial is a function that returns what it saw, or an error that says what was seen instead.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{
    Door, Line,
    check::{Outcome, Stage, Verdict},
    manners, number, text, told,
};

/// Words said in a room to see that none is lost.
const WORDS: usize = 40;

/// A pace that every limit lets through: bursts of so many, then so long for each.
const BURST: usize = 12;
const PACE: Duration = Duration::from_millis(130);

/// The longest grace for a lost connection that is waited for, and what may come on top of it.
pub(super) const GRACE: Duration = Duration::from_secs(30);

/// What a trial saw.
pub(super) type Seen = anyhow::Result<Outcome>;

pub(super) fn kept(seen: impl Into<String>) -> Seen {
    Ok(Outcome::Kept(seen.into()))
}

/// Tries them all. Those that wait for a clock run beside the others.
pub(super) async fn all(door: &Door, stage: &Stage) -> Vec<Verdict> {
    let quick = async {
        let mut verdicts = vec![
            Verdict::new("hello comes first", hello(stage).await),
            Verdict::new("order, completeness", order(stage).await),
            Verdict::new("no gap after a picture", no_gap(stage).await),
            Verdict::new("resume", resume(stage).await),
            Verdict::new("resume by a picture", picture(stage).await),
            Verdict::new("sync", sync(stage).await),
            Verdict::new("two doors", told::two_doors(stage).await),
            Verdict::new("timers carry their time", told::timer(stage).await),
            Verdict::new("friends hear of it", told::friends(stage).await),
            Verdict::new("tickets are single", manners::ticket(stage).await),
            Verdict::new("mistakes are answered", manners::mistakes(stage).await),
            Verdict::new("closes say why", manners::closes(door, stage).await),
            Verdict::new("too many messages", manners::rate(stage).await),
            Verdict::new("slow readers", slow(stage).await),
            Verdict::new("one edge a user", told::presence(stage).await),
        ];
        // Last: they end what the others stand on.
        verdicts.push(Verdict::new("one device too many", manners::devices(stage).await));
        verdicts.push(Verdict::new("a session's end", manners::session_end(stage).await));
        verdicts.push(Verdict::new("an account's end", manners::account_end(stage).await));
        verdicts
    };
    let (mut verdicts, heartbeat, silence) =
        tokio::join!(quick, manners::heartbeat(stage), manners::unauthenticated(door));
    verdicts.push(Verdict::new("heartbeat", heartbeat));
    verdicts.push(Verdict::new("time to authenticate", silence));
    verdicts
}

async fn hello(stage: &Stage) -> Seen {
    let line = Line::open(&stage.sumi, json!({})).await?;
    let hello = line.hello.as_object().context("hello is no object")?;
    for name in [
        "session",
        "instance",
        "server_time",
        "heartbeat_ms",
        "token_expires_at",
        "max_frame",
        "user",
        "friends",
        "requests",
        "room",
        "channels",
    ] {
        ensure!(hello.contains_key(name), "hello has no {name}");
    }
    let own = format!("/channels/user:{}/epoch", number(&line.hello, "/user/id")?);
    text(&line.hello, &own)?;
    kept("with all that it has to say")
}

/// A room with two members in it, each with a socket.
pub(super) struct Pair {
    pub(super) room: i64,
    channel: String,
    pub(super) speaker: Line,
    pub(super) listener: Line,
}

impl Pair {
    pub(super) async fn sit_down(stage: &Stage) -> anyhow::Result<Self> {
        for person in [&stage.sumi, &stage.hana, &stage.mina] {
            let seat = person.ask("GET", "/rooms/check/", &Value::Null).await?;
            if let Some(room) = seat.pointer("/data/id").and_then(Value::as_i64) {
                person.ask("POST", &format!("/rooms/{room}/"), &json!({"action": "leave"})).await?;
            }
        }
        let made = stage.sumi.ask("POST", "/rooms/", &json!({"name": "ws-check"})).await?;
        let room = number(&made, "/data/id")?;
        let speaker = Line::open(&stage.sumi, json!({})).await?;
        let mut listener = Line::open(&stage.hana, json!({})).await?;
        listener.done("room.enter", json!({"room": room})).await?;
        Ok(Self { room, channel: format!("room:{room}"), speaker, listener })
    }

    async fn say(&mut self, number: usize) -> anyhow::Result<()> {
        say(&mut self.speaker, number).await
    }

    /// Where the room stands for whoever has nothing left to hear.
    async fn place(&self, line: &mut Line) -> anyhow::Result<(Value, i64)> {
        let answer = line.done("sync", json!({"since": {self.channel.as_str(): ["none", 0]}})).await?;
        let at = format!("/channels/{}", self.channel);
        let place = answer.pointer(&at).with_context(|| format!("no place in {answer}"))?;
        let found = (place.get("epoch").cloned().unwrap_or_default(), number(place, "/off")?);
        line.expect("snapshot").await?;
        Ok(found)
    }
}

async fn say(line: &mut Line, number: usize) -> anyhow::Result<()> {
    if number >= BURST {
        sleep(PACE).await;
    }
    line.done("room.cheer", json!({"text": format!("word {number}")})).await.map(|_| ())
}

/// The events of a channel that have a place.
fn placed<'a>(events: &'a [Value], channel: &str) -> Vec<(i64, &'a Value)> {
    let of = |event: &&Value| event.get("ch").and_then(Value::as_str) == Some(channel);
    events.iter().filter(of).filter_map(|event| Some((event.get("off")?.as_i64()?, event))).collect()
}

fn follow_each_other(places: &[(i64, &Value)]) -> anyhow::Result<()> {
    for pair in places.windows(2) {
        if let [(before, _), (after, event)] = pair {
            ensure!(*after == before + 1, "{after} follows {before}: {event}");
        }
    }
    Ok(())
}

fn words(places: &[(i64, &Value)]) -> Vec<String> {
    let said = |event: &Value| event.pointer("/d/text").and_then(Value::as_str).map(str::to_owned);
    places.iter().filter_map(|(_, event)| said(event)).collect()
}

fn expected(numbers: impl Iterator<Item = usize>) -> Vec<String> {
    numbers.map(|number| format!("word {number}")).collect()
}

async fn order(stage: &Stage) -> Seen {
    let mut pair = Pair::sit_down(stage).await?;
    let mut second = Line::open(&stage.hana, json!({})).await?;
    pair.listener.events().await?;
    for number in 0..WORDS {
        pair.say(number).await?;
    }
    let mut seen = Vec::new();
    for line in [&mut pair.speaker, &mut pair.listener, &mut second] {
        let events = line.events().await?;
        let places = placed(&events, &pair.channel);
        follow_each_other(&places)?;
        ensure!(words(&places) == expected(0..WORDS), "of {WORDS} words came {:?}", words(&places));
        let cheers = places.into_iter().filter(|(_, event)| event.get("ev") == Some(&json!("room.cheer")));
        seen.push(cheers.map(|(off, _)| off).collect::<Vec<_>>());
    }
    ensure!(seen.windows(2).all(|two| two.first() == two.last()), "places differ between subscribers: {seen:?}");
    kept(format!("{WORDS} words, each once, in the same places for three sockets"))
}

async fn no_gap(stage: &Stage) -> Seen {
    let mut pair = Pair::sit_down(stage).await?;
    for number in 0..BURST {
        // Two words each: a limit may hold for the check too.
        sleep(PACE * 2).await;
        let (said, newcomer) = tokio::join!(say(&mut pair.speaker, number), Line::open(&stage.hana, json!({})));
        said?;
        let mut newcomer = newcomer?;
        let standing = number_of(&newcomer.hello, &pair.channel)?;
        say(&mut pair.speaker, number).await?;
        let events = newcomer.events().await?;
        let places = placed(&events, &pair.channel);
        follow_each_other(&places)?;
        let first = places.first().with_context(|| format!("nothing follows a picture at {standing}"))?.0;
        ensure!(first == standing + 1, "{first} follows a picture at {standing}");
    }
    kept(format!("{BURST} pictures taken while the room speaks, each followed by the next event"))
}

/// Where `hello` says that a channel stands.
fn number_of(hello: &Value, channel: &str) -> anyhow::Result<i64> {
    number(hello, &format!("/channels/{channel}/off"))
}

async fn resume(stage: &Stage) -> Seen {
    let mut pair = Pair::sit_down(stage).await?;
    pair.say(0).await?;
    let mut returning = Line::open(&stage.hana, json!({})).await?;
    let (epoch, off) = pair.place(&mut returning).await?;
    drop(returning);
    for number in 1..6 {
        pair.say(number).await?;
    }
    let mut returning = Line::open(&stage.hana, json!({pair.channel.as_str(): [epoch, off]})).await?;
    let at = format!("/channels/{}/recovered", pair.channel);
    ensure!(returning.hello.pointer(&at) == Some(&json!(true)), "it is not recovered: {}", returning.hello);
    pair.say(6).await?;
    let events = returning.events().await?;
    let places = placed(&events, &pair.channel);
    follow_each_other(&places)?;
    ensure!(places.first().is_some_and(|(first, _)| *first == off + 1), "what follows {off} is {:?}", places.first());
    ensure!(words(&places) == expected(1..7), "missed and live are {:?}", words(&places));
    kept("five missed events in order, then the live one")
}

async fn picture(stage: &Stage) -> Seen {
    let pair = Pair::sit_down(stage).await?;
    let line = Line::open(&stage.hana, json!({pair.channel.as_str(): ["of another life", 3]})).await?;
    let at = format!("/channels/{}/recovered", pair.channel);
    ensure!(line.hello.pointer(&at) == Some(&json!(false)), "an unknown place is recovered: {}", line.hello);
    let members = line.hello.pointer("/room/members").and_then(Value::as_array).context("there is no picture")?;
    ensure!(members.len() == 2, "two sit there, and the picture has {}", members.len());
    kept("an unknown place brings the whole room")
}

async fn sync(stage: &Stage) -> Seen {
    let mut pair = Pair::sit_down(stage).await?;
    let mut line = Line::open(&stage.hana, json!({})).await?;
    let (epoch, off) = pair.place(&mut line).await?;
    pair.say(0).await?;
    line.expect("room.cheer").await?;
    line.done("sync", json!({"since": {pair.channel.as_str(): [epoch, off]}})).await?;
    let events = line.events().await?;
    let places = placed(&events, &pair.channel);
    ensure!(words(&places) == expected(0..1), "sync brought {:?}", words(&places));
    kept("brings again what is asked for")
}

/// Words that fill a queue and what the kernel keeps before it, many times over.
const FLOOD: usize = 8192;

/// How long that may take: who was found to be slow has half a minute to read that it was.
const FLOODING: Duration = Duration::from_secs(20);

async fn slow(stage: &Stage) -> Seen {
    let mut pair = Pair::sit_down(stage).await?;
    let mut deaf = Line::deaf(&stage.hana).await?;
    pair.listener.events().await?;
    let long = "–".repeat(200);
    // A frame takes sixteen messages.
    let word = json!({"op": "room.cheer", "d": {"text": long}}).to_string();
    let frame = vec![word; 16].join("\n");
    let (began, mut said, mut last) = (Instant::now(), 0, None);
    while said < FLOOD && began.elapsed() < FLOODING {
        pair.speaker.send(&frame).await?;
        for _ in 0..16 {
            if pair.speaker.answer().await?.get("err").is_some() {
                return Ok(Outcome::Unseen("this machine is limited: a queue can't be filled from here".into()));
            }
        }
        said += 16;
        for (off, event) in placed(&pair.listener.events().await?, &pair.channel) {
            ensure!(last.is_none_or(|last| off == last + 1), "{off} follows {last:?}: {event}");
            last = Some(off);
        }
    }
    let (code, _) = deaf.end(GRACE).await?;
    ensure!(code == 4004, "who doesn't read is closed with {code}");
    kept(format!("{said} words: who reads has each, who doesn't is closed with 4004"))
}
