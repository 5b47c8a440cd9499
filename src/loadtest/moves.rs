//! People who come and go while others watch: entry and exit, a deploy, and a study day.

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    time::{Duration, Instant},
};

use rand::RngExt;

use super::{
    crowd::{ENTER, Happening, LEAVE, START, STOP},
    faults::Kind,
    floor::{Address, Floor, Play},
    plays::{Speaking, ended, speak_loosely},
    scenario::{By, Churn, Deploy, Mixed},
    schedule::Schedule,
};

/// Whoever was turned away comes again within this.
const AGAIN: Duration = Duration::from_secs(2);

/// Entry and exit in turn, on time or one after another.
pub(super) struct Churning {
    by: By,
    schedule: Option<Schedule>,
    /// How many may be about it at one moment, without a schedule.
    at_once: usize,
    /// Those who are, since when they were meant to.
    under_way: HashMap<usize, Instant>,
    /// Who is there and may go, the longest first.
    there: VecDeque<usize>,
    /// Who has gone and may come back.
    away: VecDeque<usize>,
    goes: bool,
    /// So many go before the first comes back: whoever is called back has been heard of as gone by then.
    ahead: usize,
}

impl Churning {
    pub(super) fn new(churn: &Churn, floor: &Floor, now: Instant) -> Self {
        // From room to room, so that no room is emptied.
        let longest = floor.crowd.rooms.iter().map(|room| room.members.len()).max().unwrap_or(0);
        let there =
            (0..longest).flat_map(|seat| floor.crowd.rooms.iter().filter_map(move |room| room.members.get(seat)));
        Self {
            by: churn.by,
            schedule: churn.rate.map(|rate| Schedule::evenly(rate * 2.0, now)),
            at_once: churn.clients.unwrap_or(0),
            under_way: HashMap::new(),
            there: there.copied().collect(),
            away: VecDeque::new(),
            goes: true,
            // What goes in a second, and never more than a third, lest nobody be left to go.
            ahead: churn.rate.map_or(0, |rate| (rate.ceil() as usize).min(floor.people.len() / 3)),
        }
    }

    fn act(&mut self, floor: &mut Floor, intended: Instant) -> anyhow::Result<()> {
        let goes = self.goes;
        match self.ahead.checked_sub(1) {
            Some(left) => self.ahead = left,
            None => self.goes = !goes,
        }
        let queue = if goes { &mut self.there } else { &mut self.away };
        let Some(who) = queue.pop_front() else {
            let what = if goes { "leave" } else { "enter" };
            floor
                .crowd
                .faults
                .add(Kind::Unfinished, 1, || format!("nobody was ready to {what}: answers come too late"));
            return Ok(());
        };
        floor.crowd.meter.sent += u64::from(floor.crowd.meter.counts);
        floor.crowd.expect(floor.people.get(who), !goes, intended);
        self.under_way.insert(who, intended);
        match (self.by, goes) {
            (By::Seat, true) => floor.ask(who, &leave())?,
            (By::Seat, false) => floor.ask(who, &enter(floor, who))?,
            (By::Connection, true) => floor.drop_dead(who)?,
            (By::Connection, false) => floor.connect(who, intended)?,
        }
        Ok(())
    }

    /// Somebody is where they wanted to be.
    fn done(&mut self, floor: &mut Floor, who: usize) {
        if let Some(intended) = self.under_way.remove(&who) {
            floor.crowd.meter.answered(intended, Instant::now());
        }
    }
}

