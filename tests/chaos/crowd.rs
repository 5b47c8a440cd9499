//! The people: each with a device or two that act, lose their connection and come back, to whichever instance answers.
//!
//! A device behaves as a good client does: it notices silence, follows the number of a close frame and the moment that
//! `bye` names, resumes where it stands, and sends a timer's command again, under the same id, until it is answered.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use tokio::{
    sync::{Semaphore, mpsc, watch},
    time::timeout,
};

use crate::{
    journal::{Cheer, Journal},
    now,
    support::{
        Device, Gone,
        fold::{self, Command, Doing, Told},
        pick,
    },
};

/// How long a device waits for an answer, and bears silence. The heartbeat comes every three seconds.
const PATIENCE: Duration = Duration::from_secs(9);

/// How long it waits for `hello`: whoever gives up too early and tries again keeps a busy server busy.
const COMING: Duration = Duration::from_secs(18);

/// Newcomers at one time.
const NEWCOMERS: usize = 6;

/// Longer than a run.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The longest that a device waits before it tries again.
const LONGEST_WAIT: Duration = Duration::from_secs(4);

/// How long somebody is away who is away for long: some are declared gone, and some return just before.
const LONG: std::ops::Range<u64> = 12_000..22_000;

/// Total, work and break: the shortest that there are.
const PLANS: [(i64, i64, i64); 4] = [(0, 1, 1), (2, 1, 1), (1, 0, 0), (0, 1, 0)];

/// What refuses an operation that comes at the wrong moment.
const FINE: &[&str] = &[
    "already_friends",
    "already_in_room",
    "no_timer",
    "not_a_member",
    "not_friends",
    "request_not_found",
    "request_to_oneself",
    "timer_paused",
    "timer_running",
];

/// What says that something is broken at the moment: whether it was done is unknown.
const TROUBLE: &[&str] = &["internal", "unavailable", "overloaded", "draining"];

/// What everybody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Whatever comes to mind.
    Act,
    /// The same, but nobody is away for long.
    Stay,
    /// Nothing new: come back, finish, be still.
    Rest(u64),
    /// The same, and say what is known.
    Tell(u64),
}

/// What a device says about itself.
#[derive(Debug)]
pub enum Word {
    /// Nothing is under way any more.
    Rests { who: usize, device: usize, turn: u64 },
    /// What it knows, and what its commands have come to.
    Knows { who: usize, known: Box<Known> },
}

/// See [`Word::Knows`].
#[derive(Debug)]
pub struct Known {
    pub picture: Value,
    pub runs: Option<Vec<Told>>,
    pub recovered: u64,
    pub told_anew: u64,
}

/// A stretch of time in which a device was certainly connected.
#[derive(Clone, Copy, Debug)]
pub struct Stay {
    pub instance: usize,
    pub from: i64,
    pub to: i64,
}

/// Somebody, as all devices of theirs know.
#[derive(Debug)]
pub struct Person {
    pub id: i64,
    pub token: String,
    pub stays: Mutex<Vec<Stay>>,
    /// Who loses the connection comes back only then.
    pub away_until: AtomicI64,
}

/// What everybody shares.
pub struct World {
    pub people: Vec<Person>,
    pub rooms: Vec<i64>,
    /// The instances' addresses for clients.
    pub bases: Vec<String>,
    pub journal: Journal,
    pub mood: watch::Receiver<Mood>,
    pub words: mpsc::UnboundedSender<Word>,
    pub counts: Counts,
    texts: AtomicU64,
    /// Not everybody's newcomer at once: a crowd at the door is another test.
    newcomers: Semaphore,
}

/// What was done, by its name.
#[derive(Default)]
pub struct Counts(Mutex<BTreeMap<String, u64>>);

impl Counts {
    pub fn add(&self, what: &str) {
        *self.0.lock().unwrap().entry(what.to_owned()).or_default() += 1;
    }

    pub fn all(&self) -> BTreeMap<String, u64> {
        self.0.lock().unwrap().clone()
    }
}

impl World {
    pub fn new(
        people: Vec<Person>,
        rooms: Vec<i64>,
        bases: Vec<String>,
        mood: watch::Receiver<Mood>,
        words: mpsc::UnboundedSender<Word>,
    ) -> Self {
        let (journal, counts) = (Journal::default(), Counts::default());
        let (texts, newcomers) = (AtomicU64::new(0), Semaphore::new(NEWCOMERS));
        Self { people, rooms, bases, journal, mood, words, counts, texts, newcomers }
    }

    /// Whether somebody is one of the crowd.
    fn lives_here(&self, id: i64) -> bool {
        self.people.iter().any(|person| person.id == id)
    }

