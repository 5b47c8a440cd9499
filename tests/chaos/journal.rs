//! What all clients together have heard: every place of every channel, once.
//!
//! Whoever applies an event writes it down. Two clients that were told different things at one place contradict each
//! other, and that is a mistake of the service whoever of them is right.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Mutex, MutexGuard},
};

use serde_json::Value;

/// An event at its place.
#[derive(Clone, Debug)]
pub struct Heard {
    pub ev: String,
    pub d: Value,
    /// When it was said, by the service's clock.
    pub at: i64,
    /// How many applied it.
    pub by: u64,
}

/// A life of a channel, place by place.
pub type Story = BTreeMap<u64, Heard>;

/// A cheer that was answered: its place as it was answered, and when. The answer names no epoch, and may come before the
/// snapshot that begins a new one.
#[derive(Clone, Debug)]
pub struct Cheer {
    pub text: String,
    pub off: u64,
    pub at: i64,
}

/// How long a cheer is on its way, in milliseconds.
const WAY: i64 = 1000;

/// See the module.
#[derive(Default)]
pub struct Journal {
    stories: Mutex<HashMap<(String, String), Story>>,
    pub cheers: Mutex<Vec<Cheer>>,
}

/// What became of what was said.
#[derive(Debug, Default)]
pub struct Findings {
    /// Places, and how often one was applied.
    pub events: u64,
    pub applied: u64,
    /// Lives of channels.
    pub epochs: usize,
    /// Edges of presence, in rooms and among friends.
    pub edges: u64,
    /// Those of them that were told again.
    pub retold: u64,
    /// Cheers that were answered, and those of them that nobody heard.
    pub cheers: usize,
    pub unheard: usize,
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, applied, epochs, edges, retold, cheers, unheard } = self;
        write!(
            f,
            "{events} events in {epochs} epochs applied {applied} times, among them {edges} edges ({retold} told again); "
        )?;
        write!(f, "of {cheers} cheers {unheard} unheard")
    }
}

impl Journal {
    /// An event was applied in `epoch` of its channel.
    pub fn apply(&self, epoch: &str, message: &Value) {
        let (channel, off) = (message["ch"].as_str().unwrap(), message["off"].as_u64().unwrap());
        let (ev, at) = (message["ev"].as_str().unwrap(), message["at"].as_i64().unwrap_or_default());
        let mut stories = self.stories.lock().unwrap();
        let story = stories.entry((channel.to_owned(), epoch.to_owned())).or_default();
        let heard = story.entry(off).or_insert_with(|| Heard { ev: ev.to_owned(), d: message["d"].clone(), at, by: 0 });
        heard.by += 1;
        if heard.ev == "superseded" {
            (heard.ev, heard.d, heard.at) = (ev.to_owned(), message["d"].clone(), at);
        }
        let same = ev == "superseded" || (heard.ev == ev && heard.d == message["d"]);
        assert!(same, "two tales of {epoch}: {message} and {heard:?}");
    }

    pub fn stories(&self) -> MutexGuard<'_, HashMap<(String, String), Story>> {
        self.stories.lock().unwrap()
    }

    /// Every event named `ev` since `since`, with its channel.
    pub fn told(&self, ev: &str, since: i64) -> Vec<(String, Heard)> {
        let stories = self.stories();
        let events = stories.iter().flat_map(|((channel, _), story)| story.values().map(move |heard| (channel, heard)));
        let events = events.filter(|(_, heard)| heard.ev == ev && heard.at >= since);
        events.map(|(channel, heard)| (channel.clone(), heard.clone())).collect()
    }

    /// Reads everything anew and panics at what must not be. Whoever dies over telling an edge may have told it: then
    /// another one tells it again. So it may be heard twice where, between the two, something was wrong.
    pub fn check(&self, is_wrong: impl Fn(i64, i64) -> bool) -> Findings {
        let stories = self.stories();
        let mut findings = Findings { epochs: stories.len(), ..Findings::default() };
        for ((channel, epoch), story) in &*stories {
            findings.events += story.len() as u64;
            findings.applied += story.values().map(|heard| heard.by).sum::<u64>();
            let (edges, retold) = check_edges(channel, epoch, story, &is_wrong);
            findings.edges += edges;
            findings.retold += retold;
        }
        let cheers = self.cheers.lock().unwrap();
        findings.cheers = cheers.len();
        let heard = stories.values().flatten().filter(|(_, heard)| heard.ev == "room.cheer");
        let heard: HashMap<_, _> = heard.map(|(off, heard)| (heard.d["text"].as_str().unwrap(), *off)).collect();
        for cheer in &*cheers {
            match heard.get(&*cheer.text) {
                Some(off) => assert_eq!(*off, cheer.off, "heard at another place than was answered: {cheer:?}"),
                None => {
                    assert!(is_wrong(cheer.at - WAY, cheer.at + WAY), "nobody has heard {cheer:?}");
                    findings.unheard += 1;
                }
            }
        }
        findings
    }
}

/// Online and offline of one person take turns, as far as the story has no gap. Between a picture and the event after
/// it nothing is known: whoever has just come may be told of once more.
fn check_edges(channel: &str, epoch: &str, story: &Story, is_wrong: impl Fn(i64, i64) -> bool) -> (u64, u64) {
    let mut known: HashMap<i64, (bool, &Heard)> = HashMap::new();
    let (mut last, mut edges, mut retold) = (0, 0, 0);
    for (off, heard) in story {
        if *off != last + 1 || heard.ev == "superseded" {
            known.clear();
        }
        last = *off;
        let user = heard.d["user"].as_i64().unwrap_or_default();
        let online = match heard.ev.as_str() {
            "presence.online" | "friend.online" => true,
            "presence.offline" | "friend.offline" => false,
            "room.exited" | "friend.removed" => {
                known.remove(&user);
                continue;
            }
            _ => continue,
        };
        edges += 1;
        if let Some((before, earlier)) = known.insert(user, (online, heard))
            && before == online
        {
            let excused = is_wrong(earlier.at, heard.at);
            assert!(excused, "told twice in {channel} of {epoch}: {earlier:?}, then at {off} {heard:?}");
            retold += 1;
        }
    }
    (edges, retold)
}
