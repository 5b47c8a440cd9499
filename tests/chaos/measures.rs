//! What is measured on the way: ghosts, a rolling restart, and how long a session's end takes.

use std::{sync::atomic::Ordering, time::Duration};

use entity::membership;
use futures_util::future::{join, join_all};
use rand::seq::IteratorRandom;
use sea_orm::EntityTrait;
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::{
    crowd::Mood,
    faults::Fault,
    now,
    run::Run,
    support::{Device, Door, End},
};

/// Users of a killed instance who don't return are offline within this.
const GHOSTS: Duration = Duration::from_secs(25);

/// A session's end closes its sockets within this, and within that without Redis.
const LOGOUT: Duration = Duration::from_secs(1);
const LOGOUT_ALONE: Duration = Duration::from_secs(60);

/// How much longer it may take here: this machine does everything at once.
const SLACK: Duration = Duration::from_millis(1500);

/// Those who don't return after a kill.
const LEAVERS: usize = 6;

impl Run {
    /// Kills an instance. Those who come back are announced by nobody; those who stay away, in time.
    pub async fn ghosts(&mut self) {
        self.mood.send_replace(Mood::Stay);
        self.live(Duration::from_secs(2)).await;
        let db = self.service.database().await;
        let seats = membership::Entity::find().all(&*db).await.unwrap();
        db.close().await;
        // Those with one device, whose place is known.
        let here = |who: &usize| {
            let person = &self.world.people[*who];
            let stay = person.stays.lock().unwrap().last().copied();
            stay.is_some_and(|stay| stay.instance == 0 && now() - stay.to < 1500)
                && seats.iter().any(|seat| seat.account_id.0 == person.id)
        };
        let candidates = (self.world.rooms.len()..self.world.people.len()).filter(|who| who % 2 == 0).filter(here);
        let leavers: Vec<_> = candidates.sample(&mut self.random, LEAVERS);
        let ids: Vec<_> = leavers.iter().map(|who| self.world.people[*who].id).collect();
        let killed = now();
        for who in &leavers {
            self.world.people[*who].away_until.store(killed + 32_000, Ordering::Relaxed);
        }
        Fault::Kill(0).begin(&mut self.service).await;
        self.live(Duration::from_secs(2)).await;
        Fault::Kill(0).end(&mut self.service).await;
        self.live(GHOSTS + SLACK - Duration::from_secs(2)).await;
        let told = self.world.journal.told("presence.offline", killed);
        let others: Vec<_> =
            told.iter().filter(|(_, heard)| !ids.contains(&heard.d["user"].as_i64().unwrap())).collect();
        assert!(others.is_empty(), "those who came back were declared gone: {others:#?}");
        let mut worst = 0;
        for id in &ids {
            let gone = told.iter().find(|(_, heard)| heard.d["user"] == *id).map(|(_, heard)| heard.at - killed);
            worst = worst.max(gone.unwrap_or_else(|| panic!("{id} is a ghost")));
        }
        assert!(worst <= (GHOSTS + SLACK).as_millis() as i64, "a ghost for {worst} ms");
        self.say(format_args!(
            "ghosts: {} were told as gone, the last {worst} ms after kill -9; others: none",
            ids.len()
        ));
        *self.struck.entry("Kill".to_owned()).or_default() += 1;
        self.live(Duration::from_secs(8)).await;
        self.rest().await;
    }

    /// Replaces every instance, one after the other, while everybody goes on.
    pub async fn roll(&mut self) {
        self.mood.send_replace(Mood::Stay);
        self.live(Duration::from_secs(1)).await;
        let began = now();
        for number in 0..self.service.instances.len() {
            *self.struck.entry("Drain".to_owned()).or_default() += 1;
            self.service.instances[number].suffers();
            self.service.end_instance(number, End::Terminated).await;
            self.service.start_instance(number).await;
            self.service.instances[number].recovers();
            self.service.whole().await;
            self.live(Duration::from_secs(1)).await;
        }
        let took = now() - began;
        // Whoever did not come back would be declared gone by now.
        self.live(Duration::from_secs(18)).await;
        for edge in ["presence.offline", "friend.offline"] {
            let told = self.world.journal.told(edge, began);
            assert!(told.is_empty(), "a rolling restart shows somebody leave: {told:#?}");
        }
        self.say(format_args!("rolling restart of all in {took} ms: nobody was declared gone"));
        self.rest().await;
    }

    /// Ends a session at one instance; the others close its sockets.
    pub async fn log_out(&mut self, with_redis: bool) {
        self.mood.send_replace(Mood::Stay);
        let most = if with_redis { LOGOUT } else { LOGOUT_ALONE };
        let door = Door::new(self.service.instances[0].base());
        let email = format!("load-{}@load.invalid", self.world.people.len());
        let body = json!({"email": email, "password": self.service.password});
        let answer = door.post("/rest-auth/login/", body).await.bare(200);
        let token = answer["token"].as_str().unwrap().to_owned();
        // All at once, here and below: who is not listened to answers no heartbeat.
        let connects = self.service.instances.iter().map(async |instance| {
            let mut device = Device::new(token.clone());
            device.connect(&instance.base()).await.unwrap();
            device
        });
        let mut devices = join_all(connects).await;
        if !with_redis {
            Fault::KillRedis.begin(&mut self.service).await;
            *self.struck.entry("KillRedis".to_owned()).or_default() += 1;
        }
        let began = Instant::now();
        let signed_in = door.with_token(&token);
        let leaves = signed_in.post("/rest-auth/logout/", json!({}));
        let closed = devices.iter_mut().map(async |device| {
            let gone = timeout(most + SLACK, listen(device)).await;
            assert_eq!(gone.expect("a socket outlives its session"), Some(4503));
            began.elapsed()
        });
        let (reply, took) = join(leaves, join_all(closed)).await;
        assert!(reply.status.is_success(), "{reply:?}");
        if !with_redis {
            Fault::KillRedis.end(&mut self.service).await;
        }
        self.say(format_args!(
            "logout {} Redis: sockets closed after {took:?}",
            if with_redis { "with" } else { "without" }
        ));
        self.rest().await;
    }
}

/// Listens until the connection is closed.
async fn listen(device: &mut Device) -> Option<u16> {
    loop {
        if let Err(gone) = device.listen(Duration::from_secs(1)).await {
            return gone.code;
        }
    }
}