    fn text(&self) -> String {
        format!("힘내요 {}", self.texts.fetch_add(1, Ordering::Relaxed))
    }
}

/// One device of somebody.
pub struct Life {
    world: Arc<World>,
    who: usize,
    number: usize,
    device: Device,
    instance: usize,
    /// Who made the room stays, so that it does not close.
    keeper: bool,
    runs: Vec<Told>,
    /// The command that is not answered yet.
    asked: Option<(Command, Value)>,
    commands: u64,
    failures: u32,
    mood: watch::Receiver<Mood>,
    /// The last turn for which this device has said its word.
    said: HashMap<&'static str, u64>,
    random: StdRng,
}

impl Life {
    pub fn new(world: &Arc<World>, who: usize, number: usize, seed: u64) -> Self {
        let mut device = Device::new(world.people[who].token.clone());
        let witness = Arc::clone(world);
        device.witness = Some(Arc::new(move |epoch, message| witness.journal.apply(epoch, message)));
        Self {
            world: Arc::clone(world),
            who,
            number,
            device,
            instance: 0,
            keeper: who < world.rooms.len(),
            runs: Vec::new(),
            asked: None,
            commands: 0,
            failures: 0,
            mood: world.mood.clone(),
            said: HashMap::new(),
            random: StdRng::seed_from_u64(seed),
        }
    }

    /// Lives until the run ends.
    pub async fn live(mut self) {
        loop {
            let mood = *self.mood.borrow_and_update();
            if !self.device.is_connected() {
                self.come().await;
                continue;
            }
            let lived = match mood {
                Mood::Act | Mood::Stay => self.act(mood).await,
                Mood::Rest(turn) => self.rest(turn).await,
                Mood::Tell(turn) => self.tell(turn).await,
            };
            if let Err(gone) = lived {
                self.lose(&gone).await;
            }
        }
    }

    /// Tries to connect, somewhere.
    async fn come(&mut self) {
        let away = self.world.people[self.who].away_until.load(Ordering::Relaxed) - now();
        if away > 0 {
            return self.wait(Duration::from_millis(away as u64)).await;
        }
        self.instance = self.random.random_range(0..self.world.bases.len());
        let base = &self.world.bases[self.instance];
        match timeout(COMING, self.device.connect(base)).await {
            Ok(Ok(())) => {
                self.failures = 0;
                self.world.counts.add("connections");
                let stay = Stay { instance: self.instance, from: now(), to: now() };
                self.world.people[self.who].stays.lock().unwrap().push(stay);
            }
            Ok(Err(gone)) => self.lose(&gone).await,
            Err(_) => self.lose(&Gone::default()).await,
        }
    }

    /// The connection is gone, or did not come about: waits as the server says, or with full jitter.
    async fn lose(&mut self, gone: &Gone) {
        if self.device.is_connected() {
            self.device.lose();
        }
        let code = gone.code.map_or("none".to_owned(), |code| code.to_string());
        self.world.counts.add(&format!("gone {code}"));
        assert!(gone.code.is_none_or(|code| code < 4500), "sent away for good: {gone:?}");
        let most = (250 << self.failures.min(5)).min(LONGEST_WAIT.as_millis() as u64);
        self.failures += 1;
        let wait = gone.bye["reconnect_ms"].as_u64().unwrap_or_else(|| self.random.random_range(0..=most));
        self.wait(Duration::from_millis(wait)).await;
    }

    /// Lets time pass.
    async fn wait(&mut self, time: Duration) {
        let _ = timeout(time, std::future::pending::<()>()).await;
    }

    /// Listens until something is to be done; notices silence.
    async fn listen(&mut self, time: Duration) -> Result<(), Gone> {
        self.device.listen(time).await?;
        self.note_stay();
        if self.device.heard_at.elapsed() > PATIENCE {
            self.world.counts.add("silences");
            return Err(Gone::default());
        }
        Ok(())
    }

    /// What was heard proves that there is a connection.
    fn note_stay(&self) {
        let heard = now() - self.device.heard_at.elapsed().as_millis() as i64;
        let stays = &mut *self.world.people[self.who].stays.lock().unwrap();
        if let Some(stay) = stays.iter_mut().rev().find(|stay| stay.instance == self.instance) {
            stay.to = stay.to.max(heard);
        }
    }

