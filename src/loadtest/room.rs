//! A room as the lab knows it: who sits where, what was said in it, and which of its words are still under way.

use std::{
    collections::{HashMap, VecDeque},
    rc::Rc,
    time::Instant,
};

use super::{
    faults::{Faults, Kind},
    wire::{Batch, Change, Entry, OfUser, RoomPicture},
};

/// Events whose effect is remembered: nobody reads so far behind the others.
const REMEMBERED: u64 = 2048;

/// A set of seats.
#[derive(Clone, Debug, Default)]
pub(super) struct Seats(Vec<u64>);

impl Seats {
    pub(super) fn set(&mut self, seat: usize, there: bool) {
        let (word, bit) = (seat / 64, 1 << (seat % 64));
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        if let Some(word) = self.0.get_mut(word) {
            *word = if there { *word | bit } else { *word & !bit };
        }
    }

    pub(super) fn has(&self, seat: usize) -> bool {
        self.0.get(seat / 64).is_some_and(|word| word & (1 << (seat % 64)) != 0)
    }

    /// Seats of `of` that are in one of the two sets only.
    pub(super) fn differences<'a>(&'a self, other: &'a Self, of: &'a Self) -> impl Iterator<Item = usize> + 'a {
        let word = |set: &Self, index: usize| set.0.get(index).copied().unwrap_or(0);
        (0..of.0.len()).flat_map(move |index| {
            let differ = (word(self, index) ^ word(other, index)) & word(of, index);
            (0..64).filter(move |bit| differ & (1 << bit) != 0).map(move |bit| index * 64 + bit)
        })
    }
}

/// What an event does to the picture: seats, and whether somebody is there now.
pub(super) type Effect = Rc<[(usize, bool)]>;

/// A word that is under way.
#[derive(Debug)]
struct Flight {
    intended: Instant,
    /// Who has not got it; none where people come and go, and offsets alone tell what is lost.
    left: Option<usize>,
}

/// Words of which nobody counts who has got them, as long as they are remembered.
const LOOSE: usize = 64;

#[derive(Debug)]
pub(super) struct Room {
    pub(super) id: i64,
    pub(super) epoch: String,
    /// Our people who sit here.
    pub(super) members: Vec<usize>,
    /// Those of them who read.
    pub(super) readers: usize,
    seats: HashMap<i64, usize>,
    /// Seats of our own people: of others we don't know whether they are there.
    pub(super) ours: Seats,
    /// Who of ours is connected.
    pub(super) present: Seats,
    effects: HashMap<u64, Effect>,
    last: u64,
    /// The last edge of each seat.
    edges: HashMap<usize, bool>,
    /// When somebody was meant to come or go, until the next time.
    pub(super) expected: HashMap<(usize, bool), Instant>,
    flights: VecDeque<Flight>,
    first_flight: u32,
}

impl Room {
    pub(super) fn new(id: i64) -> Self {
        Self {
            id,
            epoch: String::new(),
            members: Vec::new(),
            readers: 0,
            seats: HashMap::new(),
            ours: Seats::default(),
            present: Seats::default(),
            effects: HashMap::new(),
            last: 0,
            edges: HashMap::new(),
            expected: HashMap::new(),
            flights: VecDeque::new(),
            first_flight: 0,
        }
    }

    pub(super) fn seat(&mut self, user: i64) -> usize {
        let next = self.seats.len();
        *self.seats.entry(user).or_insert(next)
    }

    /// Who sits on `seat`, for people to read.
    pub(super) fn user(&self, seat: usize) -> i64 {
        self.seats.iter().find(|(_, other)| **other == seat).map_or(0, |(user, _)| *user)
    }

    /// The picture as the server draws it.
    pub(super) fn picture(&mut self, picture: &RoomPicture) -> Option<Seats> {
        let mut seats = Seats::default();
        for member in picture.members.as_ref()? {
            seats.set(self.seat(member.id), member.online);
        }
        Some(seats)
    }

