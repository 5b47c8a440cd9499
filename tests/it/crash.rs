//! The real binary, stopped in the middle of traffic, gently and not, and started again on the same data.
//!
//! What was answered is there afterwards, seen from everybody's side; what was under way is there or not, and nothing in
//! between; and whoever returns knows what a newcomer is told.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::support::{Device, Door, End, Gone, Person, Scratch, Server, TestApp, pick, seed};

const PEOPLE: usize = 6;

/// Those who made the rooms stay there, so that no room closes.
const KEEPERS: usize = 2;

/// Pairs of people who befriend each other and part, again and again.
const PAIRS: [(usize, usize); 6] = [(0, 1), (0, 2), (1, 3), (2, 3), (2, 4), (4, 5)];

/// How long returning clients may take to agree with newcomers.
const LIMIT: Duration = Duration::from_secs(20);

/// What two people are to each other, the first of the pair named first.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Relation {
    Strangers,
    FirstAsks,
    SecondAsks,
    Friends,
}

/// What was answered last, and what was asked and not answered when the process ended.
#[derive(Clone, Debug)]
struct Known<T> {
    sure: T,
    asked: Option<T>,
}

impl<T: Clone + PartialEq + std::fmt::Debug> Known<T> {
    fn new(sure: T) -> Self {
        Self { sure, asked: None }
    }

    /// Accepts what is found if it is one of the two.
    #[track_caller]
    fn settle(&mut self, found: T, whose: &str) {
        assert!(found == self.sure || Some(&found) == self.asked.as_ref(), "{whose}: {self:?}, found {found:?}");
        *self = Self::new(found);
    }
}

/// What all acts of a life share.
struct Life {
    base: String,
    ids: Vec<i64>,
    tokens: Vec<String>,
    rooms: Vec<i64>,
    answers: watch::Sender<u64>,
}

impl Life {
    fn door(&self, who: usize) -> Door {
        Door::new(self.base.clone()).with_token(&self.tokens[who])
    }

