//! Many people with several devices each do whatever comes to their minds, all at once. In the end everybody's picture,
//! made of events, is what a newcomer is told; and on the way no event was missing, came twice or did not fit.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use entity::outbox;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter};
use serde_json::{Value, json};
use solgik::{clock::Clock, realtime::Channel};
use tokio::{task::JoinSet, time::Instant};

use crate::support::{Device, Gone, PASSWORD, Person, Reply, TestApp, pick, seed};

const PEOPLE: usize = 12;
const MOST_DEVICES: usize = 3;
const ROOMS: usize = 5;
const STEPS: usize = 30;

/// Sessions of a device, one after the other. They begin before time flies: a token is not good before its machine's
/// clock says so.
const SESSIONS: usize = 3;

/// How long it may take until everybody has heard everything.
const LIMIT: Duration = Duration::from_secs(20);

/// What refuses an operation that comes at the wrong moment; anything else is a mistake.
const FINE: &[&str] = &[
    "already_friends",
    "already_in_room",
    "not_a_member",
    "not_friends",
    "request_not_found",
    "request_to_oneself",
    "room_not_found",
];

/// Where everybody acts.
struct World {
    people: Vec<Person>,
    rooms: Mutex<Vec<i64>>,
    cheers: AtomicU64,
    /// Where losses are told, time flies: a grace ends while others act.
    clock: Option<Clock>,
}

impl World {
    fn room(&self, random: &mut StdRng) -> i64 {
        *pick(random, &self.rooms.lock().unwrap())
    }

