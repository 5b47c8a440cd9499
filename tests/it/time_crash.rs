//! The real binary with two hundred timers, killed in the middle of their commands and started again on the same data.
//!
//! Every command that was answered is there, the one that was not is there or not; no second is lost and none counted
//! twice; and whoever returns is in the phase that arithmetic gives.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use entity::{Millis, account, run};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use reqwest::Method;
use sea_orm::{ActiveValue::Set, EntityTrait, QueryOrder};
use serde_json::{Value, json};
use solgik::{
    config::{Config, Flags},
    db::Db,
};
use tokio::{sync::watch, task::JoinSet, time::timeout};

use crate::support::{
    Door, End, Scratch, Server,
    fold::{self, Command, Doing, Told, instant},
    pick, seed, seed_people,
};

const PEOPLE: usize = 200;

/// Those who send commands all the time. The others' timers go on by themselves, phase by phase.
const BUSY: usize = 100;

const ROUNDS: usize = 4;

/// Those who also return by socket.
const SOCKETS: usize = 20;

const LIMIT: Duration = Duration::from_secs(30);

/// The shortest that there are: total, work and break.
const PLANS: [(i32, i32, i32); 4] = [(0, 1, 1), (2, 1, 1), (1, 0, 0), (0, 1, 0)];

/// What is known of one person's timers, and the command that was not answered when the process ended.
#[derive(Clone, Debug)]
struct Known {
    token: String,
    account: i64,
    runs: Vec<Told>,
    asked: Option<(Command, i64)>,
}

fn now() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64
}

