//! A lobby's view of rooms: counts only, at most once a second, shared by all who watch.

use entity::RoomId;
use serde::Serialize;
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

impl Connection {
    /// Watches `rooms` instead of those watched before.
    pub(super) async fn watch(&mut self, id: Option<u32>, rooms: Vec<i64>) -> Result<Frame> {
        if rooms.len() > MOST_WATCHED {
            let error = FieldError::new("rooms", ErrorCode::OutOfRange).with("min", 0).with("max", MOST_WATCHED);
            return Err(Error::fields(vec![error]));
        }
        let watched: Vec<_> = rooms.into_iter().map(RoomId).collect();
        let counts = self.counts(&watched).await?;
        self.lobby = counts.iter().map(|count| (RoomId(count.id), Some(*count))).collect();
        Ok(frames::ok(id, &CountsView { rooms: counts }))
    }

    /// Tells the counts that have changed since they were told.
    pub(super) async fn tell_lobby(&mut self) {
        let watched: Vec<_> = self.lobby.keys().copied().collect();
        let counts = match self.counts(&watched).await {
            Ok(counts) => counts,
            Err(error) => {
                tracing::warn!(%error, "counting for a lobby");
                return;
            }
        };
        let mut changed = Vec::new();
        for count in counts {
            let told = self.lobby.entry(RoomId(count.id)).or_default();
            if *told != Some(count) {
                *told = Some(count);
                changed.push(count);
            }
        }
        if !changed.is_empty() {
            self.write([frames::push("room.counts", &CountsView { rooms: changed })]);
        }
    }

    /// Counts of rooms, shared by all who watch them, at most a second old.
    pub(super) async fn counts(&mut self, watched: &[RoomId]) -> Result<Vec<CountView>> {
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
