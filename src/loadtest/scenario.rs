//! What a run does, as a file: how many sit where, what they do, and for how long.
//!
//! Promises that a scenario which was read can be run: its numbers are checked here and nowhere else.

use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};

/// Those that come with the binary.
const EMBEDDED: &[(&str, &str)] = &[
    ("idle", include_str!("scenarios/idle.toml")),
    ("fanout", include_str!("scenarios/fanout.toml")),
    ("fanout-a", include_str!("scenarios/fanout-a.toml")),
    ("fanout-b", include_str!("scenarios/fanout-b.toml")),
    ("fanout-c", include_str!("scenarios/fanout-c.toml")),
    ("fanout-c2", include_str!("scenarios/fanout-c2.toml")),
    ("fanout-d", include_str!("scenarios/fanout-d.toml")),
    ("churn", include_str!("scenarios/churn.toml")),
    ("seats", include_str!("scenarios/seats.toml")),
    ("churn-presence", include_str!("scenarios/churn-presence.toml")),
    ("morning", include_str!("scenarios/morning.toml")),
    ("boundary", include_str!("scenarios/boundary.toml")),
    ("deploy", include_str!("scenarios/deploy.toml")),
    ("slow", include_str!("scenarios/slow.toml")),
    ("mixed", include_str!("scenarios/mixed.toml")),
    ("rest", include_str!("scenarios/rest.toml")),
    ("befriend", include_str!("scenarios/befriend.toml")),
];

/// Characters that the server takes in one word to the room.
const LONGEST_BODY: usize = 200;

/// Characters that a word needs to be known again.
pub const SHORTEST_BODY: usize = 16;

/// A run to be made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name: the file's.
    #[serde(default)]
    pub name: String,
    /// One sentence for people.
    pub about: String,
    /// How many rooms.
    pub rooms: usize,
    /// How many sit in each; everyone has one connection.
    pub members: usize,
    /// How long the work is measured.
    pub seconds: f64,
    /// How long it runs before that; nothing of it counts but its faults.
    #[serde(default = "warm_up")]
    pub warm_up: f64,
    /// Connections that are being opened at one moment.
    #[serde(default = "connecting")]
    pub connecting: usize,
    /// What is done once everyone is there.
    pub work: Work,
    /// Settings of an embedded server that differ from the defaults.
    #[serde(default)]
    pub server: BTreeMap<String, String>,
    /// What is to be reached, by the name of a figure.
    #[serde(default)]
    pub goals: Vec<Goal>,
}

/// What is done once everyone is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Work {
    /// Nothing: everyone stays.
    Idle {},
    /// Words to the rooms.
    Fanout(Fanout),
    /// People leave and come back.
    Churn(Churn),
    /// Everybody comes within so many seconds, whether the server keeps up or not.
    Morning {
        /// Seconds.
        over: f64,
    },
    /// Everybody's timer is started as fast as the server takes it; phases end as close together.
    Boundary {
        /// Members of each room who stay to hear it.
        watchers: usize,
    },
    /// All lose their connection at once and resume, while some go on talking.
    Deploy(Deploy),
    /// Some of each room never read.
    Slow(Slow),
    /// A study day in minutes.
    Mixed(Mixed),
    /// Requests over REST.
    Rest(Rest),
}

/// By what people come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// Entering and leaving the room, connected all the while.
    Seat,
    /// Connecting and hanging up, seated all the while; needs a server without grace.
    Connection,
}

/// People leave and come back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Churn {
    /// How many leave a second, on time; as many come back.
    #[serde(default)]
    pub rate: Option<f64>,
    /// So many are always about it; the next begins when one is done.
    #[serde(default)]
    pub clients: Option<usize>,
    /// How.
    pub by: By,
}

/// All lose their connection at once and resume.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deploy {
    /// The share that stays connected.
    pub stay: f64,
    /// Seconds of work before it happens.
    pub after: f64,
    /// Seconds over which clients spread their return.
    pub over: f64,
    /// Words a second meanwhile.
    pub rate: f64,
}

impl Deploy {
    /// The words that are said meanwhile.
    pub fn fanout(&self) -> Fanout {
        Fanout { rate: Some(self.rate), in_flight: None, body: body() }
    }
}

/// Some of each room never read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slow {
    /// How many of each room.
    pub deaf: usize,
    /// Words a second over all rooms.
    pub rate: f64,
}

/// A study day in minutes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mixed {
    /// Seconds between two acts of one person, on average.
    pub think: f64,
    /// Characters of a word.
    #[serde(default = "body")]
    pub body: usize,
}

/// Requests over REST.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rest {
    /// Connections, each of another person.
    pub clients: usize,
    /// Requests a second over all of them, sent on time; without it, each sends the next after thinking.
    #[serde(default)]
    pub rate: Option<f64>,
    /// Seconds between an answer and the same client's next request.
    #[serde(default)]
    pub think: f64,
    /// What is asked for, and how often compared with the others. In a path, `USER` is the client's own id, and `OTHER`
    /// that of somebody who is no client.
    pub requests: Vec<Asked>,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// `GET`, `POST` …
    pub method: String,
    /// With its query.
    pub path: String,
    /// JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// How often compared with the others.
    #[serde(default = "once")]
    pub weight: u32,
}

fn once() -> u32 {
    1
}

