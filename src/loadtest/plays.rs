//! What the virtual people do: come in, stay, and speak.

use std::{
    collections::VecDeque,
    ops::Range,
    time::{Duration, Instant},
};

use super::{
    crowd::{Happening, START},
    faults::Kind,
    floor::{Floor, Play},
    scenario::{Fanout, Slow},
    schedule::Schedule,
    wire,
};

use crate::realtime::protocol::CloseReason;

/// How often it is looked whether everything has come to rest.
const LOOK: Duration = Duration::from_millis(50);

/// Everybody connects, so many at a time.
pub(super) struct Joining {
    waiting: VecDeque<usize>,
    under_way: usize,
    at_once: usize,
    schedule: Option<Schedule>,
}

impl Joining {
    pub(super) fn new(who: impl IntoIterator<Item = usize>, at_once: usize) -> Self {
        Self { waiting: who.into_iter().collect(), under_way: 0, at_once, schedule: None }
    }

    /// So many a second, whether the server keeps up or not.
    pub(super) fn on_time(who: impl IntoIterator<Item = usize>, rate: f64, now: Instant) -> Self {
        Self { schedule: Some(Schedule::evenly(rate, now)), ..Self::new(who, 0) }
    }
}

impl Play for Joining {
    fn due(&mut self, floor: &mut Floor, now: Instant) -> anyhow::Result<Option<Instant>> {
        loop {
            let intended = match &mut self.schedule {
                Some(schedule) => schedule.due(now),
                None => (self.under_way < self.at_once).then_some(now),
            };
            let Some((intended, who)) = intended.and_then(|at| Some((at, self.waiting.pop_front()?))) else { break };
            floor.connect(who, intended)?;
            self.under_way += 1;
        }
        Ok(self.schedule.as_ref().map(Schedule::next))
    }

    fn happened(&mut self, floor: &mut Floor, happening: Happening) -> anyhow::Result<()> {
        match happening {
            Happening::Present(_) => self.under_way -= 1,
            Happening::Gone { who, code } => {
                self.under_way = self.under_way.saturating_sub(1);
                floor.crowd.faults.add(Kind::Broken, 1, || format!("connection {who} ended while joining, {code:?}"));
            }
            _ => {}
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.waiting.is_empty() && self.under_way == 0
    }
}

/// Nothing is begun any more until everything is as it should be, or for so long as it may take.
#[derive(Default)]
pub(super) struct Settling {
    settled: bool,
    looked: Option<Instant>,
}

impl Play for Settling {
    fn due(&mut self, floor: &mut Floor, now: Instant) -> anyhow::Result<Option<Instant>> {
        if self.looked.is_none_or(|looked| looked + LOOK <= now) {
            self.settled = floor.unrest().is_empty();
            // Looking at everybody takes a while itself.
            self.looked = Some(Instant::now());
        }
        Ok(self.looked.map(|looked| looked + LOOK))
    }

    fn happened(&mut self, floor: &mut Floor, happening: Happening) -> anyhow::Result<()> {
        ended(floor, happening);
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.settled
    }

    fn can_be_stopped(&self) -> bool {
        false
    }
}

/// An end that nobody asked for.
pub(super) fn ended(floor: &mut Floor, happening: Happening) {
    if let Happening::Gone { who, code } = happening {
        let user = floor.people.get(who).map_or(0, |person| person.user);
        floor.crowd.faults.add(Kind::Broken, 1, || match code {
            Some(code) => format!("user {user} was sent away with {code}"),
            None => format!("user {user} lost the connection"),
        });
    }
}

/// Nothing.
pub(super) struct Staying;

impl Play for Staying {
    fn due(&mut self, _: &mut Floor, _: Instant) -> anyhow::Result<Option<Instant>> {
        Ok(None)
    }

    fn happened(&mut self, floor: &mut Floor, happening: Happening) -> anyhow::Result<()> {
        ended(floor, happening);
        Ok(())
    }
}

/// Words to the rooms.
pub(super) struct Speaking {
    body: usize,
    schedule: Option<Schedule>,
    in_flight: usize,
    /// Rooms in which another word may set out.
    free: VecDeque<usize>,
    turn: usize,
    /// Only these of all people speak.
    speakers: Range<usize>,
}

impl Speaking {
    pub(super) fn new(fanout: &Fanout, floor: &Floor, now: Instant) -> Self {
        let schedule = fanout.rate.map(|rate| Schedule::evenly(rate, now));
        let in_flight = fanout.in_flight.unwrap_or(0);
        // A round for each word that may be under way.
        let free = (0..in_flight).flat_map(|_| 0..floor.crowd.rooms.len()).collect();
        Self { body: fanout.body, schedule, in_flight, free, turn: 0, speakers: 0..usize::MAX }
    }

    /// Only these speak: what somebody says who is about to be cut off may never set out.
    pub(super) fn by(self, speakers: Range<usize>) -> Self {
        Self { speakers, ..self }
    }