    /// Whether the request was carried out; `false` if nobody answered.
    async fn done(&self, who: usize, method: Method, path: &str, body: Value) -> bool {
        let request = self.door(who).request(method, path).json(&body);
        let Ok(response) = request.send().await else { return false };
        let status = response.status();
        let Ok(body) = response.text().await else { return false };
        assert!(status.is_success(), "{path}: {status} {body}");
        self.answers.send_modify(|answers| *answers += 1);
        true
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_outlives_the_process() {
    let seed = seed();
    let mut random = StdRng::seed_from_u64(seed);
    let data = tempfile::tempdir().unwrap();
    let database = Scratch::create().await;
    let mut server = Server::start(data.path(), database.as_ref()).await;

    let door = Door::new(server.base.clone());
    let mut people = Vec::new();
    for number in 0..PEOPLE {
        people.push(Person::sign_up(&door, &format!("수미{number}"), u32::try_from(number).unwrap()).await);
    }
    let mut rooms = Vec::new();
    for keeper in &people[..KEEPERS] {
        rooms.push(keeper.post("/rooms/", json!({"name": "방"})).await.ok()["id"].as_i64().unwrap());
    }
    let tokens: Vec<_> = people.iter().map(|person| person.token.clone()).collect();
    // Two devices each: one acts, the other one looks on.
    let mut devices: Vec<Vec<_>> =
        tokens.iter().map(|token| vec![Device::new(token.clone()), Device::new(token.clone())]).collect();
    let mut seats: Vec<_> = (0..PEOPLE).map(|who| Known::new((who < KEEPERS).then(|| rooms[who]))).collect();
    let mut relations: Vec<_> = PAIRS.iter().map(|_| Known::new(Relation::Strangers)).collect();
    let mut cheers = 0;

    for end in [End::Killed, End::Terminated, End::Killed, End::Killed, End::Terminated] {
        let life = Arc::new(Life {
            base: server.base.clone(),
            ids: people.iter().map(|person| person.id).collect(),
            tokens: tokens.clone(),
            rooms: rooms.clone(),
            answers: watch::Sender::new(0),
        });
        for device in devices.iter_mut().flatten().filter(|device| !device.is_connected()) {
            device.connect(&life.base).await.unwrap();
        }
        let mut acting = JoinSet::new();
        let mut looking = JoinSet::new();
        let mut befriending = JoinSet::new();
        for (who, mut of_one) in devices.drain(..).enumerate() {
            let random = StdRng::seed_from_u64(random.random());
            let (mut onlooker, actor) = (of_one.pop().unwrap(), of_one.pop().unwrap());
            let (life, seat) = (Arc::clone(&life), seats[who].sure);
            looking.spawn(async move {
                let gone = onlooker.listen_to_the_end().await;
                (who, onlooker, gone)
            });
            cheers += 1_000_000;
            acting.spawn(act(life, who, seat, actor, random, cheers));
        }
        for (number, relation) in relations.iter().enumerate() {
            let random = StdRng::seed_from_u64(random.random());
            befriending.spawn(befriend(Arc::clone(&life), number, relation.sure, random));
        }
        let enough = random.random_range(5..150);
        let mut answers = life.answers.subscribe();
        timeout(LIMIT, answers.wait_for(|answers| *answers >= enough)).await.expect("nobody acts").unwrap();
        println!("{end:?} after {enough} answers");
        let status = server.end(end).await;
        assert!(end == End::Killed || status.success(), "{status}");

        devices = (0..PEOPLE).map(|_| Vec::new()).collect();
        for (who, seat, device, gone) in acting.join_all().await {
            check_goodbye(end, &gone);
            seats[who] = seat;
            devices[who].push(device);
        }
        for (who, device, gone) in looking.join_all().await {
            check_goodbye(end, &gone);
            devices[who].push(device);
        }
        for (number, relation) in befriending.join_all().await {
            relations[number] = relation;
        }

        server = Server::start(data.path(), database.as_ref()).await;
        let doors: Vec<_> = tokens.iter().map(|token| Door::new(server.base.clone()).with_token(token)).collect();
        check_rooms(&doors, &life, &mut seats).await;
        check_relations(&doors, &life.ids, &mut relations).await;
        for device in devices.iter_mut().flatten() {
            device.connect(&server.base).await.unwrap();
        }
        for device in devices.iter_mut().flatten() {
            check_picture(device, &server.base).await;
        }
    }
    assert!(server.end(End::Terminated).await.success());
}

#[tokio::test]
async fn whoever_has_not_signed_in_yet_is_sent_away_too() {
    let app = TestApp::start().await;
    let mut socket = app.open("/ws", &[("sec-websocket-protocol", "solgik.v1")]).await.unwrap();
    app.begin_stop();
    let (code, bye) = socket.expect_close().await;
    assert_eq!((code, &bye["code"]), (4001, &json!(4001)));
    assert!(bye["reconnect_ms"].is_u64(), "{bye}");
    app.stop().await;
}

/// Moves about and says things, by both doors, until the process ends.
async fn act(
    life: Arc<Life>,
    who: usize,
    seat: Option<i64>,
    mut device: Device,
    mut random: StdRng,
    mut cheers: u64,
) -> (usize, Known<Option<i64>>, Device, Gone) {
    let mut seat = Known::new(seat);
    loop {
        if who < KEEPERS || random.random_bool(0.3) {
            cheers += 1;
            match device.call("room.cheer", json!({"text": format!("힘내요 {cheers}")})).await {
                Ok(Ok(_)) => {}
                // Entered by REST a moment ago: this device may not have followed yet.
                Ok(Err(err)) => assert_eq!(err["code"], "not_a_member"),
                Err(gone) => return (who, seat, device, gone),
            }
        } else {
            let target = seat.sure.is_none().then(|| *pick(&mut random, &life.rooms));
            seat.asked = Some(target);
            let done = if random.random_bool(0.5) {
                let asked = match target {
                    Some(room) => device.call("room.enter", json!({"room": room})).await,
                    None => device.call("room.leave", json!({})).await,
                };
                match asked {
                    Ok(answer) => answer.map(|_| ()).unwrap(),
                    Err(gone) => return (who, seat, device, gone),
                }
                life.answers.send_modify(|answers| *answers += 1);
                true
            } else {
                let path = format!("/rooms/{}/", target.or(seat.sure).unwrap());
                let action = if target.is_some() { "enter" } else { "leave" };
                life.done(who, Method::POST, &path, json!({"action": action})).await
            };
            if !done {
                let gone = device.listen_to_the_end().await;
                return (who, seat, device, gone);
            }
            seat = Known::new(target);
        }
        if let Err(gone) = device.listen(Duration::from_millis(random.random_range(1..10))).await {
            return (who, seat, device, gone);
        }
    }
}

/// Lets a pair ask, answer and part until the process ends.
async fn befriend(life: Arc<Life>, number: usize, was: Relation, mut random: StdRng) -> (usize, Known<Relation>) {
    use Relation::{FirstAsks, Friends, SecondAsks, Strangers};
    let (first, second) = PAIRS[number];
    let mut relation = Known::new(was);
    loop {
        let (from, to) = if random.random_bool(0.5) { (first, second) } else { (second, first) };
        let asks = if from == first { FirstAsks } else { SecondAsks };
        let waits = if from == first { SecondAsks } else { FirstAsks };
        let (method, path, next) = match relation.sure {
            Strangers => (Method::POST, "", asks),
            Friends => (Method::DELETE, "", Strangers),
            mine if mine == asks => (Method::POST, "", Strangers),
            _ if random.random_bool(0.3) => (Method::POST, "reject/", Strangers),
            _ if random.random_bool(0.3) => (Method::POST, "", Friends),
            theirs => {
                assert_eq!(theirs, waits);
                (Method::POST, "accept/", Friends)
            }
        };
        relation.asked = Some(next);
        let path = format!("/accounts/friend/{}/{path}", life.ids[to]);
        if !life.done(from, method, &path, json!({})).await {
            return (number, relation);
        }
        relation = Known::new(next);
    }
}

#[track_caller]
fn check_goodbye(end: End, gone: &Gone) {
    if end == End::Terminated {
        assert_eq!((gone.code, &gone.bye["code"]), (Some(4001), &json!(4001)), "{gone:?}");
        assert!(gone.bye["reconnect_ms"].is_u64(), "{gone:?}");
    }
}

async fn check_rooms(doors: &[Door], life: &Life, seats: &mut [Known<Option<i64>>]) {
    let mut members: BTreeMap<i64, Vec<i64>> = life.rooms.iter().map(|room| (*room, Vec::new())).collect();
    for (who, door) in doors.iter().enumerate() {
        let found = door.get("/rooms/check/").await.ok()["id"].as_i64();
        seats[who].settle(found, &format!("the seat of {who}"));
        if let Some(room) = found {
            members.get_mut(&room).unwrap().push(life.ids[who]);
        }
    }
    for (room, expected) in members {
        let told = doors[0].get(&format!("/rooms/{room}/")).await.ok();
        assert_eq!(ids(&told["members"], |member| member), expected, "room {room}");
    }
}

async fn check_relations(doors: &[Door], people: &[i64], relations: &mut [Known<Relation>]) {
    let (mut friends, mut received, mut sent) = (Vec::new(), Vec::new(), Vec::new());
    for door in doors {
        friends.push(ids(&door.get("/accounts/friend/").await.ok()["friends"], |friend| friend));
        received.push(ids(&door.get("/accounts/friend/request/receive/").await.ok(), |row| &row["sender"]));
        sent.push(ids(&door.get("/accounts/friend/request/send/").await.ok(), |row| &row["receiver"]));
    }
    let mut known = 0;
    for (number, (first, second)) in PAIRS.into_iter().enumerate() {
        let says = |lists: &[Vec<i64>], of: usize, about: usize| lists[of].contains(&people[about]);
        let both = |lists: &[Vec<i64>], others: &[Vec<i64>], from: usize, to: usize| {
            let found = says(lists, from, to);
            assert_eq!(found, says(others, to, from), "{from} and {to} are told differently");
            found
        };
        let found = match (
            both(&friends, &friends, first, second),
            both(&sent, &received, first, second),
            both(&sent, &received, second, first),
        ) {
            (false, false, false) => Relation::Strangers,
            (false, true, false) => Relation::FirstAsks,
            (false, false, true) => Relation::SecondAsks,
            (true, false, false) => Relation::Friends,
            both => panic!("{first} and {second}: {both:?}"),
        };
        relations[number].settle(found, &format!("{first} and {second}"));
        known += match found {
            Relation::Strangers => 0,
            Relation::FirstAsks | Relation::SecondAsks | Relation::Friends => 2,
        };
    }
    let told = friends.iter().chain(&received).chain(&sent).map(Vec::len).sum::<usize>();
    assert_eq!(told, known, "somebody is told of others than the pairs");
}

/// The ids in a list, in ascending order.
fn ids(rows: &Value, person: impl Fn(&Value) -> &Value) -> Vec<i64> {
    let rows = rows.as_array().unwrap_or_else(|| panic!("not a list: {rows}"));
    let mut ids: Vec<_> = rows.iter().map(|row| person(row)["id"].as_i64().unwrap()).collect();
    ids.sort_unstable();
    ids
}

/// Whoever returned knows what a newcomer is told at the same place.
async fn check_picture(device: &mut Device, base: &str) {
    let until = Instant::now() + LIMIT;
    loop {
        let mut fresh = Device::new(device.token.clone());
        fresh.connect(base).await.unwrap();
        device.settle().await.unwrap();
        let (known, told) = (device.picture.as_ref().unwrap(), fresh.picture.as_ref().unwrap());
        if known.since() == told.since() {
            assert_eq!(known.known(), told.known());
            return;
        }
        assert!(Instant::now() < until, "behind: {known:?} {told:?}");
    }
}