/// Words to the rooms: as many as were asked for a second, or always so many under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fanout {
    /// Words a second over all rooms, sent on time whatever becomes of earlier ones.
    #[serde(default)]
    pub rate: Option<f64>,
    /// Words under way in each room; the next is sent when everyone has one.
    #[serde(default)]
    pub in_flight: Option<usize>,
    /// Characters of a word.
    #[serde(default = "body")]
    pub body: usize,
}

/// A figure that is to be reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Goal {
    /// Which figure of the report.
    pub figure: String,
    /// At most so much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
    /// At least so much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    /// At most so many times the limit that was measured beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times_limit: Option<f64>,
}

fn warm_up() -> f64 {
    1.0
}

fn connecting() -> usize {
    64
}

fn body() -> usize {
    160
}

impl Scenario {
    /// The embedded one of that name, or the file at that path.
    pub fn find(name: &str) -> anyhow::Result<Self> {
        if let Some((name, text)) = EMBEDDED.iter().find(|(known, _)| *known == name) {
            return Self::parse(name, text);
        }
        let path = Path::new(name);
        if path.extension().is_none() {
            bail!("no scenario is called {name:?}; there are {}, or give a file", Self::names().join(", "));
        }
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {name}"))?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        Self::parse(&stem, &text)
    }

    /// What the embedded ones are called.
    pub fn names() -> Vec<&'static str> {
        EMBEDDED.iter().map(|(name, _)| *name).collect()
    }

    /// Reads a scenario.
    pub fn parse(name: &str, text: &str) -> anyhow::Result<Self> {
        let mut scenario: Self = toml::from_str(text).with_context(|| format!("the scenario {name} is not valid"))?;
        scenario.name = name.to_owned();
        scenario.check().with_context(|| format!("the scenario {name}"))?;
        Ok(scenario)
    }

    /// What types alone can't say; again after numbers were changed.
    pub fn check(&self) -> anyhow::Result<()> {
        ensure!(self.rooms > 0 && self.members > 0 && self.connecting > 0, "nobody would be there");
        ensure!((0.1..=86_400.0).contains(&self.seconds), "seconds is between 0.1 and a day");
        ensure!((0.0..=3600.0).contains(&self.warm_up), "warm_up is between 0 and an hour");
        let rate = |rate: f64| {
            ensure!(rate > 0.0 && rate <= 1e6, "a rate is above 0, and sane");
            Ok(())
        };
        let body = |length| {
            ensure!((SHORTEST_BODY..=LONGEST_BODY).contains(&length), "body is {SHORTEST_BODY} to {LONGEST_BODY}");
            Ok(())
        };
        match &self.work {
            Work::Idle {} => Ok(()),
            Work::Fanout(fanout) => {
                ensure!(fanout.rate.is_some() != fanout.in_flight.is_some(), "either rate or in_flight");
                ensure!(fanout.in_flight.is_none_or(|words| (1..=1000).contains(&words)), "in_flight is 1 to 1000");
                fanout.rate.map_or(Ok(()), rate)?;
                body(fanout.body)
            }
            Work::Churn(churn) => {
                ensure!(churn.rate.is_some() != churn.clients.is_some(), "either rate or clients");
                ensure!(churn.clients.is_none_or(|clients| clients > 0), "nobody would come or go");
                // A room is closed once all have left, and twice as many as are about it may be away at once.
                let away = churn.clients.map_or(0, |clients| clients * 2);
                ensure!(churn.by == By::Connection || away < self.members, "members is more than twice the clients");
                churn.rate.map_or(Ok(()), rate)
            }
            Work::Morning { over } => rate(self.people() as f64 / over),
            Work::Boundary { watchers } => {
                ensure!((1..=self.members).contains(watchers), "watchers are members");
                Ok(())
            }
            Work::Deploy(deploy) => {
                ensure!((0.0..1.0).contains(&deploy.stay), "stay is a share");
                ensure!(deploy.after >= 0.0 && deploy.over >= 0.0, "times are not negative");
                rate(deploy.rate)
            }
            Work::Slow(slow) => {
                ensure!(slow.deaf < self.members, "somebody has to read");
                rate(slow.rate)
            }
            Work::Mixed(mixed) => {
                rate(1.0 / mixed.think)?;
                body(mixed.body)
            }
            Work::Rest(rest) => {
                ensure!(rest.clients > 0, "nobody would ask");
                ensure!(rest.requests.iter().any(|asked| asked.weight > 0), "nothing would be asked for");
                rest.rate.map_or(Ok(()), rate)
            }
        }
    }

    /// What the limit does in place of it, if there is a limit to it.
    pub fn limit(&self) -> Option<Self> {
        let work = match &self.work {
            Work::Idle {} | Work::Fanout(_) | Work::Morning { .. } => self.work.clone(),
            // Somebody comes, somebody goes: a word to the room each.
            Work::Churn(Churn { rate: Some(rate), .. }) => {
                Work::Fanout(Fanout { rate: Some(rate * 2.0), in_flight: None, body: body() })
            }
            _ => return None,
        };
        Some(Self { work, ..self.clone() })
    }

    /// Everyone.
    pub fn people(&self) -> usize {
        self.rooms * self.members
    }

    /// How long the work is measured.
    pub fn measured(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}