    /// The event at `off` has come to somebody.
    pub(super) fn seen(&mut self, off: u64) {
        if off > self.last + 1 {
            // Nobody was there to see what came before: what the last edges were is not known.
            self.edges.clear();
        }
        self.last = self.last.max(off);
    }

    /// What the event at `off` does. It is read once, whoever hears it; and once an edge is checked against the last
    /// one of the same user.
    pub(super) fn effect(&mut self, off: u64, message: &[u8], faults: &mut Faults) -> Effect {
        if let Some(known) = self.effects.get(&off) {
            return Rc::clone(known);
        }
        let change = Change::read(message).unwrap_or_else(|error| {
            faults.add(Kind::Broken, 1, || format!("offset {off} of room:{} can't be read: {error}", self.id));
            Change::None
        });
        self.seen(off);
        let mut effect = Vec::new();
        let edge = |room: &mut Self, user, online, faults: &mut Faults| {
            let seat = room.seat(user);
            if room.edges.insert(seat, online) == Some(online) {
                let word = if online { "online" } else { "offline" };
                faults.add(Kind::DoubledPresence, 1, || {
                    format!("user {user} went {word} twice in a row, the second time at room:{} offset {off}", room.id)
                });
            }
            (seat, online)
        };
        match change {
            Change::Online(OfUser { user }) => effect.push(edge(self, user, true, faults)),
            Change::Offline(OfUser { user }) => effect.push(edge(self, user, false, faults)),
            Change::Batch(Batch { online, offline }) => {
                effect.extend(offline.iter().map(|of| edge(self, of.user, false, faults)));
                effect.extend(online.iter().map(|of| edge(self, of.user, true, faults)));
            }
            Change::Entered(Entry { member }) => {
                let seat = self.seat(member.id);
                self.edges.remove(&seat);
                effect.push((seat, member.online));
            }
            Change::Exited(OfUser { user }) => {
                let seat = self.seat(user);
                self.edges.remove(&seat);
                effect.push((seat, false));
            }
            Change::None => {}
        }
        let effect: Effect = effect.into();
        if self.effects.len() as u64 > 2 * REMEMBERED {
            let oldest = self.last.saturating_sub(REMEMBERED);
            self.effects.retain(|off, _| *off >= oldest);
        }
        self.effects.insert(off, Rc::clone(&effect));
        effect
    }

    /// A word sets out; its number. Unless it is loose, everybody who reads must get it.
    pub(super) fn launch(&mut self, intended: Instant, loose: bool) -> u32 {
        while loose && self.flights.len() >= LOOSE {
            self.flights.pop_front();
            self.first_flight = self.first_flight.wrapping_add(1);
        }
        let number = self.first_flight.wrapping_add(u32::try_from(self.flights.len()).unwrap_or(0));
        self.flights.push_back(Flight { intended, left: (!loose).then_some(self.readers) });
        number
    }

    /// A word has come to somebody: when it was meant to set out, and whether everybody has it now.
    pub(super) fn land(&mut self, number: u32) -> Option<(Instant, bool)> {
        let index = usize::try_from(number.wrapping_sub(self.first_flight)).ok()?;
        let flight = self.flights.get_mut(index)?;
        flight.left = flight.left.map(|left| left.saturating_sub(1));
        let landed = (flight.intended, flight.left == Some(0));
        while self.flights.pop_front_if(|flight| flight.left == Some(0)).is_some() {
            self.first_flight = self.first_flight.wrapping_add(1);
        }
        Some(landed)
    }

    /// Words that are under way, with the number of those who have not got them.
    pub(super) fn missing(&self) -> impl Iterator<Item = (u32, usize)> {
        let numbered = (0..).map(|index: u32| self.first_flight.wrapping_add(index)).zip(&self.flights);
        numbered.filter_map(|(number, flight)| Some((number, flight.left.filter(|left| *left > 0)?)))
    }
}
