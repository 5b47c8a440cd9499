//! The virtual people: what each has heard, whether it was right, and what there is to do about it.
//!
//! Promises that nothing that is heard goes unlooked at; what is right, [`super::verify`] says. It owns no socket:
//! [`super::floor`] brings what they hear.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::{
    faults::{Faults, Kind},
    meter::{Meter, wall_clock},
    room::{Room, Seats},
    wire::{self, Heard, Hello, Line, Push, Snapshot},
};
use crate::realtime::protocol::Channel;

/// Ids of requests whose answers mean something; 1 is any other.
pub(super) const LEAVE: u32 = 2;
pub(super) const ENTER: u32 = 3;
pub(super) const START: u32 = 4;
pub(super) const STOP: u32 = 5;

/// Further from the foretold moment, it is another phase.
const NEAR: i64 = 25_000;

/// Something that whoever directs the run may want to react to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Happening {
    /// Somebody's `hello` has come.
    Present(usize),
    /// Somebody's connection is gone; with the number of its close frame, if there was one.
    Gone { who: usize, code: Option<u16> },
    /// A request was answered.
    Answer { who: usize, id: u32, done: bool },
    /// Everybody in a room has a word.
    Landed { room: usize },
}

/// Where somebody stands in a channel.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    pub(super) epoch: String,
    pub(super) off: u64,
}

/// One of the virtual people.
#[derive(Debug, Default)]
pub(super) struct Person {
    pub(super) token: String,
    pub(super) path: String,
    pub(super) instance: usize,
    /// Answers that are awaited.
    pub(super) asked: usize,
    pub(super) user: i64,
    /// The room's index, once it is known.
    pub(super) room: Option<usize>,
    /// Where the person stands in the room's channel, while listening to it.
    pub(super) in_room: Option<u64>,
    pub(super) own: Option<Standing>,
    pub(super) sees: Option<Seats>,
    /// When the connection was meant to begin.
    pub(super) coming: Option<Instant>,
    pub(super) present: bool,
    pub(super) deaf: bool,
    /// Says who it is and where it stands by its first message.
    pub(super) resumes: bool,
    pub(super) upgraded: bool,
    /// Others' phases that were heard.
    pub(super) rung: usize,
    pub(super) beats: usize,
    /// The number of the last close frame or `bye`.
    pub(super) closed: Option<u16>,
}

/// Everybody's rooms and everything that is counted.
#[derive(Debug)]
pub(super) struct Crowd {
    pub(super) rooms: Vec<Room>,
    pub(super) by_id: HashMap<i64, usize>,
    pub(super) meter: Meter,
    pub(super) faults: Faults,
    pub(super) happenings: Vec<Happening>,
    /// Events that were missing when a later one came: who, channel, offset.
    pub(super) gaps: Vec<(usize, Channel, u64)>,
    /// Edges that were told.
    pub(super) edges: u64,
    /// When users' phases were foretold to end, in milliseconds since the Unix epoch.
    pub(super) rings: HashMap<i64, i64>,
    /// The server's clock minus ours, in milliseconds.
    pub(super) clock_ahead: Option<i64>,
    /// The moment of the read that is being looked at.
    pub(super) now: Instant,
}

impl Crowd {
    pub(super) fn new(now: Instant) -> anyhow::Result<Self> {
        Ok(Self {
            rooms: Vec::new(),
            by_id: HashMap::new(),
            meter: Meter::new(now)?,
            faults: Faults::default(),
            happenings: Vec::new(),
            gaps: Vec::new(),
            edges: 0,
            rings: HashMap::new(),
            clock_ahead: None,
            now,
        })
    }

