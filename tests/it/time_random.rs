//! Random people with two devices each at their timers, by both doors, while the clock leaps and nobody agrees on when.
//!
//! What was accepted is read from the answers and folded by a model; the ledger, its totals and every device's picture
//! must be that fold, whoever settled when.

use std::time::Duration;

use entity::{AccountId, Millis, RunId, run};
use futures_util::future::join_all;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use sea_orm::{ActiveValue::Set, EntityTrait};
use serde_json::{Value, json};
use solgik::timer::settle;

use crate::support::{
    Person, TestApp, WsClient,
    fold::{self, Command, Doing, Told, instant},
    pick, seed,
};

const PEOPLE: usize = 6;
const STEPS: usize = 50;

/// Tokens that outlive every leap of the clock.
const LONG: [(&str, &str); 2] = [("auth.token_ttl_secs", "31536000"), ("auth.session_ttl_secs", "31536000")];

/// Total, work and break.
const PLANS: [(i64, i64, i64); 8] =
    [(0, 25, 5), (60, 25, 5), (0, 0, 0), (90, 0, 0), (0, 50, 0), (7, 3, 1), (1440, 480, 10), (0, 1, 1)];

/// The answer to a command: `run`, or the code of the refusal.
type Answer = Result<Value, String>;

struct Life<'a> {
    app: &'a TestApp,
    me: Person,
    phone: WsClient,
    /// The laptop comes and goes; the phone stays.
    laptop: Option<WsClient>,
    rooms: &'a [i64],
    runs: Vec<Told>,
    commands: u32,
    random: StdRng,
}

