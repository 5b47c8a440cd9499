//! Presence of large rooms, merged: many edges in one event.
//!
//! Promises that a room is told at the latest after its delay, or again if that went wrong, and of each user only the last
//! edge. A pair that leads
//! back to where it began is told as well: whoever read the room's picture between the two edges would otherwise keep
//! the wrong one. It does not sleep or send.

use std::{collections::HashMap, time::Duration};

use entity::{AccountId, Millis, RoomId};

use super::{
    presence::Edge,
    protocol::{
        Event,
        events::{OfflineView, OnlineView},
    },
};
use crate::clock;

/// How long a room of so many seats may wait for more; `None` tells each edge at once.
pub fn delay(seats: u64) -> Option<Duration> {
    match seats {
        0..=50 => None,
        51..=500 => Some(Duration::from_millis(250)),
        _ => Some(Duration::from_secs(1)),
    }
}

/// The last edge of each user.
pub type LastEdges = HashMap<AccountId, Edge>;

#[derive(Debug)]
struct Pending {
    due: Millis,
    edges: LastEdges,
}

/// Rooms with edges that wait.
#[derive(Debug, Default)]
pub struct Merge {
    rooms: HashMap<RoomId, Pending>,
}

impl Merge {
    /// Adds an edge of `user`, to be told `delay` after the room's first.
    pub fn add(&mut self, room: RoomId, user: AccountId, edge: Edge, now: Millis, delay: Duration) {
        let fresh = || Pending { due: clock::after(now, delay), edges: LastEdges::new() };
        let pending = self.rooms.entry(room).or_insert_with(fresh);
        pending.edges.insert(user, edge);
    }

    /// Takes the rooms whose time has come, with what is to be told there.
    pub fn due(&mut self, now: Millis) -> Vec<(RoomId, LastEdges)> {
        let due: Vec<_> = self.rooms.iter().filter(|(_, pending)| pending.due <= now).map(|(room, _)| *room).collect();
        due.into_iter().filter_map(|room| Some((room, self.rooms.remove(&room)?.edges))).collect()
    }

    /// Takes back what could not be told, to be told `delay` after `now`. What has come since counts.
    pub fn put_back(&mut self, room: RoomId, edges: LastEdges, now: Millis, delay: Duration) {
        let fresh = || Pending { due: clock::after(now, delay), edges: LastEdges::new() };
        let pending = self.rooms.entry(room).or_insert_with(fresh);
        for (user, edge) in edges {
            pending.edges.entry(user).or_insert(edge);
        }
    }
}

/// The event that tells `edges`.
pub fn batch(edges: &LastEdges) -> Event {
    let (mut online, mut offline) = (Vec::new(), Vec::new());
    for (user, edge) in edges {
        match *edge {
            Edge::Online { since } => online.push(OnlineView { user: user.0, since: since.0 }),
            Edge::Offline { at, reason } => offline.push(OfflineView { user: user.0, at: at.0, reason }),
        }
    }
    online.sort_unstable_by_key(|view| view.user);
    offline.sort_unstable_by_key(|view| view.user);
    Event::PresenceBatch { online, offline }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::realtime::protocol::events::OfflineReason;

    const ROOM: RoomId = RoomId(1);
    const DELAY: Duration = Duration::from_millis(250);
    const OFF: Edge = Edge::Offline { at: Millis(3), reason: OfflineReason::Disconnected };

    fn told(merge: &mut Merge, now: i64) -> Vec<String> {
        merge.due(Millis(now)).iter().map(|(_, edges)| serde_json::to_string(&batch(edges)).unwrap()).collect()
    }

    #[test]
    fn edges_wait_for_each_other() {
        let mut merge = Merge::default();
        merge.add(ROOM, AccountId(8), Edge::Online { since: Millis(1) }, Millis(1), DELAY);
        merge.add(ROOM, AccountId(7), OFF, Millis(200), DELAY);
        assert!(told(&mut merge, 250).is_empty());
        assert_eq!(
            told(&mut merge, 251),
            [
                r#"{"ev":"presence.batch","d":{"online":[{"user":8,"since":1}],"offline":[{"user":7,"at":3,"reason":"disconnected"}]}}"#
            ]
        );
        assert!(told(&mut merge, 9999).is_empty(), "once");
    }

    #[test]
    fn of_each_user_the_last_edge_is_told() {
        let mut merge = Merge::default();
        merge.add(ROOM, AccountId(8), Edge::Online { since: Millis(1) }, Millis(1), DELAY);
        merge.add(ROOM, AccountId(8), OFF, Millis(2), DELAY);
        assert_eq!(
            told(&mut merge, 9999),
            [r#"{"ev":"presence.batch","d":{"online":[],"offline":[{"user":8,"at":3,"reason":"disconnected"}]}}"#]
        );
    }

    #[test]
    fn what_could_not_be_told_is_told_later_and_does_not_undo_what_came_since() {
        let mut merge = Merge::default();
        merge.add(ROOM, AccountId(7), OFF, Millis(1), DELAY);
        merge.add(ROOM, AccountId(8), OFF, Millis(1), DELAY);
        let (room, edges) = merge.due(Millis(251)).pop().unwrap();
        merge.add(ROOM, AccountId(8), Edge::Online { since: Millis(252) }, Millis(252), DELAY);
        merge.put_back(room, edges, Millis(260), DELAY);
        assert!(told(&mut merge, 501).is_empty());
        assert_eq!(
            told(&mut merge, 502),
            [
                r#"{"ev":"presence.batch","d":{"online":[{"user":8,"since":252}],"offline":[{"user":7,"at":3,"reason":"disconnected"}]}}"#
            ]
        );
        merge.put_back(ROOM, LastEdges::from([(AccountId(7), OFF)]), Millis(600), DELAY);
        assert_eq!(told(&mut merge, 850).len(), 1, "where nothing else waits");
    }
}