    /// A frame for `who`; it may hold several messages.
    pub(super) fn frame(&mut self, who: usize, person: &mut Person, frame: &[u8]) {
        let mut rest = frame;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (message, behind) = rest.split_at(end);
            self.message(who, person, message);
            rest = behind.get(1..).unwrap_or_default();
        }
        if !rest.is_empty() {
            self.message(who, person, rest);
        }
    }

    fn message(&mut self, who: usize, person: &mut Person, message: &[u8]) {
        match wire::read(message) {
            Heard::Heartbeat => person.beats += 1,
            Heard::Placed { channel: channel @ Channel::Room(id), off, event } => {
                // What still comes of a room that was left is nobody's concern.
                let Some(room) = person.room.filter(|room| self.rooms.get(*room).is_some_and(|room| room.id == id.0))
                else {
                    return;
                };
                let Some(last) = person.in_room else { return };
                person.in_room = Some(last.max(off));
                if self.in_place(who, person.user, channel, last, off) {
                    self.meter.delivered();
                    self.in_room(person, room, off, event, message);
                }
            }
            Heard::Placed { channel, off, .. } => {
                let Some(own) = person.own.as_mut() else { return };
                let last = own.off;
                own.off = last.max(off);
                if self.in_place(who, person.user, channel, last, off) {
                    self.meter.delivered();
                }
            }
            Heard::Answer { id, done } => {
                person.asked = person.asked.saturating_sub(usize::from(matches!(id, LEAVE | ENTER)));
                if !done {
                    self.faults.add(Kind::Refused, 1, || {
                        format!("to user {}: {}", person.user, String::from_utf8_lossy(message))
                    });
                }
                if done {
                    self.answered(person, id, message);
                }
                self.happenings.push(Happening::Answer { who, id, done });
            }
            Heard::Derived { channel: Channel::Room(_), event: "timer.phase" } => self.phase(person, message),
            Heard::Derived { .. } => {}
            Heard::Other => self.push(who, person, message),
        }
    }

    fn in_room(&mut self, person: &mut Person, index: usize, off: u64, event: &str, message: &[u8]) {
        let Some(room) = self.rooms.get_mut(index) else { return };
        match event {
            "room.cheer" => {
                room.seen(off);
                if let Some((intended, by_all)) = wire::number(message).and_then(|number| room.land(number)) {
                    self.meter.took(intended, self.now);
                    if by_all {
                        self.happenings.push(Happening::Landed { room: index });
                    }
                }
            }
            _ => {
                self.edges += u64::from(event.starts_with("presence."));
                for (seat, there) in room.effect(off, message, &mut self.faults).iter() {
                    if let Some(sees) = &mut person.sees {
                        sees.set(*seat, *there);
                    }
                    if let Some(intended) = room.expected.get(&(*seat, *there)) {
                        self.meter.took(*intended, self.now);
                    }
                }
            }
        }
    }

    fn push(&mut self, who: usize, person: &mut Person, message: &[u8]) {
        match Push::read(message) {
            Ok(Push::Hello(hello)) => self.hello(who, person, &hello),
            Ok(Push::Bye(bye)) => person.closed = Some(bye.code),
            Ok(Push::Snapshot(snapshot)) => self.snapshot(person, &snapshot),
            Ok(Push::Other) => {}
            Err(error) => self.faults.add(Kind::Broken, 1, || {
                let start = String::from_utf8_lossy(message.get(..200).unwrap_or(message)).into_owned();
                format!("user {} got what can't be read ({error}): {start}", person.user)
            }),
        }
    }

    fn hello(&mut self, who: usize, person: &mut Person, hello: &Hello) {
        let first = person.user == 0;
        person.user = hello.user.id;
        // The quickest `hello` knows best.
        let ahead = hello.server_time - wall_clock();
        self.clock_ahead = Some(self.clock_ahead.map_or(ahead, |known| known.max(ahead)));
        for (channel, line) in &hello.channels {
            let asked = person.resumes && (person.in_room.is_some() || matches!(channel, Channel::User(_)));
            if asked && line.recovered != Some(true) {
                self.faults.add(Kind::NotResumed, 1, || {
                    format!("user {} asked for what was missed in {channel} and did not get it", person.user)
                });
            }
            if let Channel::User(_) = channel {
                let known = person.own.as_ref().map(|own| own.off).filter(|_| line.recovered == Some(true));
                person.own = Some(Standing { epoch: line.epoch.clone(), off: known.unwrap_or(line.off) });
            }
        }
        if let Some(picture) = &hello.room {
            let index = *self.by_id.entry(picture.id).or_insert_with(|| {
                self.rooms.push(Room::new(picture.id));
                self.rooms.len() - 1
            });
            let line = hello.channels.iter().find(|(channel, _)| matches!(channel, Channel::Room(_)));
            if let Some(room) = self.rooms.get_mut(index) {
                let seat = room.seat(person.user);
                room.ours.set(seat, true);
                room.present.set(seat, true);
                if first {
                    room.members.push(who);
                    room.readers += usize::from(!person.deaf);
                }
                if let Some(seats) = room.picture(picture) {
                    person.sees = Some(seats);
                }
                if let Some((_, line)) = line {
                    Self::stands(room, person, line);
                }
            }
            person.room = Some(index);
        }
        person.present = true;
        if let Some(intended) = person.coming.take() {
            self.meter.connect.add(self.now.saturating_duration_since(intended));
        }
        self.happenings.push(Happening::Present(who));
    }

    fn stands(room: &mut Room, person: &mut Person, line: &Line) {
        room.epoch.clone_from(&line.epoch);
        // What was missed follows, from where the person stands.
        if line.recovered != Some(true) || person.in_room.is_none() {
            person.in_room = Some(line.off);
        }
    }

    fn snapshot(&mut self, person: &mut Person, snapshot: &Snapshot) {
        let Some(picture) = &snapshot.room else { return };
        let Some(index) = self.by_id.get(&picture.id).copied() else { return };
        let Some(room) = self.rooms.get_mut(index) else { return };
        if let Some(seats) = room.picture(picture) {
            (person.sees, person.room, person.in_room) = (Some(seats), Some(index), Some(snapshot.off));
            room.epoch.clone_from(&snapshot.epoch);
        }
    }

    /// An answer may hold the picture of a room that was entered.
    fn answered(&mut self, person: &mut Person, id: u32, message: &[u8]) {
        match id {
            LEAVE => {
                // Nothing of the room comes behind this.
                person.in_room = None;
                if let Some(room) = person.room.and_then(|room| self.rooms.get_mut(room)) {
                    let seat = room.seat(person.user);
                    room.present.set(seat, false);
                }
            }
            ENTER => self.entered(person, message),
            START => {
                if let Ok(wire::Started { ok }) = serde_json::from_slice(message) {
                    self.rings.extend(ok.run.ends_at.map(|at| (person.user, at)));
                }
            }
            _ => {}
        }
    }

    /// A phase of somebody in the room has ended; how late it is told, by the server's clock.
    fn phase(&mut self, person: &mut Person, message: &[u8]) {
        let Ok(wire::Phase { d }) = serde_json::from_slice(message) else { return };
        let Some(at) = self.rings.get(&d.user) else { return };
        let late = wall_clock() + self.clock_ahead.unwrap_or(0) - at;
        if late.abs() < NEAR {
            person.rung += 1;
            self.meter.delivered();
            let late = Duration::from_millis(late.try_into().unwrap_or(0));
            self.meter.took(self.now.checked_sub(late).unwrap_or(self.now), self.now);
        }
    }

    fn entered(&mut self, person: &mut Person, message: &[u8]) {
        let Ok(wire::Entered { ok: entered }) = serde_json::from_slice(message) else { return };
        let Some(index) = self.by_id.get(&entered.room.id).copied() else { return };
        let Some(room) = self.rooms.get_mut(index) else { return };
        let Some(line) = entered.channels.values().next() else { return };
        person.sees = room.picture(&entered.room);
        (person.room, person.in_room) = (Some(index), Some(line.off));
        let seat = room.seat(person.user);
        room.present.set(seat, true);
    }

    /// Somebody is meant to come or go at `intended`: whoever hears of it hears it late by so much.
    pub(super) fn expect(&mut self, person: Option<&Person>, comes: bool, intended: Instant) {
        let Some((user, room)) = person.and_then(|person| Some((person.user, person.room?))) else { return };
        if let Some(room) = self.rooms.get_mut(room) {
            let seat = room.seat(user);
            room.expected.insert((seat, comes), intended);
        }
    }

    /// The first message of somebody who resumes.
    pub(super) fn since(&self, person: &Person) -> String {
        let mut since = Vec::new();
        if let Some(own) = &person.own {
            since.push(format!(r#""user:{}":["{}",{}]"#, person.user, own.epoch, own.off));
        }
        let room = person.room.and_then(|room| self.rooms.get(room));
        if let (Some(room), Some(off)) = (room, person.in_room) {
            since.push(format!(r#""room:{}":["{}",{off}]"#, room.id, room.epoch));
        }
        let (token, since) = (&person.token, since.join(","));
        format!(r#"{{"id":1,"op":"auth","d":{{"token":"{token}","since":{{{since}}}}}}}"#)
    }

    /// A connection is gone.
    pub(super) fn gone(&mut self, who: usize, person: &mut Person) {
        if let Some(room) = person.room.filter(|_| person.present).and_then(|room| self.rooms.get_mut(room)) {
            let seat = room.seat(person.user);
            room.present.set(seat, false);
        }
        person.present = false;
        self.happenings.push(Happening::Gone { who, code: person.closed });
    }
}