impl Life<'_> {
    fn doing(&self, now: i64) -> Doing {
        fold::doing(&self.runs, now)
    }

    fn now(&self) -> i64 {
        self.app.app.clock.now().0
    }

    fn body(&mut self, command: Command) -> Value {
        self.commands += 1;
        let mut body = json!({"cmd": format!("c-{}", self.commands)});
        if command == Command::Start {
            let (total, work, rest) = *pick(&mut self.random, &PLANS);
            (body["total_time"], body["work_time"], body["break_time"]) = (json!(total), json!(work), json!(rest));
        } else if let Some(run) = self.runs.last().filter(|_| self.random.random_bool(0.5)) {
            body["run"] = json!(run.id);
        }
        body
    }

    fn accept(&mut self, command: Command, told: &Value) {
        fold::accept(&mut self.runs, command, told);
    }

    fn allows(&self, command: Command, now: i64) -> bool {
        fold::allows(self.doing(now), command)
    }

    async fn step(&mut self) {
        match self.random.random_range(0..100) {
            0..45 => self.command().await,
            45..55 => self.at_once().await,
            55..62 => self.late().await,
            62..72 => {
                let (room, action) =
                    (*pick(&mut self.random, self.rooms), *pick(&mut self.random, &["enter", "leave"]));
                let reply = self.me.post(&format!("/rooms/{room}/"), json!({"action": action})).await;
                assert!(reply.status.is_success() || reply.status.is_client_error(), "{reply:?}");
            }
            72..80 => match self.laptop.take() {
                Some(laptop) => laptop.abort().await,
                None => self.laptop = Some(connected(&self.me).await),
            },
            80..85 => drop(settle::sweep_once(&self.app.app).await.unwrap()),
            _ => self.leap(),
        }
        // What was said is read, so that nobody is a slow reader.
        self.phone.events_so_far();
        self.laptop.as_mut().map(WsClient::events_so_far);
    }

    /// One command by one door, perhaps twice.
    async fn command(&mut self) {
        let before = self.now();
        let likely = match self.doing(before) {
            Doing::Nothing => [Command::Start, Command::Start, Command::Stop],
            Doing::Going => [Command::Pause, Command::Pause, Command::Stop],
            Doing::Pausing => [Command::Resume, Command::Resume, Command::Stop],
        };
        let all = Command::ALL;
        let odd = self.random.random_bool(0.15);
        let command = if odd { *pick(&mut self.random, &all) } else { *pick(&mut self.random, &likely) };
        let body = self.body(command);
        let (allowed, answer) = (self.allows(command, before), self.ask(command, &body).await);
        let fits = self.allows(command, self.now());
        match answer {
            Ok(run) if allowed || fits => {
                self.accept(command, &run);
                if self.random.random_bool(0.3) {
                    let again = self.ask(command, &body).await.unwrap();
                    assert_eq!(again["id"], run["id"], "sent again");
                }
            }
            // It named the run that had just come to its end.
            Ok(run) => assert!(command != Command::Start && body["run"] == run["id"], "{command:?} {body} {run}"),
            Err(code) => assert!(!allowed || !fits, "{command:?} is {code}: {:?}", self.runs.last()),
        }
    }

    async fn ask(&mut self, command: Command, body: &Value) -> Answer {
        if self.random.random_bool(0.5) {
            by_post(&self.me, command, body).await
        } else {
            by_call(&mut self.phone, command, body).await
        }
    }

    /// Both devices at the same time.
    async fn at_once(&mut self) {
        let all = Command::ALL;
        let (one, other) = (*pick(&mut self.random, &all), *pick(&mut self.random, &all));
        let (mut first, mut second) = (self.body(one), self.body(other));
        for body in [&mut first, &mut second] {
            body.as_object_mut().unwrap().remove("run");
        }
        let before = self.now();
        let (a, b) = tokio::join!(by_post(&self.me, one, &first), by_call(&mut self.phone, other, &second));
        let mut accepted: Vec<_> = [(one, a), (other, b)].into_iter().filter_map(|(c, a)| Some((c, a.ok()?))).collect();
        // If both were accepted, only one order makes sense.
        accepted.sort_by_key(|(command, run)| (run["id"].as_i64(), *command != Command::Start));
        if let [(first, run), (_, next)] = &accepted[..]
            && run["id"] == next["id"]
            && *first != Command::Start
            && !self.allows(*first, before)
        {
            accepted.reverse();
        }
        for (command, run) in accepted {
            self.accept(command, &run);
        }
    }

    /// A command for a run that is long over.
    async fn late(&mut self) {
        let Some((_, old)) = self.runs.split_last().filter(|(_, old)| !old.is_empty()) else { return };
        let run = pick(&mut self.random, old).id;
        let command = *pick(&mut self.random, &[Command::Stop, Command::Stop, Command::Pause, Command::Resume]);
        self.ask(command, &json!({"run": run})).await.unwrap();
    }

    fn leap(&mut self) {
        let millis = match self.random.random_range(0..10) {
            0..3 => self.random.random_range(1..90_000),
            3..7 => self.random.random_range(60_000..40 * 60_000),
            7..9 => self.random.random_range(3_600_000..10 * 3_600_000),
            _ => self.random.random_range(10 * 3_600_000..50 * 3_600_000),
        };
        self.app.app.clock.advance(Duration::from_millis(millis));
    }

    /// Both devices, and REST, tell of the run that the model has.
    async fn check_picture(&mut self) {
        if let Some(laptop) = self.laptop.take() {
            laptop.abort().await;
        }
        let pictures = [self.phone_picture().await, laptop_picture(&self.me).await];
        for told in pictures {
            let run = &told["run"];
            let at = instant(&told["server_time"]).unwrap();
            let doing = self.doing(at);
            let state = run["state"].as_str().unwrap_or("idle");
            assert_eq!(doing == Doing::Nothing, run.is_null(), "{run} {:?}", self.runs.last());
            if doing != Doing::Nothing {
                let model = self.runs.last().unwrap();
                let (_, place) = model.walk(at);
                let expected = match doing {
                    Doing::Pausing => "paused",
                    _ if place.is_work => "studying",
                    _ => "break",
                };
                assert_eq!((state, &run["id"]), (expected, &json!(model.id)));
                assert_eq!(
                    (&run["index"], &run["elapsed_ms"]),
                    (&json!(place.phase), &json!(place.elapsed)),
                    "{model:?}"
                );
            }
        }
    }

    async fn phone_picture(&mut self) -> Value {
        let again = connected(&self.me).await;
        std::mem::replace(&mut self.phone, again).abort().await;
        laptop_picture(&self.me).await
    }
}

/// What a device is told on connecting, with the instant for which it is right.
async fn laptop_picture(me: &Person) -> Value {
    let mut laptop = me.connect().await;
    let hello = laptop.hello().await;
    laptop.abort().await;
    let at = if hello["run"].is_null() { &hello["server_time"] } else { &hello["run"]["server_time"] };
    json!({"run": hello["run"], "server_time": at})
}

