//! What the database says, against what everybody knows.

use std::collections::{BTreeMap, BTreeSet};

use entity::{friend_request, friendship, membership, outbox};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter};
use serde_json::Value;
use solgik::db::Db;

use crate::{
    crowd::{Known, Person, World},
    now,
    service::Service,
    support::fold::{self, Told},
};

/// Nobody can be declared gone who was there so long before, in milliseconds: the grace is 15 s.
const GRACE: std::ops::Range<i64> = 1500..12_000;

/// What is written, by account.
pub struct Truth {
    seats: BTreeMap<i64, (i64, Option<String>)>,
    friends: BTreeMap<i64, BTreeSet<i64>>,
    requests: BTreeMap<i64, BTreeSet<i64>>,
    pub runs: BTreeMap<i64, Vec<Told>>,
}

/// Events that are committed and unsaid.
pub async fn unsaid(db: &Db) -> u64 {
    outbox::Entity::find().filter(outbox::Column::Channel.is_not_null()).count(&**db).await.unwrap()
}

impl Truth {
    pub async fn read(db: &impl ConnectionTrait) -> Self {
        let (mut friends, mut requests) = (BTreeMap::<_, BTreeSet<_>>::new(), BTreeMap::<_, BTreeSet<_>>::new());
        for row in friendship::Entity::find().all(db).await.unwrap() {
            friends.entry(row.low_id.0).or_default().insert(row.high_id.0);
            friends.entry(row.high_id.0).or_default().insert(row.low_id.0);
        }
        for row in friend_request::Entity::find().all(db).await.unwrap() {
            requests.entry(row.receiver_id.0).or_default().insert(row.sender_id.0);
        }
        let seats = membership::Entity::find().all(db).await.unwrap();
        let seats = seats.into_iter().map(|row| (row.account_id.0, (row.room_id.0, row.goal))).collect();
        Self { seats, friends, requests, runs: fold::runs(db).await }
    }

    /// Somebody knows what is written, and nothing else.
    pub fn check(&self, person: &Person, known: &Known) {
        let (id, picture) = (person.id, &known.picture);
        let seat = self.seats.get(&id);
        assert_eq!(picture["room"].as_i64(), seat.map(|(room, _)| *room), "the seat of {id}");
        let goals = self.seats.iter().filter(|(_, (room, _))| Some(*room) == seat.map(|(room, _)| *room));
        let goals: BTreeMap<_, _> = goals.map(|(member, (_, goal))| (*member, goal.clone())).collect();
        let told = picture["members"].as_object().into_iter().flatten();
        let told: BTreeMap<_, _> =
            told.map(|(id, row)| (id.parse().unwrap(), row["goal"].as_str().map(str::to_owned))).collect();
        assert_eq!(told, goals, "{id} knows the room");
        let none = BTreeSet::new();
        assert_eq!(ids(&picture["friends"]), *self.friends.get(&id).unwrap_or(&none), "the friends of {id}");
        assert_eq!(ids(&picture["requests"]), *self.requests.get(&id).unwrap_or(&none), "the requests to {id}");
        if let Some(runs) = &known.runs {
            let stored = self.runs.get(&id).map(Vec::as_slice).unwrap_or_default();
            assert!(fold::agree(runs, stored, now()), "{id} was told {runs:#?}, stored is {stored:#?}");
        }
    }
}

fn ids(people: &Value) -> BTreeSet<i64> {
    people.as_object().unwrap().keys().map(|id| id.parse().unwrap()).collect()
}

/// Nobody was declared gone who was connected, to an instance with which nothing was wrong. Answers how many were.
pub fn check_absences(service: &Service, world: &World, since: i64) -> usize {
    let absences = world.journal.told("presence.offline", since);
    for (channel, heard) in &absences {
        let user = heard.d["user"].as_i64().unwrap();
        let Some(person) = world.people.iter().find(|person| person.id == user) else { continue };
        let there = |at: &i64| {
            let stays = person.stays.lock().unwrap();
            let there = stays.iter().find(|stay| (stay.from..=stay.to).contains(at)).copied();
            there.filter(|stay| service.instances[stay.instance].was_sound(*at))
        };
        let proof = GRACE.step_by(500).map(|earlier| heard.at - earlier).find_map(|at| Some((at, there(&at)?)));
        assert!(proof.is_none(), "{user} was declared gone in {channel} by {heard:?} and was there: {proof:?}");
    }
    absences.len()
}
