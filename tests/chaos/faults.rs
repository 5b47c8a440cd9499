//! What can go wrong, how it begins and how it ends.

use std::time::Duration;

use rand::{RngExt, rngs::StdRng};

use crate::{
    service::Service,
    support::{
        self,
        link::{Link, Weather},
        pick,
    },
};

/// One thing that goes wrong; the number is an instance's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9`, and started again.
    Kill(usize),
    /// Stopped for longer than its lease, and continued.
    Pause(usize),
    /// Stopped for a moment.
    Blink(usize),
    /// SIGTERM, and started again.
    Drain(usize),
    /// Killed, and started again with everything.
    KillRedis,
    /// Killed, and started again with nothing.
    EmptyRedis,
    /// Killed, and started again without the last seconds: a replica took over.
    RewindRedis,
    PauseRedis,
    /// Every connection that subscribed to something is ended by Redis.
    DropSubscribers,
    /// What an instance subscribed to does not arrive; everything else does.
    Deafen(usize),
    CutRedis(usize),
    PartRedis(usize, Way),
    SlowRedis(usize),
    CrashPostgres,
    /// Nothing from PostgreSQL to anybody.
    StallPostgres,
    CutPostgres(usize),
    PartPostgres(usize, Way),
    SlowPostgres(usize),
    CutClients(usize),
    PartClients(usize, Way),
    SlowClients(usize),
}

/// Which way nothing goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Both,
    There,
    Back,
}

impl Way {
    fn weather(self) -> Weather {
        let (holds_up, holds_down) = (self != Self::Back, self != Self::There);
        Weather { holds_up, holds_down, ..Weather::default() }
    }
}

impl Fault {
    /// Any of them.
    pub fn any(random: &mut StdRng, instances: usize) -> Self {
        let number = random.random_range(0..instances);
        let way = *pick(random, &[Way::Both, Way::Both, Way::There, Way::Back]);
        let all = [
            Self::Kill(number),
            Self::Kill(number),
            Self::Pause(number),
            Self::Blink(number),
            Self::Drain(number),
            Self::KillRedis,
            Self::EmptyRedis,
            Self::RewindRedis,
            Self::PauseRedis,
            Self::DropSubscribers,
            Self::Deafen(number),
            Self::CutRedis(number),
            Self::PartRedis(number, way),
            Self::PartRedis(number, way),
            Self::SlowRedis(number),
            Self::CrashPostgres,
            Self::StallPostgres,
            Self::CutPostgres(number),
            Self::PartPostgres(number, way),
            Self::SlowPostgres(number),
            Self::CutClients(number),
            Self::PartClients(number, way),
            Self::SlowClients(number),
        ];
        *pick(random, &all)
    }

    /// Its name, for counting.
    pub fn name(self) -> String {
        let name = format!("{self:?}");
        name.split('(').next().unwrap_or_default().to_owned()
    }

    /// Whether two can happen at the same time: each needs a process or a link for itself.
    pub fn goes_with(self, other: Self) -> bool {
        let place = |fault: Self| match fault {
            Self::Kill(number) | Self::Pause(number) | Self::Blink(number) | Self::Drain(number) => (0, number),
            Self::KillRedis | Self::EmptyRedis | Self::RewindRedis | Self::PauseRedis | Self::DropSubscribers => (1, 0),
            Self::Deafen(number) | Self::CutRedis(number) | Self::PartRedis(number, _) | Self::SlowRedis(number) => {
                (2, number)
            }
            Self::CrashPostgres | Self::StallPostgres => (3, 0),
            Self::CutPostgres(number) | Self::PartPostgres(number, _) | Self::SlowPostgres(number) => (3, number),
            Self::CutClients(number) | Self::PartClients(number, _) | Self::SlowClients(number) => (4, number),
        };
        // Stalling stills every link to PostgreSQL.
        place(self) != place(other) && !(place(self).0 == 3 && place(other).0 == 3)
    }

    /// How long it lasts, in milliseconds.
    pub fn lasts(self, random: &mut StdRng) -> Duration {
        let millis = match self {
            Self::Kill(_) => 500..4000,
            Self::Pause(_) => 10_000..16_000,
            Self::Blink(_) => 500..4000,
            Self::Drain(_) | Self::DropSubscribers => 0..1000,
            Self::CutRedis(_) | Self::CutPostgres(_) | Self::CutClients(_) => 0..500,
            Self::KillRedis | Self::EmptyRedis | Self::RewindRedis => 200..4000,
            Self::PauseRedis => 1000..7000,
            Self::Deafen(_) => 2000..9000,
            Self::PartRedis(..) => 2000..14_000,
            Self::CrashPostgres => 200..3000,
            Self::StallPostgres => 500..4000,
            Self::PartPostgres(..) => 1000..6000,
            Self::PartClients(..) => 2000..9000,
            Self::SlowRedis(_) | Self::SlowPostgres(_) | Self::SlowClients(_) => 2000..6000,
        };
        Duration::from_millis(random.random_range(millis))
    }

