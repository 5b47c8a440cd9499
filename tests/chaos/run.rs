//! A run: turns of faults, each with a rest in which everything is looked at.

use std::{
    collections::{BTreeMap, HashSet},
    panic,
    path::PathBuf,
    sync::{Arc, Mutex, atomic::AtomicI64},
    time::{Duration, Instant},
};

use entity::{account, room};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};
use sea_orm::{EntityTrait, IsolationLevel, QueryOrder, TransactionTrait};
use serde_json::json;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::timeout,
};

use crate::{
    crowd::{Known, Life, Mood, Person, Word, World},
    faults::Fault,
    now,
    service::Service,
    support::{
        Door,
        fold::{self, Command, Told},
        pick,
    },
    truth::{Truth, check_absences, unsaid},
};

/// As many as it takes for two to go on without a third.
const INSTANCES: usize = 3;

/// How long everybody may take to come to rest, and to know everything.
const PATIENCE: Duration = Duration::from_secs(90);

/// Faults between two rests.
const FAULTS: usize = 8;

/// How large a run is.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub people: usize,
    pub rooms: usize,
    /// How long faults go on.
    pub time: Duration,
    /// Whether there is time for any fault, and for what is measured.
    pub is_long: bool,
}

impl Plan {
    /// What every test run can afford.
    pub const SHORT: Self = Self { people: 40, rooms: 4, time: Duration::ZERO, is_long: false };

    pub fn long(time: Duration) -> Self {
        Self { people: 100, rooms: 8, time, is_long: true }
    }
}

/// See the module.
pub struct Run {
    pub service: Service,
    pub world: Arc<World>,
    pub mood: watch::Sender<Mood>,
    words: mpsc::UnboundedReceiver<Word>,
    lives: JoinSet<()>,
    devices: usize,
    turn: u64,
    plan: Plan,
    pub struck: BTreeMap<String, u32>,
    runs: BTreeMap<i64, Vec<Told>>,
    resumes: (u64, u64),
    began: (Instant, i64),
    pub random: StdRng,
}

impl Run {
    pub async fn start(programs: PathBuf, plan: Plan, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        // One more than live here, for what is measured.
        let service = Service::start(programs, INSTANCES, plan.people + 1, plan.rooms).await;
        let db = service.database().await;
        let accounts = account::Entity::find().order_by_asc(account::Column::Id).all(&*db).await.unwrap();
        let rooms = room::Entity::find().order_by_asc(room::Column::Id).all(&*db).await.unwrap();
        db.close().await;
        let person = |(row, token): (&account::Model, &String)| Person {
            id: row.id.0,
            token: token.clone(),
            stays: Mutex::default(),
            away_until: AtomicI64::new(0),
        };
        let people: Vec<_> = accounts.iter().zip(&service.tokens).take(plan.people).map(person).collect();
        let (mood, moods) = watch::channel(Mood::Act);
        let (tell, words) = mpsc::unbounded_channel();
        let bases = service.instances.iter().map(|instance| instance.base()).collect();
        let rooms = rooms.iter().map(|room| room.id.0).collect();
        let world = Arc::new(World::new(people, rooms, bases, moods, tell));
        let (mut lives, mut devices) = (JoinSet::new(), 0);
        for who in 0..plan.people {
            for number in 0..=(who % 2) {
                lives.spawn(Life::new(&world, who, number, random.random()).live());
                devices += 1;
            }
        }
        println!("{plan:?}: {devices} devices");
        Self {
            service,
            world,
            mood,
            words,
            lives,
            devices,
            turn: 0,
            plan,
            struck: BTreeMap::new(),
            runs: BTreeMap::new(),
            resumes: (0, 0),
            began: (Instant::now(), now()),
            random,
        }
    }

    pub fn say(&self, what: impl std::fmt::Display) {
        println!("{:7.2} s  {what}", self.began.0.elapsed().as_secs_f64());
    }

    /// Lets everybody live for a while. Whoever fails ends the run.
    pub async fn live(&mut self, time: Duration) {
        if let Ok(Some(ended)) = timeout(time, self.lives.join_next()).await {
            panic::resume_unwind(ended.unwrap_err().into_panic());
        }
    }

    pub async fn go(&mut self) {
        self.live(Duration::from_secs(2)).await;
        if self.plan.is_long {
            self.rest().await;
            self.log_out(true).await;
            self.roll().await;
            self.ghosts().await;
        } else {
            for faults in self.the_worst() {
                self.strike(faults).await;
            }
            return self.rest().await;
        }
        let until = Instant::now() + self.plan.time;
        while Instant::now() < until {
            for _ in 0..FAULTS {
                self.service.redis.remember();
                let pause = self.random.random_range(300..1500);
                self.live(Duration::from_millis(pause)).await;
                let fault = Fault::any(&mut self.random, INSTANCES);
                let other = Fault::any(&mut self.random, INSTANCES);
                let both = self.random.random_bool(0.3) && fault.goes_with(other);
                self.strike(if both { vec![fault, other] } else { vec![fault] }).await;
            }
            self.rest().await;
        }
        self.log_out(false).await;
    }