    fn add_room(&self, room: i64) {
        let mut rooms = self.rooms.lock().unwrap();
        rooms.push(room);
        if rooms.len() > ROOMS {
            rooms.remove(0);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_knows_the_same_where_losses_are_silent() {
    run(&[("presence.grace_secs", "15")], false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_knows_the_same_where_losses_are_told() {
    run(&[("presence.grace_secs", "1")], true).await;
}

async fn run(settings: &[(&str, &str)], time_flies: bool) {
    let seed = seed();
    let mut random = StdRng::seed_from_u64(seed);
    let app = TestApp::with(settings).await;
    let mut people = Vec::new();
    for number in 0..PEOPLE {
        people.push(app.person(&format!("수미{number}")).await);
    }
    let clock = time_flies.then(|| app.app.clock.clone());
    let world = Arc::new(World { people, rooms: Mutex::default(), cheers: AtomicU64::new(0), clock });
    for owner in &world.people[..ROOMS] {
        let room = owner.post("/rooms/", json!({"name": "방"})).await.ok();
        world.add_room(room["id"].as_i64().unwrap());
    }
    let mut newborn = Vec::new();
    for owner in 0..PEOPLE {
        for _ in 0..random.random_range(1..=MOST_DEVICES) {
            let mut tokens = Vec::new();
            for _ in 0..SESSIONS {
                tokens.push(sign_in(&world.people[owner]).await);
            }
            newborn.push((owner, tokens, StdRng::seed_from_u64(random.random())));
        }
    }
    let mut lives = JoinSet::new();
    for (owner, tokens, random) in newborn {
        lives.spawn(live(Arc::clone(&world), owner, tokens, random));
    }
    let mut devices = lives.join_all().await;
    for (owner, device) in &mut devices {
        if !device.is_connected() {
            device.connect(&world.people[*owner].base).await.unwrap();
        }
    }
    wait_until_quiet(&app, &mut devices).await;
    for (owner, device) in &devices {
        let mut fresh = Device::new(device.token.clone());
        fresh.connect(&app.base).await.unwrap();
        let (known, told) = (device.picture.as_ref().unwrap().known(), fresh.picture.as_ref().unwrap().known());
        assert_eq!(known, told, "{}", world.people[*owner].first_name);
    }
    drop(devices);
    app.stop().await;
}

/// Everything is said, and everybody has heard it.
async fn wait_until_quiet(app: &TestApp, devices: &mut [(usize, Device)]) {
    let until = Instant::now() + LIMIT;
    loop {
        let mut behind = Vec::new();
        for (_, device) in &mut *devices {
            device.settle().await.unwrap();
        }
        for (_, device) in &*devices {
            for (channel, epoch, off) in device.picture.as_ref().unwrap().places() {
                let place = app.app.hub.standing(channel.parse::<Channel>().unwrap()).await.unwrap().place;
                if (epoch, off) != (&*place.epoch, place.off) {
                    behind.push(format!("{channel} at {off} of {}: {:?}", place.off, device.picture));
                }
            }
        }
        let events = outbox::Entity::find().filter(outbox::Column::Channel.is_not_null());
        let unsaid = events.count(&*app.app.db).await.unwrap();
        if behind.is_empty() && unsaid == 0 {
            return;
        }
        assert!(Instant::now() < until, "{unsaid} events are unsaid, and behind are {behind:#?}");
    }
}

/// One device's life.
async fn live(world: Arc<World>, owner: usize, mut tokens: Vec<String>, mut random: StdRng) -> (usize, Device) {
    let mut device = Device::new(tokens.pop().unwrap());
    for _ in 0..STEPS {
        step(&world, &world.people[owner], &mut device, &mut tokens, &mut random).await;
    }
    (owner, device)
}

async fn sign_in(me: &Person) -> String {
    let answer = me.post("/rest-auth/login/", json!({"email": me.email, "password": PASSWORD})).await.bare(200);
    answer["token"].as_str().unwrap().to_owned()
}

async fn step(world: &World, me: &Person, device: &mut Device, tokens: &mut Vec<String>, random: &mut StdRng) {
    if let Some(clock) = world.clock.as_ref().filter(|_| random.random_bool(0.05)) {
        clock.advance(Duration::from_millis(700));
    }
    if !device.is_connected() {
        if random.random_bool(0.5) {
            // Away for a while, and busy elsewhere.
            let room = world.room(random);
            return by_post(me, &format!("/rooms/{room}/"), json!({})).await;
        }
        if random.random_bool(0.2) {
            device.picture = None;
        }
        device.connect(&me.base).await.unwrap();
    }
    let other = pick(random, &world.people).id;
    let by_rest = random.random_bool(0.4);
    match random.random_range(0..100) {
        0..20 => {
            let room = world.room(random);
            match by_rest {
                true => by_post(me, &format!("/rooms/{room}/"), json!({"action": "enter"})).await,
                false => call(device, "room.enter", json!({"room": room})).await,
            }
        }
        20..34 => match (by_rest, device.picture.as_ref().unwrap().seat()) {
            (true, Some(room)) => by_post(me, &format!("/rooms/{room}/"), json!({"action": "leave"})).await,
            _ => call(device, "room.leave", json!({})).await,
        },
        34..38 => {
            let reply = me.post("/rooms/", json!({"name": "방"})).await;
            if let Some(room) = reply["data"]["id"].as_i64() {
                world.add_room(room);
            }
            check(&reply);
        }
        38..48 => {
            let text = format!("힘내요 {}", world.cheers.fetch_add(1, Ordering::Relaxed));
            call(device, "room.cheer", json!({"text": text})).await;
        }
        48..54 => call(device, "goal.set", json!({"text": format!("{}쪽", random.random_range(0..1000))})).await,
        54..76 => {
            let (op, path) = *pick(
                random,
                &[
                    ("friend.request", ""),
                    ("friend.request", ""),
                    ("friend.cancel", ""),
                    ("friend.accept", "accept/"),
                    ("friend.accept", "accept/"),
                    ("friend.reject", "reject/"),
                    ("friend.remove", ""),
                ],
            );
            match (by_rest, op) {
                (true, "friend.remove") => check(&me.delete(&format!("/accounts/friend/{other}/")).await),
                (true, _) => by_post(me, &format!("/accounts/friend/{other}/{path}"), json!({})).await,
                (false, _) => call(device, op, json!({"user": other})).await,
            }
        }
        76..82 => device.lose(),
        82..86 => {
            let mut since = device.picture.as_ref().unwrap().since();
            if random.random_bool(0.3) {
                since[format!("user:{}", me.id)] = json!(["of another life", 7]);
            }
            call(device, "sync", json!({"since": since})).await;
        }
        86..89 if !tokens.is_empty() => {
            me.with_token(&device.token).post("/rest-auth/logout/", json!({})).await.bare(200);
            assert_eq!(device.listen_to_the_end().await.code, Some(4503));
            device.token = tokens.pop().unwrap();
        }
        _ => device.listen(Duration::from_millis(random.random_range(1..60))).await.unwrap(),
    }
}

async fn call(device: &mut Device, op: &str, d: Value) {
    match device.call(op, d).await {
        Ok(Ok(_)) => {}
        Ok(Err(err)) => assert!(err["code"].as_str().is_some_and(|code| FINE.contains(&code)), "{op}: {err}"),
        Err(Gone { code, bye }) => panic!("gone instead of an answer to {op}: {code:?} {bye}"),
    }
}

async fn by_post(me: &Person, path: &str, body: Value) {
    check(&me.post(path, body).await);
}

fn check(reply: &Reply) {
    let fine = reply["code"].as_str().is_some_and(|code| FINE.contains(&code));
    assert!(reply.status.is_success() || fine, "{reply:?}");
}