fn leave() -> String {
    format!(r#"{{"id":{LEAVE},"op":"room.leave","d":{{}}}}"#)
}

fn enter(floor: &Floor, who: usize) -> String {
    let room = floor.people.get(who).and_then(|person| person.room).and_then(|room| floor.crowd.rooms.get(room));
    format!(r#"{{"id":{ENTER},"op":"room.enter","d":{{"room":{}}}}}"#, room.map_or(0, |room| room.id))
}

impl Play for Churning {
    fn due(&mut self, floor: &mut Floor, now: Instant) -> anyhow::Result<Option<Instant>> {
        while let Some(intended) = self.schedule.as_mut().and_then(|schedule| schedule.due(now)) {
            self.act(floor, intended)?;
        }
        while self.under_way.len() < self.at_once {
            // As many stay away as are about it, so that there is always somebody to come back.
            self.goes = self.away.len() < self.at_once;
            self.act(floor, now)?;
        }
        Ok(self.schedule.as_ref().map(Schedule::next))
    }

    fn happened(&mut self, floor: &mut Floor, happening: Happening) -> anyhow::Result<()> {
        match (self.by, happening) {
            (By::Seat, Happening::Answer { who, id: LEAVE, .. }) => {
                self.done(floor, who);
                self.away.push_back(who);
            }
            (By::Seat, Happening::Answer { who, id: ENTER, .. }) => {
                self.done(floor, who);
                self.there.push_back(who);
            }
            (By::Connection, Happening::Present(who)) => {
                self.done(floor, who);
                self.there.push_back(who);
            }
            (By::Connection, Happening::Gone { who, code: None }) => {
                self.under_way.remove(&who);
                self.away.push_back(who);
            }
            (_, other) => ended(floor, other),
        }
        Ok(())
    }
}

/// Everybody loses the connection at once and resumes, while some go on talking.
pub(super) struct Deploying {
    speaking: Speaking,
    begin: Instant,
    begun: bool,
    over: Duration,
    /// Those who come back, by when.
    coming: BTreeSet<(Instant, usize)>,
    away: HashSet<usize>,
    stayers: usize,
    then: Option<Address>,
}

impl Deploying {
    /// They come back to `then`, or to where they were.
    pub(super) fn new(deploy: &Deploy, then: Option<Address>, floor: &Floor, now: Instant) -> Self {
        let stayers = (floor.people.len() as f64 * deploy.stay).round() as usize;
        Self {
            speaking: Speaking::new(&deploy.fanout(), floor, now).by(0..stayers),
            begin: now + Duration::from_secs_f64(deploy.after),
            begun: false,
            over: Duration::from_secs_f64(deploy.over),
            coming: BTreeSet::new(),
            away: HashSet::new(),
            stayers,
            then,
        }
    }

    fn lose_everybody(&mut self, floor: &mut Floor, now: Instant) -> anyhow::Result<()> {
        self.begun = true;
        floor.crowd.meter.connect.clear();
        let leaving: Vec<_> = (self.stayers..floor.people.len()).collect();
        for (turn, who) in (0_u32..).zip(&leaving) {
            // Still there for everybody else: they are held, and nobody may hear of it.
            floor.lose(*who)?;
            let share = f64::from(turn) / leaving.len().max(1) as f64;
            self.coming.insert((now + self.over.mul_f64(share), *who));
        }
        self.away.extend(leaving);
        if let Some(then) = self.then.take() {
            floor.addresses = vec![then];
        }
        Ok(())
    }
}

impl Play for Deploying {
    fn due(&mut self, floor: &mut Floor, now: Instant) -> anyhow::Result<Option<Instant>> {
        if !self.begun && self.begin <= now {
            self.lose_everybody(floor, now)?;
        }
        while let Some((intended, who)) = self.coming.pop_first() {
            if now < intended {
                self.coming.insert((intended, who));
                break;
            }
            floor.resume(who, intended)?;
        }
        let talk = self.speaking.due(floor, now)?;
        let begin = (!self.begun).then_some(self.begin);
        let next = self.coming.first().map(|(at, _)| *at);
        Ok([talk, begin, next].into_iter().flatten().min())
    }

    fn happened(&mut self, floor: &mut Floor, happening: Happening) -> anyhow::Result<()> {
        match happening {
            Happening::Present(who) => {
                self.away.remove(&who);
                Ok(())
            }
            // Turned away, or lost again: whoever resumes tries again, and not with all the others at the same moment.
            Happening::Gone { who, code } if self.away.contains(&who) && code.is_none_or(|code| code < 4500) => {
                self.coming.insert((Instant::now() + AGAIN.mul_f64(rand::random()), who));
                Ok(())
            }
            other => self.speaking.happened(floor, other),
        }
    }
}

/// A study day in minutes: everybody does something now and then.
pub(super) struct Day {
    schedule: Schedule,
    body: usize,
    /// Those who wait for an answer or are on their way.
    busy: HashSet<usize>,
    /// Those who sit in their room and are not about to leave it.
    seated: HashSet<usize>,
    timing: HashSet<usize>,
}

impl Day {
    pub(super) fn new(mixed: &Mixed, floor: &Floor, now: Instant) -> Self {
        let people = floor.people.len();
        Self {
            schedule: Schedule::evenly(people as f64 / mixed.think, now),
            body: mixed.body,
            busy: HashSet::new(),
            seated: (0..people).collect(),
            timing: HashSet::new(),
        }
    }

    fn act(&mut self, floor: &mut Floor, intended: Instant) -> anyhow::Result<()> {
        let mut random = rand::rng();
        let who = random.random_range(0..floor.people.len());
        let present = floor.people.get(who).is_some_and(|person| person.present);
        // Whoever is about something already lets this chance pass.
        if !present || !self.busy.insert(who) {
            return Ok(());
        }
        floor.crowd.meter.sent += u64::from(floor.crowd.meter.counts);
        let seated = self.seated.contains(&who);
        match random.random_range(0..100) {
            0..60 if seated => speak_loosely(floor, who, self.body, intended)?,
            60..70 if seated => floor.say(who, r#"{"id":1,"op":"goal.set","d":{"text":"one more chapter"}}"#)?,
            70..80 if self.timing.contains(&who) => {
                floor.say(who, &format!(r#"{{"id":{STOP},"op":"timer.stop","d":{{}}}}"#))?;
            }
            70..80 => {
                let plan = r#"{"total_time":120,"work_time":25,"break_time":5}"#;
                floor.say(who, &format!(r#"{{"id":{START},"op":"timer.start","d":{plan}}}"#))?;
            }
            80..90 => {
                floor.lose(who)?;
                floor.resume(who, Instant::now())?;
            }
            // The last one stays: an empty room is closed, and nobody could come back.
            _ if seated && self.has_company(floor, who) => {
                self.seated.remove(&who);
                floor.ask(who, &leave())?;
            }
            _ if seated => speak_loosely(floor, who, self.body, intended)?,
            _ => floor.ask(who, &enter(floor, who))?,
        }
        Ok(())
    }

    /// Whether somebody else stays in the room of `who`.
    fn has_company(&self, floor: &Floor, who: usize) -> bool {
        let room = floor.people.get(who).and_then(|person| person.room).and_then(|room| floor.crowd.rooms.get(room));
        room.is_some_and(|room| room.members.iter().any(|other| *other != who && self.seated.contains(other)))
    }
}

impl Play for Day {
    fn due(&mut self, floor: &mut Floor, now: Instant) -> anyhow::Result<Option<Instant>> {
        while let Some(intended) = self.schedule.due(now) {
            self.act(floor, intended)?;
        }
        Ok(Some(self.schedule.next()))
    }

    fn happened(&mut self, floor: &mut Floor, happening: Happening) -> anyhow::Result<()> {
        match happening {
            Happening::Answer { who, id, .. } => {
                match id {
                    ENTER => drop(self.seated.insert(who)),
                    START => drop(self.timing.insert(who)),
                    STOP => drop(self.timing.remove(&who)),
                    _ => {}
                }
                self.busy.remove(&who);
            }
            Happening::Present(who) => drop(self.busy.remove(&who)),
            other => ended(floor, other),
        }
        Ok(())
    }
}