async fn connected(me: &Person) -> WsClient {
    let mut socket = me.connect().await;
    socket.hello().await;
    socket
}

async fn by_post(me: &Person, command: Command, body: &Value) -> Answer {
    let reply = me.post(command.path(), body.clone()).await;
    if reply.status.is_success() {
        return Ok(reply.ok()["run"].clone());
    }
    assert_eq!(reply.status, 409, "{reply:?}");
    Err(reply["code"].to_string())
}

async fn by_call(phone: &mut WsClient, command: Command, body: &Value) -> Answer {
    let answer = phone.call(command.op(), body.clone()).await;
    answer.map(|ok| ok["run"].clone()).map_err(|err| {
        assert_ne!(err["code"], "internal", "{err}");
        err["code"].to_string()
    })
}

#[tokio::test]
async fn the_ledger_is_the_fold_of_what_was_accepted() {
    let mut random = StdRng::seed_from_u64(seed());
    let app = TestApp::with(&LONG).await;
    let mut people = Vec::new();
    for number in 0..PEOPLE {
        people.push(app.person(&format!("수미{number}")).await);
    }
    // Rooms stay: somebody who does nothing else sits in them.
    let mut rooms = Vec::new();
    for _ in 0..2 {
        rooms.push(app.person("주인").await.make_room().await);
    }
    let mut lives = Vec::new();
    for me in people {
        let (phone, laptop) = (connected(&me).await, Some(connected(&me).await));
        let random = StdRng::seed_from_u64(random.random());
        lives.push(Life { app: &app, me, phone, laptop, rooms: &rooms, runs: Vec::new(), commands: 0, random });
    }
    join_all(lives.iter_mut().map(async |life| {
        for _ in 0..STEPS {
            life.step().await;
        }
    }))
    .await;

    for life in &mut lives {
        life.check_picture().await;
        if life.doing(life.now()) != Doing::Nothing {
            let second = run::ActiveModel {
                account_id: Set(AccountId(life.me.id)),
                total_time: Set(0),
                work_time: Set(0),
                break_time: Set(0),
                started_at: Set(Millis(life.now())),
                settled_to: Set(Millis(life.now())),
                seen_at: Set(Millis(life.now())),
                ..Default::default()
            };
            let refused = run::Entity::insert(second).exec_without_returning(&*app.app.db).await;
            assert!(refused.is_err(), "a second open run");
            if let Ok(run) = by_post(&life.me, Command::Stop, &json!({})).await {
                life.accept(Command::Stop, &run);
            }
        }
    }
    while settle::sweep_once(&app.app).await.unwrap() > 0 {}
    let (now, stored) = (app.app.clock.now().0, fold::runs(&*app.app.db).await);
    let ledger = fold::ledger(&*app.app.db).await;
    let none = Vec::new();
    for life in &lives {
        let of_mine = stored.get(&life.me.id).unwrap_or(&none);
        let told: Vec<_> = of_mine.iter().map(|run| (run.id, run.pauses.clone(), run.stopped_at)).collect();
        let expected: Vec<_> =
            life.runs.iter().map(|run| (run.id, run.pauses.clone(), Some(run.ended_at(now).unwrap()))).collect();
        assert_eq!(told, expected, "runs of {}", life.me.first_name);
        let expected: Vec<_> = life.runs.iter().flat_map(|run| run.walk(now).0).collect();
        let written = ledger.get(&life.me.id).cloned().unwrap_or_default();
        assert_eq!(fold::joined(written), expected, "the ledger of {}", life.me.first_name);
    }
    fold::check_totals(&*app.app.db).await;
    let runs: usize = lives.iter().map(|life| life.runs.len()).sum();
    println!("{runs} runs, {} lines", ledger.values().map(Vec::len).sum::<usize>());
    drop(lives);
    app.stop().await;
}