    async fn call(&mut self, op: &str, d: Value) -> Result<Option<Value>, Gone> {
        let answer = timeout(PATIENCE, self.device.call(op, d)).await;
        self.note_stay();
        match answer {
            Ok(Ok(Ok(ok))) => {
                self.world.counts.add(op);
                Ok(Some(ok))
            }
            Ok(Ok(Err(err))) => {
                let code = err["code"].as_str().unwrap();
                self.world.counts.add(&format!("refused {code}"));
                assert!(FINE.contains(&code) || TROUBLE.contains(&code), "{op}: {err}");
                Ok(None)
            }
            Ok(Err(gone)) => Err(gone),
            Err(_) => {
                self.world.counts.add("unanswered");
                Err(Gone::default())
            }
        }
    }

    async fn act(&mut self, mood: Mood) -> Result<(), Gone> {
        if self.asked.is_some() {
            self.command().await?;
        }
        let seat = self.device.picture.as_ref().unwrap().seat();
        match self.random.random_range(0..100) {
            0..14 if !self.keeper && seat.is_none() => {
                let room = *pick(&mut self.random, &self.world.rooms);
                self.call("room.enter", json!({"room": room})).await?;
            }
            14..20 if !self.keeper && seat.is_some() => drop(self.call("room.leave", json!({})).await?),
            20..40 => self.cheer().await?,
            40..46 => {
                let text = self.world.text();
                self.call("goal.set", json!({"text": text})).await?;
            }
            46..60 => self.befriend().await?,
            60..80 if self.number == 0 => self.choose_command().await?,
            80..86 => {
                self.device.lose();
                self.world.counts.add("drops");
                let long = mood == Mood::Act && self.random.random_bool(0.08);
                let away = if long { self.random.random_range(LONG) } else { self.random.random_range(0..3000) };
                self.wait(Duration::from_millis(away)).await;
                return Ok(());
            }
            86..89 => {
                let since = self.device.picture.as_ref().unwrap().since();
                self.call("sync", json!({"since": since})).await?;
            }
            _ => {}
        }
        let pause = self.random.random_range(1000..5000);
        self.listen(Duration::from_millis(pause)).await
    }

    /// Answers who asks, or begins or ends something with somebody near.
    async fn befriend(&mut self) -> Result<(), Gone> {
        let picture = self.device.picture.as_ref().unwrap();
        let (asks, friends) = (picture.requests(), picture.friends());
        let near = (self.who + self.random.random_range(1..5)) % self.world.people.len();
        let near = self.world.people[near].id;
        let (op, other) = match self.random.random_range(0..10) {
            0..5 if !asks.is_empty() => ("friend.accept", *pick(&mut self.random, &asks)),
            5 if !asks.is_empty() => ("friend.reject", *pick(&mut self.random, &asks)),
            6 if !friends.is_empty() => ("friend.remove", *pick(&mut self.random, &friends)),
            7 => ("friend.cancel", near),
            _ => ("friend.request", near),
        };
        self.call(op, json!({"user": other})).await?;
        Ok(())
    }

    async fn cheer(&mut self) -> Result<(), Gone> {
        let text = self.world.text();
        let Some(ok) = self.call("room.cheer", json!({"text": text})).await? else { return Ok(()) };
        if let Some(off) = ok["off"].as_u64() {
            self.world.journal.cheers.lock().unwrap().push(Cheer { text, off, at: now() });
        }
        Ok(())
    }

    async fn choose_command(&mut self) -> Result<(), Gone> {
        let command = match (fold::doing(&self.runs, now()), self.random.random_bool(0.7)) {
            (Doing::Nothing, _) => Command::Start,
            (Doing::Going, true) => Command::Pause,
            (Doing::Pausing, true) => Command::Resume,
            _ => Command::Stop,
        };
        self.ask(command).await
    }

    /// Says `command` once, however often it takes.
    async fn ask(&mut self, command: Command) -> Result<(), Gone> {
        self.commands += 1;
        let mut body = json!({"cmd": format!("c-{}", self.commands)});
        match (command, self.runs.last()) {
            (Command::Start, _) => {
                let (total, work, rest) = *pick(&mut self.random, &PLANS);
                (body["total_time"], body["work_time"], body["break_time"]) = (json!(total), json!(work), json!(rest));
            }
            // A command that comes late must not hit another run.
            (_, Some(run)) => body["run"] = json!(run.id),
            (_, None) => {}
        }
        self.asked = Some((command, body));
        self.command().await
    }