    /// What a short run has time for: the deaths of everything.
    fn the_worst(&mut self) -> Vec<Vec<Fault>> {
        let mut worst = vec![
            vec![Fault::Kill(self.random.random_range(0..INSTANCES))],
            vec![*pick(&mut self.random, &[Fault::KillRedis, Fault::EmptyRedis])],
            vec![Fault::CrashPostgres],
            vec![Fault::Drain(self.random.random_range(0..INSTANCES))],
        ];
        worst.shuffle(&mut self.random);
        worst
    }

    /// Lets something go wrong, and right again.
    pub async fn strike(&mut self, mut faults: Vec<Fault>) {
        let time = pick(&mut self.random, &faults).to_owned().lasts(&mut self.random);
        self.say(format_args!("{faults:?} for {time:?}"));
        for fault in &faults {
            *self.struck.entry(fault.name()).or_default() += 1;
            fault.begin(&mut self.service).await;
        }
        self.live(time).await;
        faults.sort_by_key(|fault| fault.is_of_an_instance());
        for fault in &faults {
            fault.end(&mut self.service).await;
        }
    }

    /// Waits until everything is whole and everybody still, and looks at everything.
    pub async fn rest(&mut self) {
        let began = Instant::now();
        let whole = self.service.whole().await;
        self.turn += 1;
        let turn = self.turn;
        self.mood.send_replace(Mood::Rest(turn));
        let mut restless: HashSet<_> =
            (0..self.plan.people).flat_map(|who| (0..=(who % 2)).map(move |number| (who, number))).collect();
        while !restless.is_empty() {
            let what = format!("{restless:?} don't come to rest");
            if let Word::Rests { who, device, turn: of } = self.word(began, &what).await
                && of == turn
            {
                restless.remove(&(who, device));
            }
        }
        let db = self.service.database().await;
        while unsaid(&db).await > 0 {
            assert!(began.elapsed() < PATIENCE, "{} events stay unsaid", unsaid(&db).await);
            self.live(Duration::from_millis(100)).await;
        }
        let still = began.elapsed();
        self.mood.send_replace(Mood::Tell(turn));
        let mut known = Vec::new();
        while known.len() < self.devices {
            let what = format!("only {} know what they should", known.len());
            if let Word::Knows { who, known: told } = self.word(began, &what).await {
                known.push((who, told));
            }
        }
        // One moment of it: the service goes on writing down what was studied.
        let moment = db.pool().begin_with_config(Some(IsolationLevel::RepeatableRead), None).await.unwrap();
        let truth = Truth::read(&moment).await;
        for (who, known) in &known {
            truth.check(&self.world.people[*who], known);
        }
        self.resumes = known.iter().fold((0, 0), |(a, b), (_, known)| (a + known.recovered, b + known.told_anew));
        for (who, known) in known {
            let Known { runs: Some(runs), .. } = *known else { continue };
            self.runs.insert(self.world.people[who].id, runs);
        }
        let runs = self.runs.iter().map(|(account, runs)| (*account, runs.as_slice()));
        let (written, _) = fold::check_ledger(&moment, runs, now(), false).await;
        moment.commit().await.unwrap();
        db.close().await;
        let findings = self.world.journal.check(|from, to| self.service.had_trouble(from, to));
        let absences = check_absences(&self.service, &self.world, self.began.1);
        self.say(format_args!(
            "turn {turn}: whole after {whole:?}, still after {still:?}, known after {:?}; {findings}; {absences} times told that somebody is gone, {written} ms studied",
            began.elapsed()
        ));
        self.mood.send_replace(Mood::Act);
    }

    async fn word(&mut self, began: Instant, what: &str) -> Word {
        loop {
            assert!(began.elapsed() < PATIENCE, "{what}");
            tokio::select! {
                Some(word) = self.words.recv() => return word,
                Some(ended) = self.lives.join_next() => panic::resume_unwind(ended.unwrap_err().into_panic()),
                () = crate::pass(Duration::from_secs(1)) => {}
            }
        }
    }

    /// Stops every timer, ends the service and looks at the ledger, to the millisecond.
    pub async fn finish(mut self) {
        self.lives.shutdown().await;
        let door = Door::new(self.service.instances[0].base());
        for person in &self.world.people {
            let reply = door.with_token(&person.token).post(Command::Stop.path(), json!({})).await;
            let runs = self.runs.get_mut(&person.id).unwrap();
            if reply.status.is_success() {
                fold::accept(runs, Command::Stop, &reply.ok()["run"]);
            } else {
                reply.refused(409, "no_timer");
            }
        }
        for number in 0..INSTANCES {
            self.service.end_instance(number, crate::support::End::Terminated).await;
        }
        let db = self.service.database().await;
        let runs = self.runs.iter().map(|(account, runs)| (*account, runs.as_slice()));
        let (written, missing) = fold::check_ledger(&*db, runs, now(), true).await;
        db.close().await;
        assert_eq!(missing, 0);
        let (recovered, told_anew) = self.resumes;
        println!("{} faults: {:?}", self.struck.values().sum::<u32>(), self.struck);
        println!("done: {:?}", self.world.counts.all());
        println!("{recovered} channels resumed event by event, {told_anew} told anew");
        println!("{written} ms studied, 0 lost, 0 doubled; {:.0} s", self.began.0.elapsed().as_secs_f64());
        println!("{} complaints in the logs", self.service.complaints().len());
    }
}