#[tokio::test]
async fn two_devices_of_which_one_was_away_end_with_the_same_picture() {
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    let (mut phone, laptop) = (connected(&sumi).await, connected(&sumi).await);
    let run = phone.call("timer.start", json!({"total_time": 0, "work_time": 25, "break_time": 5})).await.unwrap();
    app.app.clock.advance(Duration::from_secs(27 * 60));
    laptop.abort().await;
    phone.call("timer.pause", json!({"run": run["run"]["id"], "cmd": "p"})).await.unwrap();
    app.app.clock.advance(Duration::from_secs(3 * 3600));
    let pictures = async |state: &str| {
        let mut told = sumi.get("/accounts/timer/").await.ok()["run"].clone();
        let mut laptop = sumi.connect().await;
        let hello = laptop.hello().await;
        let mut other = sumi.connect().await.hello().await["run"].clone();
        let mut mine = hello["run"].clone();
        assert_eq!((&mine["state"], &told["state"]), (&json!(state), &json!(state)));
        for picture in [&mut told, &mut mine, &mut other] {
            // A picture is anchored in what doesn't depend on when it is asked for.
            for moving in ["server_time", "elapsed_ms"] {
                picture.as_object_mut().unwrap().remove(moving);
            }
        }
        assert_eq!(mine, other);
        for instant_of in ["started_at", "paused_at", "ends_at", "completes_at"] {
            assert_eq!(instant(&mine[instant_of]), instant(&told[instant_of]), "{instant_of}");
        }
        laptop
    };
    let mut laptop = pictures("paused").await;
    // Whoever was away goes on from there, and the other one hears of it.
    laptop.call("timer.resume", json!({"run": run["run"]["id"]})).await.unwrap();
    let resumed = phone.expect("timer.resumed").await;
    assert_eq!(resumed["d"]["run"]["index"], 1);
    pictures("break").await;
    app.app.clock.advance(Duration::from_secs(3 * 60 + 1));
    pictures("studying").await;
    app.stop().await;
}

#[tokio::test]
async fn a_command_sent_again_after_others_changes_nothing() {
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    let send = async |command: Command, cmd: &str| {
        let body = json!({"total_time": 0, "work_time": 25, "break_time": 5, "cmd": cmd});
        by_post(&sumi, command, &body).await.unwrap()
    };
    let first = send(Command::Start, "a").await["id"].clone();
    send(Command::Pause, "b").await;
    send(Command::Resume, "c").await;
    assert_eq!(send(Command::Pause, "b").await["state"], "studying", "it was paused once");
    send(Command::Stop, "d").await;
    let again = send(Command::Start, "a").await;
    assert_eq!((&again["id"], &again["state"]), (&first, &json!("idle")));
    let second = send(Command::Start, "e").await["id"].clone();
    for (command, cmd) in [(Command::Start, "a"), (Command::Pause, "b"), (Command::Stop, "d")] {
        assert_eq!(send(command, cmd).await["id"], second);
    }
    assert_eq!(sumi.get("/accounts/timer/").await.ok()["user_state"], 2);
    app.stop().await;
}

#[tokio::test]
async fn a_clock_that_is_behind_turns_no_time_back() {
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    let start = json!({"total_time": 0, "work_time": 25, "break_time": 5});
    let run = by_post(&sumi, Command::Start, &start).await.unwrap();
    // Another instance, whose clock is ahead, paused it.
    let ahead = Millis(app.app.clock.now().0 + 90_000);
    let row = run::ActiveModel {
        id: Set(RunId(run["id"].as_i64().unwrap())),
        paused_at: Set(Some(ahead)),
        settled_to: Set(ahead),
        due_at: Set(None),
        ..Default::default()
    };
    run::Entity::update(row).exec(&*app.app.db).await.unwrap();
    for command in [Command::Resume, Command::Pause, Command::Resume, Command::Stop] {
        by_post(&sumi, command, &json!({})).await.unwrap();
    }
    by_post(&sumi, Command::Start, &start).await.unwrap();
    app.app.clock.advance(Duration::from_secs(600));
    by_post(&sumi, Command::Stop, &json!({})).await.unwrap();
    let runs = fold::runs(&*app.app.db).await.remove(&sumi.id).unwrap();
    assert_eq!((runs[0].stopped_at, runs[1].started_at), (Some(ahead.0), ahead.0), "one after the other");
    assert!(runs[0].pauses.iter().all(|(from, to)| from <= to), "{runs:?}");
    fold::check_totals(&*app.app.db).await;
    app.stop().await;
}
