//! `solgik demo`: a few people who come, study, cheer each other, make friends and leave, so that a first look finds
//! somebody there.
//!
//! Promises that they use the doors like anybody else, that they are few, and that they stop when they are told to.

use std::time::Duration;

use anyhow::Context;
use rand::{RngExt, seq::IndexedRandom};
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{Door, Line, number};

/// Whom a visitor may be.
pub const VISITOR: (&str, &str) = ("visitor@demo.example", "quiet lamp at dawn");

/// Everybody else's.
const PASSWORD: &str = "seven quiet herons";

/// As `name` shows them: without a space between the two.
const NAMES: [(&str, &str); 16] = [
    ("김", "수미"),
    ("이", "하나"),
    ("박", "민준"),
    ("王", "思雨"),
    ("최", "서연"),
    ("정", "지호"),
    ("田中", "さくら"),
    ("강", "유진"),
    ("조", "은우"),
    ("남궁", "하늘"),
    ("윤", "채원"),
    ("장", "도윤"),
    ("佐藤", "蓮"),
    ("임", "소율"),
    ("한", "시우"),
    ("오", "다온"),
];

/// The first people make them and keep them open.
const ROOMS: [(&str, &str); 4] = [
    ("새벽반", "여섯 시부터 여덟 시까지, 매일"),
    ("Quiet library", "No talking, just pages"),
    ("자격증 같이 준비해요", "하루 두 시간씩"),
    ("Night owls", "Anything, as long as it is late"),
];

const GOALS: [&str; 8] = [
    "영어 단어 50개",
    "미적분 3단원",
    "Chapter 4, all exercises",
    "알고리즘 두 문제",
    "Draft the introduction",
    "한국사 요약",
    "Thirty pages",
    "오답 노트",
];

const CHEERS: [&str; 8] = [
    "화이팅!",
    "Keep going!",
    "오늘도 힘내요",
    "거의 다 왔어요",
    "Nice focus",
    "커피 한 잔 하고 올게요",
    "같이 해요",
    "You can do it",
];

/// Lets `people` live at the server until `stop`.
pub async fn run(url: &str, people: usize, stop: CancellationToken) -> anyhow::Result<()> {
    let door = Door::new(url).await?;
    arrive(&door, VISITOR.0, VISITOR.1, ("방문", "자")).await?;
    let mut lives = JoinSet::new();
    let mut rooms = Vec::new();
    for (number, name) in NAMES.iter().cycle().take(people).enumerate() {
        let person = arrive(&door, &format!("student{number}@demo.example"), PASSWORD, *name).await?;
        if let Some((name, description)) = ROOMS.get(number) {
            rooms.push(open_room(&person, name, description).await?);
        }
        let student = Student { person, rooms: rooms.clone(), keeps: rooms.get(number).copied() };
        let stop = stop.clone();
        lives.spawn(async move { stop.run_until_cancelled(student.live()).await });
    }
    while lives.join_next().await.is_some() {}
    Ok(())
}

/// Signs up, or in where the data are of an earlier demo.
async fn arrive(door: &Door, email: &str, password: &str, (last, first): (&str, &str)) -> anyhow::Result<Door> {
    match door.sign_up(email, last, first, password).await {
        Ok(person) => Ok(person),
        Err(refused) => door.sign_in(email, password).await.with_context(|| format!("{refused:#}")),
    }
}

async fn open_room(person: &Door, name: &str, description: &str) -> anyhow::Result<i64> {
    let seat = person.ask("GET", "/rooms/check/", &Value::Null).await?;
    if let Ok(room) = number(&seat, "/data/id") {
        return Ok(room);
    }
    let made = person.ask("POST", "/rooms/", &json!({"name": name, "description": description})).await?;
    number(&made, "/data/id")
}

struct Student {
    person: Door,
    rooms: Vec<i64>,
    /// The room that would close without this one.
    keeps: Option<i64>,
}

/// Between so many seconds and so many more.
fn between(least: u64, most: u64) -> Duration {
    Duration::from_millis(rand::rng().random_range(least * 1000..most * 1000))
}

fn one_of<'a>(texts: &'a [&'a str]) -> &'a str {
    texts.choose(&mut rand::rng()).copied().unwrap_or_default()
}

impl Student {
    async fn live(self) {
        tokio::time::sleep(between(0, 8)).await;
        loop {
            if let Err(error) = self.visit().await {
                tracing::debug!(error = format!("{error:#}"), "a student's visit ended early");
            }
            tokio::time::sleep(between(10, 40)).await;
        }
    }

    /// Comes, studies for some minutes, and goes.
    async fn visit(&self) -> anyhow::Result<()> {
        let mut line = Line::open(&self.person, json!({})).await?;
        let room = self.keeps.or_else(|| self.rooms.choose(&mut rand::rng()).copied()).context("no room")?;
        if number(&line.hello, "/room/id").ok() != Some(room) {
            let _ = line.call("room.leave", json!({})).await?;
            line.done("room.enter", json!({"room": room})).await?;
        }
        line.done("goal.set", json!({"text": one_of(&GOALS)})).await?;
        let plan = json!({"total_time": 0, "work_time": rand::rng().random_range(1..4), "break_time": 1});
        // One that still runs goes on.
        let _ = line.call("timer.start", plan).await?;
        let until = Instant::now() + if self.keeps.is_some() { between(600, 1200) } else { between(90, 360) };
        while Instant::now() < until {
            let next = Instant::now() + between(8, 30);
            while Instant::now() < next {
                if let Some(event) = line.event(next.saturating_duration_since(Instant::now())).await? {
                    self.hear(&mut line, &event).await?;
                }
            }
            self.act(&mut line).await?;
        }
        line.done("timer.stop", json!({})).await?;
        if self.keeps.is_none() {
            line.done("room.leave", json!({})).await?;
        }
        Ok(())
    }

    /// Friendship that is asked for is given.
    async fn hear(&self, line: &mut Line, event: &Value) -> anyhow::Result<()> {
        if event.get("ev") == Some(&json!("friend.requested")) {
            tokio::time::sleep(between(2, 6)).await;
            // It may have been taken back meanwhile.
            let _ = line.call("friend.accept", json!({"user": number(event, "/d/user")?})).await?;
        }
        Ok(())
    }

    /// What comes into one's mind.
    async fn act(&self, line: &mut Line) -> anyhow::Result<()> {
        let chance = rand::rng().random_range(0..10);
        // Whatever is refused was not possible just now: no timer to pause, friends already.
        let _ = match chance {
            0..4 => line.call("room.cheer", json!({"text": one_of(&CHEERS)})).await?,
            4 => line.call("timer.pause", json!({})).await?,
            5 | 6 => line.call("timer.resume", json!({})).await?,
            7 => line.call("goal.set", json!({"text": one_of(&GOALS)})).await?,
            8 => {
                let room = self.person.ask("GET", "/rooms/check/", &Value::Null).await?;
                let members = room.pointer("/data/members").and_then(Value::as_array).cloned().unwrap_or_default();
                let other = members.choose(&mut rand::rng()).and_then(|member| member.get("id")?.as_i64());
                line.call("friend.request", json!({"user": other.unwrap_or_default()})).await?
            }
            _ => Ok(Value::Null),
        };
        Ok(())
    }
}
