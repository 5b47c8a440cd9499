//! A lobby's view of rooms: counts only, at most once a second, shared by all who watch.

use std::{collections::BTreeMap, time::Duration};

use entity::RoomId;
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::connection::Connection;
use crate::{
    error::{Error, ErrorCode, FieldError, Result},
    realtime::protocol::{Frame, events::CountView, frames},
    rooms,
};

/// Rooms that one connection may watch.
const MOST_WATCHED: usize = 100;

/// Counts, in `room.counts` and in the answer to `room.watch`.
#[derive(Serialize, ToSchema)]
pub(super) struct CountsView {
    rooms: Vec<CountView>,
}

/// How often the counts are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What one connection watches.
#[derive(Debug)]
pub(super) struct Lobby {
    /// What was told last of each room.
    told: BTreeMap<RoomId, CountView>,
    /// When it is looked at next.
    pub(super) look_at: Instant,
}

impl Connection {
    /// Watches `rooms` instead of those watched before.
    pub(super) async fn watch(&mut self, id: Option<u32>, rooms: Vec<i64>) -> Result<Frame> {
        if rooms.len() > MOST_WATCHED {
            let error = FieldError::new("rooms", ErrorCode::OutOfRange).with("min", 0).with("max", MOST_WATCHED);
            return Err(Error::fields(vec![error]));
        }
        let watched: Vec<_> = rooms.into_iter().map(RoomId).collect();
        let counts = self.counts(&watched).await?;
        let told: BTreeMap<_, _> = counts.iter().map(|count| (RoomId(count.id), *count)).collect();
        self.lobby = (!told.is_empty()).then(|| Box::new(Lobby { told, look_at: Instant::now() + LOOK }));
        Ok(frames::ok(id, &CountsView { rooms: counts }))
    }

    /// Tells the counts that have changed since they were told, if it is time.
    pub(super) async fn look_at_lobby(&mut self, now: Instant) {
        let Some(lobby) = self.lobby.as_mut().filter(|lobby| lobby.look_at <= now) else { return };
        lobby.look_at = now + LOOK;
        let watched: Vec<_> = lobby.told.keys().copied().collect();
        let counts = match self.counts(&watched).await {
            Ok(counts) => counts,
            Err(error) => {
                tracing::warn!(%error, "counting for a lobby");
                return;
            }
        };
        let Some(lobby) = &mut self.lobby else { return };
        let is_new = |count: &CountView| lobby.told.insert(RoomId(count.id), *count) != Some(*count);
        let changed: Vec<_> = counts.into_iter().filter(is_new).collect();
        if !changed.is_empty() {
            self.write([frames::push("room.counts", &CountsView { rooms: changed })]);
        }
    }

    /// Counts of rooms, shared by all who watch them, at most a second old.
    async fn counts(&self, watched: &[RoomId]) -> Result<Vec<CountView>> {
        let lobby = &self.app.lobby;
        let unknown: Vec<_> = watched.iter().copied().filter(|room| !lobby.contains_key(room)).collect();
        let mut fresh = rooms::counts(&self.app, &unknown).await?;
        for count in &fresh {
            lobby.insert(RoomId(count.id), *count);
        }
        fresh.extend(watched.iter().filter(|room| !unknown.contains(room)).filter_map(|room| lobby.get(room)));
        fresh.sort_unstable_by_key(|count| count.id);
        Ok(fresh)
    }
}