    async fn command(&mut self) -> Result<(), Gone> {
        let Some((command, body)) = self.asked.clone() else { return Ok(()) };
        let answer = timeout(PATIENCE, self.device.call(command.op(), body)).await;
        self.note_stay();
        match answer {
            Ok(Ok(Ok(ok))) => {
                self.world.counts.add(command.op());
                // A plan that was fulfilled a moment ago stays so; what is paused is fulfilled only once it goes on.
                let over = ok["run"]["state"] == "idle" && command == Command::Pause;
                if !over {
                    fold::accept(&mut self.runs, command, &ok["run"]);
                }
                self.asked = None;
            }
            Ok(Ok(Err(err))) => {
                let code = err["code"].as_str().unwrap();
                self.world.counts.add(&format!("refused {code}"));
                if !TROUBLE.contains(&code) {
                    assert!(FINE.contains(&code), "{command:?}: {err}");
                    self.asked = None;
                }
            }
            Ok(Err(gone)) => return Err(gone),
            Err(_) => {
                self.world.counts.add("unanswered");
                return Err(Gone::default());
            }
        }
        Ok(())
    }

    /// Finishes what is under way, and says so.
    async fn rest(&mut self, turn: u64) -> Result<(), Gone> {
        if self.asked.is_some() {
            self.command().await?;
        } else if self.said.get("rests") != Some(&turn) && self.call("whoami", json!({})).await?.is_some() {
            self.said.insert("rests", turn);
            let _ = self.world.words.send(Word::Rests { who: self.who, device: self.number, turn });
        }
        self.listen(Duration::from_millis(300)).await
    }

    /// Says what is known, once it is what a newcomer is told.
    async fn tell(&mut self, turn: u64) -> Result<(), Gone> {
        // Not all at once.
        let pause = self.random.random_range(0..1500);
        self.listen(Duration::from_millis(pause)).await?;
        if self.said.get("tells") != Some(&turn) && self.agrees(turn).await? {
            self.said.insert("tells", turn);
            let picture = self.device.picture.as_ref().unwrap();
            let known = Known {
                picture: picture.known(),
                runs: (self.number == 0).then(|| self.runs.clone()),
                recovered: picture.recovered,
                told_anew: picture.told_anew,
            };
            let _ = self.world.words.send(Word::Knows { who: self.who, known: Box::new(known) });
        }
        Ok(())
    }

    /// Whether a newcomer is told the same, at another instance.
    async fn agrees(&mut self, turn: u64) -> Result<bool, Gone> {
        let world = Arc::clone(&self.world);
        let _turn = tokio::select! {
            turn = world.newcomers.acquire() => turn.unwrap(),
            Err(gone) = self.device.listen(LONGEST) => return Err(gone),
        };
        let mut fresh = Device::new(self.device.token.clone());
        let instance = (self.who + self.number + turn as usize) % self.world.bases.len();
        let base = &self.world.bases[instance];
        tokio::select! {
            connected = fresh.connect(base) => connected?,
            Err(gone) = self.device.listen(LONGEST) => return Err(gone),
        }
        if self.call("whoami", json!({})).await?.is_none() {
            return Ok(false);
        }
        let (known, told) = (self.device.picture.as_ref().unwrap(), fresh.picture.as_ref().unwrap());
        // Everybody is there.
        let absent: Vec<_> = known
            .people()
            .filter(|(id, person)| person["online"] != true && self.world.lives_here(*id))
            .map(|(id, _)| id)
            .collect();
        let why = if known.since() != told.since() {
            format!("stands at {}, a newcomer at {}", known.since(), told.since())
        } else if known.known() != told.known() {
            format!("differs from a newcomer: {:#?}", differences("", &known.known(), &told.known()))
        } else if !absent.is_empty() {
            format!("takes {absent:?} for absent")
        } else {
            // Dies with whoever should have told it.
            if known.idle_friends() != told.idle_friends() {
                self.world.counts.add("behind: what a friend does");
            }
            return Ok(true);
        };
        self.disagreement(turn, &why);
        Ok(false)
    }

    /// What is said late is fine, what is never said is not.
    fn disagreement(&mut self, turn: u64, why: &str) {
        let tries = self.said.entry("tries").or_default();
        *tries = if *tries >> 32 == turn { *tries + 1 } else { (turn << 32) + 1 };
        if *tries & 0xffff_ffff > 25 {
            panic!(
                "{} on instance {}: {why}\n{:?}",
                self.world.people[self.who].id, self.instance, self.device.picture
            );
        }
    }
}

/// Where two values differ.
fn differences(path: &str, one: &Value, other: &Value) -> Vec<String> {
    match (one, other) {
        (Value::Object(a), Value::Object(b)) => {
            let names: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
            let null = Value::Null;
            let of = |name| {
                differences(&format!("{path}.{name}"), a.get(name).unwrap_or(&null), b.get(name).unwrap_or(&null))
            };
            names.into_iter().flat_map(|name| of(name.as_str())).collect()
        }
        _ if one == other => Vec::new(),
        _ => vec![format!("{path}: {one} and {other}")],
    }
}
