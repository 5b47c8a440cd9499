//! `solgik ws-check`: which of the protocol's promises a running server keeps.
//!
//! Promises that a promise counts as kept only if it was seen to hold. The people whom it takes sign up by REST and are
//! deleted at the end. What can't be seen here, because this machine is exempt from a limit, is said to be unseen.

use std::fmt;

use anyhow::Context;
use serde_json::json;

use super::{Door, Line, number, promises};

/// How it stands with one promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was seen to hold; what was seen.
    Kept(String),
    /// It does not hold; how.
    Broken(String),
    /// It could not be seen; why.
    Unseen(String),
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Which promise.
    pub promise: &'static str,
    /// How it stands with it.
    pub outcome: Outcome,
}

impl Verdict {
    pub(super) fn new(promise: &'static str, seen: anyhow::Result<Outcome>) -> Self {
        Self { promise, outcome: seen.unwrap_or_else(|error| Outcome::Broken(format!("{error:#}"))) }
    }

    /// Whether the promise does not hold.
    pub fn is_broken(&self) -> bool {
        matches!(self.outcome, Outcome::Broken(_))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mark, seen) = match &self.outcome {
            Outcome::Kept(seen) => ('✓', seen),
            Outcome::Broken(seen) => ('✗', seen),
            Outcome::Unseen(seen) => ('–', seen),
        };
        write!(f, "{mark} {:<24} {seen}", self.promise)
    }
}

/// Whom the promises are tried with.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) sumi: Door,
    pub(super) hana: Door,
    pub(super) mina: Door,
    /// How the third signs in once more; nobody knows it of people whose tokens were lent.
    pub(super) email: Option<String>,
}

/// Of those who sign up.
pub(super) const PASSWORD: &str = "nine quiet herons";

/// Tries every promise on the server at `url`, with people of its own or with those whose tokens are given.
pub async fn run(url: &str, tokens: &[String]) -> anyhow::Result<Vec<Verdict>> {
    let door = Door::new(url).await?;
    let stage = match tokens {
        [] => {
            let tag = format!("{:08x}", rand::random::<u32>());
            let email = |name: &str| format!("ws-check-{tag}-{name}@check.invalid");
            let person = async |name: &str| door.sign_up(&email(name), "검사", name, PASSWORD).await;
            Stage {
                sumi: person("sumi").await?,
                hana: person("hana").await?,
                mina: person("mina").await?,
                email: Some(email("mina")),
            }
        }
        [sumi, hana, mina, ..] => {
            Stage { sumi: door.with_token(sumi), hana: door.with_token(hana), mina: door.with_token(mina), email: None }
        }
        _ => anyhow::bail!("three tokens are needed"),
    };
    let verdicts = promises::all(&door, &stage).await;
    if stage.email.is_some() {
        for person in [&stage.sumi, &stage.hana] {
            delete(person).await.context("taking the people away")?;
        }
    }
    Ok(verdicts)
}

/// Deletes a person.
async fn delete(person: &Door) -> anyhow::Result<()> {
    person.ask("DELETE", &format!("/accounts/{}/", id_of(person).await?), &json!({})).await.map(|_| ())
}

/// A person's id, which no token tells.
pub(super) async fn id_of(person: &Door) -> anyhow::Result<i64> {
    number(&Line::open(person, json!({})).await?.hello, "/user/id")
}
