//! The verdicts: each event in its place, and at rest everybody where everybody else is and with a true picture.

use std::collections::HashMap;

use super::{
    crowd::{Crowd, Person},
    faults::{Faults, Kind},
};
use crate::realtime::protocol::Channel;

/// Offsets of one gap that are remembered, to tell what is late from what is lost.
const REMEMBERED: usize = 1000;

impl Crowd {
    /// Whether the event at `off` is the next one; if not, what that means.
    pub(super) fn in_place(&mut self, who: usize, user: i64, channel: Channel, last: u64, off: u64) -> bool {
        if off == last + 1 {
            return true;
        }
        if off > last {
            let missing = off - last - 1;
            self.faults.add(Kind::Lost, missing, || {
                format!("user {user} never got offset {} of {channel}; offset {off} followed {last}", last + 1)
            });
            self.gaps.extend((last + 1..off).take(REMEMBERED).map(|missing| (who, channel, missing)));
            return true;
        }
        if let Some(index) = self.gaps.iter().position(|gap| *gap == (who, channel, off)) {
            self.gaps.swap_remove(index);
            self.faults.retract(Kind::Lost);
            self.faults.add(Kind::Disordered, 1, || format!("user {user} got offset {off} of {channel} after {last}"));
            return true;
        }
        self.faults.add(Kind::Doubled, 1, || format!("user {user} got offset {off} of {channel} again after {last}"));
        false
    }

    /// What is not as it is at rest: words under way, people who stand behind others, pictures that are not the truth.
    pub(super) fn unrest<'a>(&mut self, people: impl Iterator<Item = &'a Person>) -> Faults {
        let mut wrong = Faults::default();
        for room in &self.rooms {
            for (number, left) in room.missing() {
                wrong.add(Kind::Lost, left as u64, || {
                    format!("word {number} in room:{} never came to {left} of {} members", room.id, room.readers)
                });
            }
        }
        let mut furthest: HashMap<usize, u64> = HashMap::new();
        let reading: Vec<_> = people.filter(|person| person.present && !person.deaf).collect();
        for person in &reading {
            if person.asked > 0 {
                wrong.add(Kind::Unfinished, 1, || format!("user {} has asked and got no answer", person.user));
            }
            if let (Some(room), Some(off)) = (person.room, person.in_room) {
                let last = furthest.entry(room).or_default();
                *last = (*last).max(off);
            }
        }
        for person in reading {
            let (Some(index), Some(off)) = (person.room, person.in_room) else { continue };
            let Some(room) = self.rooms.get(index) else { continue };
            let last = furthest.get(&index).copied().unwrap_or(off);
            if off < last {
                wrong.add(Kind::Lost, last - off, || {
                    format!("user {} stands at offset {off} of room:{} and others at {last}", person.user, room.id)
                });
            }
            let Some(sees) = &person.sees else { continue };
            for seat in sees.differences(&room.present, &room.ours) {
                wrong.add(Kind::WrongPresence, 1, || {
                    let (sees, truth) = if sees.has(seat) { ("there", "gone") } else { ("gone", "there") };
                    let other = room.user(seat);
                    format!("user {} sees user {other} of room:{} as {sees}, who is {truth}", person.user, room.id)
                });
            }
        }
        wrong
    }
}
