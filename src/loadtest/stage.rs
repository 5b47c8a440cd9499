//! One run against one server, from the first connection to the last look: join, settle, warm up, work, settle.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use super::{
    crowd::{Happening, Person},
    faults::Kind,
    figures::{self, Processes},
    floor::{Address, Floor, Play},
    moves::{Churning, Day, Deploying},
    plays::{Ignoring, Joining, Ringing, Settling, Speaking, Staying},
    report::{Figures, Side},
    scenario::{Scenario, Work},
    watch::{GLANCE, Watch},
};

/// How long everybody may take to connect, beside a moment for each.
const JOINING: Duration = Duration::from_secs(30);
const JOINING_EACH: Duration = Duration::from_millis(50);

/// How long it may take until everything is at rest.
const SETTLING: Duration = Duration::from_secs(30);

/// For so long before the end, those who never read find out why they were sent away.
const GOODBYES: Duration = Duration::from_secs(2);

/// The same where something went wrong already, and what is missing may never come.
const HOPELESS: Duration = Duration::from_secs(2);

/// A server and what is to be done with it.
pub(super) struct Stage<'a> {
    pub(super) scenario: &'a Scenario,
    /// One for each instance.
    pub(super) addresses: Vec<Address>,
    pub(super) processes: Processes,
    pub(super) progress: Option<&'static str>,
    /// Where those go who lose their connection, if not where they were.
    pub(super) then: Option<Address>,
    /// Somebody wants the run to end early.
    pub(super) stop: Arc<AtomicBool>,
}