    /// What is started again last, because it needs the rest.
    pub fn is_of_an_instance(self) -> bool {
        matches!(self, Self::Kill(_) | Self::Drain(_))
    }

    /// Those who suffer from it: one, or all.
    fn victims(self, service: &Service) -> Vec<usize> {
        match self {
            Self::Kill(number)
            | Self::Pause(number)
            | Self::Blink(number)
            | Self::Drain(number)
            | Self::Deafen(number)
            | Self::CutRedis(number)
            | Self::PartRedis(number, _)
            | Self::SlowRedis(number)
            | Self::CutPostgres(number)
            | Self::PartPostgres(number, _)
            | Self::SlowPostgres(number)
            | Self::CutClients(number)
            | Self::PartClients(number, _)
            | Self::SlowClients(number) => vec![number],
            Self::KillRedis
            | Self::EmptyRedis
            | Self::RewindRedis
            | Self::PauseRedis
            | Self::DropSubscribers
            | Self::CrashPostgres
            | Self::StallPostgres => (0..service.instances.len()).collect(),
        }
    }

    pub async fn begin(self, service: &mut Service) {
        for number in self.victims(service) {
            service.instances[number].suffers();
        }
        let slow = Weather { delay: Duration::from_millis(120), ..Weather::default() };
        match self {
            Self::Kill(number) => service.end_instance(number, support::End::Killed).await,
            Self::Drain(number) => service.end_instance(number, support::End::Terminated).await,
            Self::Pause(number) | Self::Blink(number) => service.instances[number].pause(true),
            Self::KillRedis | Self::EmptyRedis | Self::RewindRedis => service.redis.kill(),
            Self::PauseRedis => service.redis.signal("-STOP"),
            Self::DropSubscribers => drop(service.redis.ask("CLIENT KILL TYPE pubsub").await),
            Self::Deafen(number) => {
                let deaf = Weather { holds_subscriptions: true, ..Weather::default() };
                set(&service.instances[number].redis, deaf);
            }
            Self::CutRedis(number) => service.instances[number].redis.cut(),
            Self::PartRedis(number, way) => set(&service.instances[number].redis, way.weather()),
            Self::SlowRedis(number) => set(&service.instances[number].redis, slow),
            Self::CrashPostgres => service.postgres.crash(),
            Self::StallPostgres => {
                service.instances.iter().for_each(|instance| set(&instance.postgres, Way::Both.weather()));
            }
            Self::CutPostgres(number) => service.instances[number].postgres.cut(),
            Self::PartPostgres(number, way) => set(&service.instances[number].postgres, way.weather()),
            Self::SlowPostgres(number) => set(&service.instances[number].postgres, slow),
            Self::CutClients(number) => service.instances[number].clients.cut(),
            Self::PartClients(number, way) => set(&service.instances[number].clients, way.weather()),
            Self::SlowClients(number) => set(&service.instances[number].clients, slow),
        }
    }

    pub async fn end(self, service: &mut Service) {
        match self {
            Self::Kill(number) | Self::Drain(number) => service.start_instance(number).await,
            Self::Pause(number) | Self::Blink(number) => service.instances[number].pause(false),
            Self::KillRedis => service.redis.restart().await,
            Self::EmptyRedis => {
                service.redis.forget();
                service.redis.restart().await;
            }
            Self::RewindRedis => {
                service.redis.go_back();
                service.redis.restart().await;
            }
            Self::PauseRedis => service.redis.signal("-CONT"),
            Self::CrashPostgres => service.postgres.restart().await,
            Self::StallPostgres => service.instances.iter().for_each(|instance| set(&instance.postgres, fine())),
            Self::Deafen(number) | Self::PartRedis(number, _) | Self::SlowRedis(number) => {
                set(&service.instances[number].redis, fine());
            }
            Self::PartPostgres(number, _) | Self::SlowPostgres(number) => {
                set(&service.instances[number].postgres, fine());
            }
            Self::PartClients(number, _) | Self::SlowClients(number) => {
                set(&service.instances[number].clients, fine());
            }
            Self::DropSubscribers | Self::CutRedis(_) | Self::CutPostgres(_) | Self::CutClients(_) => {}
        }
        for number in self.victims(service) {
            service.instances[number].recovers();
        }
    }
}

fn fine() -> Weather {
    Weather::default()
}

fn set(link: &Link, weather: Weather) {
    link.weather.send_replace(weather);
}
