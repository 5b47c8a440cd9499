//! What went wrong, counted by kind, with the first of each told in full.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// So many of a kind are told in full; of the rest only the number is kept.
const TOLD: u64 = 5;

/// How a server can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An event that somebody never got.
    Lost,
    /// An event that somebody got twice.
    Doubled,
    /// An event behind one that follows it.
    Disordered,
    /// Two edges in the same direction of the same user.
    DoubledPresence,
    /// Somebody is shown as there who is not, or the other way round.
    WrongPresence,
    /// An edge of somebody who had only changed the connection.
    NeedlessPresence,
    /// Somebody who said where they stood was given something else than what they had missed.
    NotResumed,
    /// Somebody who never reads was not sent away for it.
    NotSentAway,
    /// A request was refused.
    Refused,
    /// A connection could not be made, or ended when nobody asked for it.
    Broken,
    /// What was begun did not end in time.
    Unfinished,
}

impl Kind {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Doubled => "doubled",
            Self::Disordered => "out of order",
            Self::DoubledPresence => "doubled presence",
            Self::WrongPresence => "wrong presence",
            Self::NeedlessPresence => "needless presence",
            Self::NotResumed => "not resumed",
            Self::NotSentAway => "not sent away",
            Self::Refused => "refused",
            Self::Broken => "broken",
            Self::Unfinished => "unfinished",
        }
    }
}

/// Faults of one kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// How many.
    pub count: u64,
    /// The first ones: what and where.
    pub first: Vec<String>,
}

/// Everything that went wrong in a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Faults(pub BTreeMap<Kind, Entry>);

impl Faults {
    /// Counts `count` faults of a kind, the first of which is `what`.
    pub fn add(&mut self, kind: Kind, count: u64, what: impl FnOnce() -> String) {
        let entry = self.0.entry(kind).or_default();
        if entry.count < TOLD {
            entry.first.push(what());
        }
        entry.count += count;
    }

    /// Takes back one fault: it turned out to be another.
    pub(super) fn retract(&mut self, kind: Kind) {
        if let Some(entry) = self.0.get_mut(&kind) {
            entry.count = entry.count.saturating_sub(1);
            if entry.count == 0 {
                self.0.remove(&kind);
            }
        }
    }

    /// Adds what else went wrong.
    pub(super) fn merge(&mut self, other: Self) {
        for (kind, entry) in other.0 {
            let own = self.0.entry(kind).or_default();
            own.count += entry.count;
            own.first.extend(entry.first);
        }
    }

    /// Nothing went wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A line for each fault that is told.
    pub fn lines(&self) -> Vec<String> {
        let lines = self.0.iter().flat_map(|(kind, entry)| {
            let told = entry.first.iter().map(|what| format!("{}: {what}", kind.as_str()));
            let rest = entry.count.saturating_sub(entry.first.len() as u64);
            told.chain((rest > 0).then(|| format!("{}: and {rest} more", kind.as_str())))
        });
        lines.collect()
    }
}