impl Stage<'_> {
    pub(super) fn run(&self, mut people: Vec<Person>) -> anyhow::Result<Side> {
        let count = people.len();
        if let Work::Slow(slow) = &self.scenario.work {
            // Users sit in rooms in turn: the first of each room come first.
            for person in people.iter_mut().take(slow.deaf * self.scenario.rooms) {
                person.deaf = true;
            }
        }
        let mut figures = Figures::new();
        let mut floor = Floor::new(people, self.addresses.clone())?;
        let mut watch = Watch::new(self.processes.clone(), self.progress, self.scenario, Arc::clone(&self.stop));

        let (start, before) = (Instant::now(), self.memory()?);
        let mut joining = match &self.scenario.work {
            Work::Morning { over } => Joining::on_time(0..count, count as f64 / over, start),
            _ => Joining::new(0..count, self.scenario.connecting),
        };
        let limit = JOINING + JOINING_EACH.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX));
        let cpu = self.cpu()?;
        floor.run(&mut watch.over("joining", &mut joining), start + limit)?;
        let took = start.elapsed().as_secs_f64();
        if !joining.is_over() && !watch.is_stopped() {
            floor.crowd.faults.add(Kind::Unfinished, 1, || format!("after {limit:?} not everybody was connected"));
        }
        self.settle(&mut floor, &mut watch)?;
        // Fewer than all, where somebody stopped it before.
        let count = floor.people.iter().filter(|person| person.present).count();
        if count > 0 {
            put(&mut figures, "connects_per_second", Some(count as f64 / took));
            put(&mut figures, "connect_p50_ms", Some(floor.crowd.meter.connect.quantile(0.5)));
            put(&mut figures, "connect_p99_ms", Some(floor.crowd.meter.connect.quantile(0.99)));
            let cpu = self.cpu()?.zip(cpu).map(|(after, before)| (after - before).as_secs_f64());
            put(&mut figures, "connect_cpu_us", cpu.map(|cpu| cpu * 1e6 / count as f64));
            put(&mut figures, "bytes_per_connection", self.bytes_each(before, count)?);
        }

        if floor.crowd.faults.is_empty() && !watch.is_stopped() {
            self.work(&mut floor, &mut watch, &mut figures)?;
        }
        if count > 0 && matches!(self.scenario.work, Work::Idle {}) {
            // What was needed to let everybody in is no longer needed by those who stay.
            put(&mut figures, "bytes_per_connection", self.bytes_each(before, count)?);
        }
        let wrong = floor.unrest();
        let mut faults = std::mem::take(&mut floor.crowd.faults);
        faults.merge(wrong);
        let memory = self.memory()?;
        put(&mut figures, "resident_mib", memory.map(|memory| memory.resident as f64 / MIB));
        put(&mut figures, "peak_mib", memory.map(|memory| memory.peak as f64 / MIB));
        Ok(Side { figures, curve: floor.crowd.meter.latency.curve(), timeline: watch.finish(), faults })
    }

    fn work(&self, floor: &mut Floor, watch: &mut Watch, figures: &mut Figures) -> anyhow::Result<()> {
        let start = Instant::now();
        let begins = start + Duration::from_secs_f64(self.scenario.warm_up);
        let ends = begins + self.scenario.measured();
        let mut play: Box<dyn Play> = match &self.scenario.work {
            Work::Idle {} | Work::Morning { .. } | Work::Rest(_) => Box::new(Staying),
            Work::Fanout(fanout) => Box::new(Speaking::new(fanout, floor, start)),
            Work::Churn(churn) => Box::new(Churning::new(churn, floor, start)),
            Work::Boundary { watchers } => Box::new(Ringing::new(*watchers, self.scenario.connecting, floor)),
            Work::Deploy(deploy) => Box::new(Deploying::new(deploy, self.then.clone(), floor, begins)),
            Work::Slow(slow) => Box::new(Ignoring::new(slow, floor, start, ends - GOODBYES)),
            Work::Mixed(mixed) => Box::new(Day::new(mixed, floor, start)),
        };
        floor.run(&mut watch.over("warming up", &mut *play), begins)?;
        floor.crowd.meter.counts = true;
        let (before, edges) = (self.memory()?, floor.crowd.edges);
        let (cpu, own, begun) = (self.cpu()?, figures::cpu(std::process::id())?, Instant::now());
        floor.run(&mut watch.over("working", &mut *play), begun + self.scenario.measured())?;
        let cpu = self.cpu()?.zip(cpu).map(|(after, before)| (after - before).as_secs_f64());
        let own = (figures::cpu(std::process::id())?.saturating_sub(own)).as_secs_f64();
        let seconds = begun.elapsed().as_secs_f64();
        let meter = &mut floor.crowd.meter;
        let deliveries = meter.deliveries as f64;
        put(figures, "seconds", Some(seconds));
        put(figures, "cpu_percent", cpu.map(|cpu| cpu / seconds * 100.0));
        if meter.deliveries > 0 {
            put(figures, "cpu_us_per_delivery", cpu.map(|cpu| cpu * 1e6 / deliveries));
            put(figures, "deliveries_per_cpu_second", cpu.filter(|cpu| *cpu > 0.0).map(|cpu| deliveries / cpu));
            put(figures, "deliveries_per_second", Some(deliveries / seconds));
            put(figures, "sent_per_second", Some(meter.sent as f64 / seconds));
            put(figures, "lab_cpu_us_per_delivery", Some(own * 1e6 / deliveries));
        }
        let memory = self.memory()?.zip(before);
        let grown = memory.map(|(after, before)| after.peak.saturating_sub(before.resident) as f64 / MIB);
        put(figures, "memory_growth_mib", grown);
        // Whoever was stopped on the way can't have kept what the scenario promises for its end.
        if !watch.is_stopped() {
            self.conclude(floor, edges, figures);
        }
        // What set out while it counted still counts when it arrives; then everything comes to rest.
        self.settle(floor, watch)?;
        let meter = &mut floor.crowd.meter;
        meter.counts = false;
        meter.latency.tell(figures);
        if meter.answers.len() > 0 {
            put(figures, "answer_p50_ms", Some(meter.answers.quantile(0.5)));
            put(figures, "answer_p99_ms", Some(meter.answers.quantile(0.99)));
        }
        Ok(())
    }

    /// What the scenario itself promises.
    fn conclude(&self, floor: &mut Floor, edges: u64, figures: &mut Figures) {
        let faults = &mut floor.crowd.faults;
        match &self.scenario.work {
            Work::Deploy(_) => {
                let away = floor.people.iter().filter(|person| !person.present).count();
                if away > 0 {
                    faults.add(Kind::Unfinished, away as u64, || format!("{away} people did not come back in time"));
                } else {
                    put(figures, "resume_p99_ms", Some(floor.crowd.meter.connect.quantile(0.99)));
                    put(figures, "resume_max_ms", Some(floor.crowd.meter.connect.max()));
                }
                let told = floor.crowd.edges - edges;
                if told > 0 {
                    let what = "edges were told of people who had only changed the connection";
                    faults.add(Kind::NeedlessPresence, told, || format!("{told} {what}"));
                }
            }
            Work::Slow(_) => {
                let kept = floor.people.iter().filter(|person| person.present && person.closed.is_none());
                let deaf = self.scenario.people() - floor.crowd.rooms.iter().map(|room| room.readers).sum::<usize>();
                let readers = self.scenario.people() - deaf;
                let kept = kept.count().saturating_sub(readers);
                if kept > 0 {
                    faults.add(Kind::NotSentAway, kept as u64, || format!("{kept} who never read are still connected"));
                }
            }
            Work::Boundary { watchers } => {
                let (members, watchers) = (self.scenario.members, *watchers);
                for room in &floor.crowd.rooms {
                    for who in room.members.iter().take(watchers) {
                        let Some(person) = floor.people.get(*who).filter(|person| person.rung < members) else {
                            continue;
                        };
                        faults.add(Kind::Lost, (members - person.rung) as u64, || {
                            format!("user {} heard {} of {members} phases end", person.user, person.rung)
                        });
                    }
                }
            }
            _ => {}
        }
    }

    fn settle(&self, floor: &mut Floor, watch: &mut Watch) -> anyhow::Result<()> {
        let limit = if floor.crowd.faults.is_empty() { SETTLING } else { HOPELESS };
        floor.run(&mut watch.over("settling", &mut Settling::default()), Instant::now() + limit)
    }

    /// What the server has taken for each of `count` people.
    fn bytes_each(&self, before: Option<figures::Memory>, count: usize) -> anyhow::Result<Option<f64>> {
        let grown = self.memory()?.zip(before).map(|(after, before)| after.private.saturating_sub(before.private));
        Ok(grown.map(|grown| grown as f64 / count as f64))
    }

    fn cpu(&self) -> anyhow::Result<Option<Duration>> {
        self.processes.cpu()
    }

    fn memory(&self) -> anyhow::Result<Option<figures::Memory>> {
        self.processes.memory()
    }
}

const MIB: f64 = 1024.0 * 1024.0;

fn put(figures: &mut Figures, name: &str, value: Option<f64>) {
    if let Some(value) = value {
        figures.insert(name.to_owned(), value);
    }
}

/// A play that only looks on while another goes on.
pub(super) struct Over<'a> {
    pub(super) watch: &'a mut Watch,
    pub(super) play: &'a mut dyn Play,
}

impl Play for Over<'_> {
    fn due(&mut self, floor: &mut Floor, now: Instant) -> anyhow::Result<Option<Instant>> {
        let look = self.watch.look(floor, now).min(now + GLANCE);
        Ok(Some(self.play.due(floor, now)?.map_or(look, |due| due.min(look))))
    }

    fn happened(&mut self, floor: &mut Floor, happening: Happening) -> anyhow::Result<()> {
        self.play.happened(floor, happening)
    }

    fn is_over(&self) -> bool {
        self.play.is_over() || self.can_be_stopped() && self.watch.is_stopped()
    }

    fn can_be_stopped(&self) -> bool {
        self.play.can_be_stopped()
    }
}