    fn speak(&self, floor: &mut Floor, room: usize, speaker: usize, intended: Instant) -> anyhow::Result<()> {
        let Some(spoken_in) = floor.crowd.rooms.get_mut(room) else { return Ok(()) };
        let able = spoken_in.members.iter().filter(|who| self.speakers.contains(who)).count().max(1);
        let mut able_ones = spoken_in.members.iter().filter(|who| self.speakers.contains(who));
        let Some(who) = able_ones.nth(speaker % able).copied() else { return Ok(()) };
        let word = wire::word(spoken_in.launch(intended, false), self.body);
        floor.say(who, &format!(r#"{{"id":1,"op":"room.cheer","d":{{"text":"{word}"}}}}"#))?;
        floor.crowd.meter.sent += u64::from(floor.crowd.meter.counts);
        Ok(())
    }
}

/// A word of `who` to the room, where people come and go.
pub(super) fn speak_loosely(floor: &mut Floor, who: usize, body: usize, intended: Instant) -> anyhow::Result<()> {
    let room = floor.people.get(who).and_then(|person| person.room);
    let Some(room) = room.and_then(|room| floor.crowd.rooms.get_mut(room)) else { return Ok(()) };
    let word = wire::word(room.launch(intended, true), body);
    floor.say(who, &format!(r#"{{"id":1,"op":"room.cheer","d":{{"text":"{word}"}}}}"#))?;
    Ok(())
}

/// Words to the rooms, while some of each never read; in the end those find out why they were sent away.
pub(super) struct Ignoring {
    speaking: Speaking,
    until: Instant,
    asked: bool,
}

impl Ignoring {
    pub(super) fn new(slow: &Slow, floor: &Floor, now: Instant, until: Instant) -> Self {
        let fanout = Fanout { rate: Some(slow.rate), in_flight: None, body: 160 };
        // The first of each room come first, and are deaf.
        let readers = slow.deaf * floor.crowd.rooms.len()..usize::MAX;
        Self { speaking: Speaking::new(&fanout, floor, now).by(readers), until, asked: false }
    }
}

impl Play for Ignoring {
    fn due(&mut self, floor: &mut Floor, now: Instant) -> anyhow::Result<Option<Instant>> {
        if now < self.until {
            return Ok(self.speaking.due(floor, now)?.map(|due| due.min(self.until)));
        }
        if !self.asked {
            self.asked = true;
            let deaf: Vec<_> = (0..).zip(&floor.people).filter(|(_, person)| person.deaf).map(|(who, _)| who).collect();
            for who in deaf {
                floor.undeafen(who);
            }
        }
        Ok(None)
    }

    fn happened(&mut self, floor: &mut Floor, happening: Happening) -> anyhow::Result<()> {
        match happening {
            Happening::Gone { code: Some(code), .. } if code == CloseReason::Slow.code() => Ok(()),
            other => self.speaking.happened(floor, other),
        }
    }
}

/// Everybody starts a timer; most go, and the others wait for its first phase to end.
pub(super) struct Ringing {
    starts: VecDeque<usize>,
    /// Those whose start is not answered yet.
    under_way: usize,
    at_once: usize,
    watchers: usize,
}

impl Ringing {
    /// As fast as the server takes them, `at_once` at a time: phases end as close together as they began.
    pub(super) fn new(watchers: usize, at_once: usize, floor: &Floor) -> Self {
        Self { starts: (0..floor.people.len()).collect(), under_way: 0, at_once, watchers }
    }
}

impl Play for Ringing {
    fn due(&mut self, floor: &mut Floor, _: Instant) -> anyhow::Result<Option<Instant>> {
        while self.under_way < self.at_once
            && let Some(who) = self.starts.pop_front()
        {
            let plan = r#"{"total_time":1440,"work_time":1,"break_time":1}"#;
            floor.say(who, &format!(r#"{{"id":{START},"op":"timer.start","d":{plan}}}"#))?;
            self.under_way += 1;
        }
        Ok(None)
    }

    fn happened(&mut self, floor: &mut Floor, happening: Happening) -> anyhow::Result<()> {
        match happening {
            Happening::Answer { who, id: START, .. } => {
                self.under_way = self.under_way.saturating_sub(1);
                let room = floor.people.get(who).and_then(|person| person.room);
                let members = room.and_then(|room| floor.crowd.rooms.get(room)).map(|room| &room.members);
                if members.is_some_and(|members| members.iter().skip(self.watchers).any(|member| *member == who)) {
                    floor.drop_dead(who)?;
                }
                Ok(())
            }
            // Hung up by ourselves.
            Happening::Gone { code: None, .. } => Ok(()),
            other => {
                ended(floor, other);
                Ok(())
            }
        }
    }
}

impl Play for Speaking {
    fn due(&mut self, floor: &mut Floor, now: Instant) -> anyhow::Result<Option<Instant>> {
        // One speaker a room: what sets out together travels together.
        while let Some(room) = self.free.pop_front() {
            self.speak(floor, room, 0, now)?;
        }
        while let Some(intended) = self.schedule.as_mut().and_then(|schedule| schedule.due(now)) {
            let rooms = floor.crowd.rooms.len().max(1);
            self.speak(floor, self.turn % rooms, self.turn / rooms, intended)?;
            self.turn += 1;
        }
        Ok(self.schedule.as_ref().map(Schedule::next))
    }

    fn happened(&mut self, floor: &mut Floor, happening: Happening) -> anyhow::Result<()> {
        match happening {
            Happening::Landed { room } if self.in_flight > 0 => self.free.push_back(room),
            other => ended(floor, other),
        }
        Ok(())
    }
}