async fn open(data: &Path, database: Option<&Scratch>) -> Db {
    let mut environment = vec![("SOLGIK__DATA_DIR".to_owned(), data.to_str().unwrap().to_owned())];
    environment.extend(database.map(|database| ("SOLGIK__DATABASE__URL".to_owned(), database.url())));
    Db::open(&Config::load(&Flags::default(), environment).unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_timers_lose_nothing_and_double_nothing() {
    let mut random = StdRng::seed_from_u64(seed());
    let data = tempfile::tempdir().unwrap();
    let database = Scratch::create().await;
    let tokens = seed_people(data.path(), database.as_ref(), PEOPLE, 8);
    let db = open(data.path(), database.as_ref()).await;
    begin_long_ago(&db, &mut random).await;
    let accounts = account::Entity::find().order_by_asc(account::Column::Id).all(&*db).await.unwrap();
    let mut runs = fold::runs(&*db).await;
    let mut known: Vec<_> = accounts
        .iter()
        .zip(tokens)
        .map(|(row, token)| {
            let runs = runs.remove(&row.id.0).unwrap_or_default();
            Known { token, account: row.id.0, runs, asked: None }
        })
        .collect();
    db.close().await;

    for round in 0..ROUNDS {
        let server = Server::start(data.path(), database.as_ref()).await;
        let door = Door::new(server.base.clone());
        check_phases(&door, &known).await;
        let answers = watch::Sender::new(0_usize);
        let mut acting = JoinSet::new();
        for (who, known) in known.drain(..).enumerate() {
            let random = StdRng::seed_from_u64(random.random());
            acting.spawn(act(door.clone(), who, known, random, answers.clone()));
        }
        let enough = random.random_range(40..250);
        let mut enough_said = answers.subscribe();
        timeout(LIMIT, enough_said.wait_for(|answers| *answers >= enough)).await.expect("nobody acts").unwrap();
        server.end(End::Killed).await;
        let mut acted = acting.join_all().await;
        acted.sort_by_key(|(who, _)| *who);
        known = acted.into_iter().map(|(_, known)| known).collect();

        let db = open(data.path(), database.as_ref()).await;
        let unanswered = known.iter().filter(|known| known.asked.is_some()).count();
        let mut stored = fold::runs(&*db).await;
        let carried_out: usize = known
            .iter_mut()
            .map(|known| usize::from(known.settle(stored.remove(&known.account).unwrap_or_default())))
            .sum();
        println!("round {round}: killed after {enough} answers, {carried_out} of {unanswered} unanswered carried out");
        check_ledger(&db, &known, false).await;
        db.close().await;
    }

    let server = Server::start(data.path(), database.as_ref()).await;
    let door = Door::new(server.base.clone());
    check_phases(&door, &known).await;
    for known in &mut known {
        let reply = door.with_token(&known.token).post(Command::Stop.path(), json!({})).await;
        if reply.status.is_success() {
            fold::accept(&mut known.runs, Command::Stop, &reply.ok()["run"]);
        } else {
            reply.refused(409, "no_timer");
        }
    }
    assert!(server.end(End::Terminated).await.success());
    let db = open(data.path(), database.as_ref()).await;
    check_ledger(&db, &known, true).await;
    db.close().await;
}

/// Lets those who aren't busy have timers whose phases end in the seconds to come.
async fn begin_long_ago(db: &Db, random: &mut StdRng) {
    let accounts = account::Entity::find().order_by_asc(account::Column::Id).all(&**db).await.unwrap();
    let rows = accounts[BUSY..].iter().map(|account| {
        let (total, work, rest) = *pick(random, &PLANS);
        let started_at = Millis(now() - 60_000 + random.random_range(500..12_000));
        run::ActiveModel {
            account_id: Set(account.id),
            total_time: Set(total),
            work_time: Set(work),
            break_time: Set(rest),
            started_at: Set(started_at),
            settled_to: Set(started_at),
            due_at: Set(Some(Millis(started_at.0 + 60_000))),
            seen_at: Set(Millis(now())),
            ..Default::default()
        }
    });
    let tx = db.begin().await.unwrap();
    run::Entity::insert_many(rows).exec_without_returning(&*tx).await.unwrap();
    tx.commit().await.unwrap();
}

/// Sends commands until nobody answers.
async fn act(
    door: Door,
    who: usize,
    mut known: Known,
    mut random: StdRng,
    answers: watch::Sender<usize>,
) -> (usize, Known) {
    let door = door.with_token(&known.token);
    if who >= BUSY && random.random_bool(0.8) {
        return (who, known);
    }
    loop {
        let command = match (fold::doing(&known.runs, now()), random.random_bool(0.7)) {
            (Doing::Nothing, _) => Command::Start,
            (Doing::Going, true) => Command::Pause,
            (Doing::Pausing, true) => Command::Resume,
            _ if who >= BUSY => Command::Pause,
            _ => Command::Stop,
        };
        let (total, work, rest) = *pick(&mut random, &PLANS);
        let body = json!({"total_time": total, "work_time": work, "break_time": rest});
        known.asked = Some((command, now()));
        let Ok(response) = door.request(Method::POST, command.path()).json(&body).send().await else {
            return (who, known);
        };
        let status = response.status();
        let Ok(answer) = response.json::<Value>().await else { return (who, known) };
        known.asked = None;
        if status.is_success() {
            fold::accept(&mut known.runs, command, &answer["data"]["run"]);
        } else {
            assert_eq!(status, 409, "{answer}");
        }
        answers.send_modify(|answers| *answers += 1);
    }
}

impl Known {
    /// Accepts what is stored if it is what was answered, or that and what was not answered; says whether the latter.
    fn settle(&mut self, stored: Vec<Told>) -> bool {
        let asked = self.asked.take();
        if fold::agree(&self.runs, &stored, now()) {
            return false;
        }
        let (command, at) = asked.unwrap_or_else(|| panic!("known {:#?}, stored {stored:#?}", self.runs));
        let mut runs = self.runs.clone();
        let found = stored.last().unwrap();
        let carried_out_at = match command {
            Command::Start => {
                runs.push(Told { paused_at: None, stopped_at: None, pauses: Vec::new(), ..found.clone() });
                Some(found.started_at)
            }
            Command::Pause => {
                runs.last_mut().unwrap().paused_at = found.paused_at;
                found.paused_at
            }
            Command::Resume => {
                let run = runs.last_mut().unwrap();
                let to = found.pauses.last().map(|(_, to)| *to);
                run.pauses.extend(run.paused_at.take().zip(to));
                to
            }
            Command::Stop => {
                runs.last_mut().unwrap().stopped_at = found.stopped_at;
                found.stopped_at
            }
        };
        assert!(fold::agree(&runs, &stored, now()), "known {:#?}, then {command:?}, stored {stored:#?}", self.runs);
        assert!(carried_out_at.is_some_and(|then| (at..=now()).contains(&then)), "{command:?} at {carried_out_at:?}");
        self.runs = runs;
        true
    }
}

async fn check_ledger(db: &Db, known: &[Known], all: bool) {
    let runs = known.iter().map(|known| (known.account, known.runs.as_slice()));
    let (written, missing) = fold::check_ledger(&**db, runs, now(), all).await;
    println!("{written} ms are written, {missing} ms are to come");
}

/// Everybody is told the phase and the time that follow from what is known.
async fn check_phases(door: &Door, known: &[Known]) {
    for (who, known) in known.iter().enumerate() {
        let door = door.with_token(&known.token);
        let told = door.get("/accounts/timer/").await.ok();
        fold::check_phase(&known.runs, &told["run"], instant(&told["time"]).unwrap());
        if who % (PEOPLE / SOCKETS) == 0 {
            let mut socket = door.connect().await;
            let hello = socket.hello().await;
            fold::check_phase(&known.runs, &hello["run"], instant(&hello["server_time"]).unwrap());
            socket.abort().await;
        }
    }
}
