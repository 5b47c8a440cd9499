//! Those who write: rooms in which something was said, handed on to their listeners, and connections with something
//! queued, flushed together.
//!
//! Promises that whatever is said within one turn of the scheduler leaves in one write a connection, that nobody who
//! says something waits for it, and that rooms are spread over as many writers as there are cores. A write that does not
//! fit is left to the connection's own task.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use entity::{AccountId, RoomId};
use tokio::{sync::Notify, task::yield_now};
use tokio_util::sync::CancellationToken;

use super::{outlet::Outlet, protocol::Channel};

/// Writes in a row, some microseconds each; then whoever else is ready has a turn.
const ROW: usize = 64;

/// All writers.
#[derive(Debug)]
pub struct Writers(Box<[Writer]>);

#[derive(Debug, Default)]
struct Writer {
    waiting: Mutex<Waiting>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Something was gathered there.
    channels: Vec<Channel>,
    outlets: Vec<Arc<Outlet>>,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.channels.is_empty() && self.outlets.is_empty()
    }
}

impl Writer {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Writers {
    fn default() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self((0..cores).map(|_| Writer::default()).collect())
    }
}

impl Writers {
    /// How many they are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Has `outlets` flushed soon. A channel has the same writer always, so that its events gather.
    pub fn add(&self, channel: Channel, outlets: impl Iterator<Item = Arc<Outlet>>) {
        self.wait(channel, |waiting| waiting.outlets.extend(outlets));
    }

    /// Has what is gathered in `channel` handed on soon.
    pub fn gather(&self, channel: Channel) {
        self.wait(channel, |waiting| waiting.channels.push(channel));
    }

    fn wait(&self, channel: Channel, add: impl FnOnce(&mut Waiting)) {
        let (Channel::User(AccountId(id)) | Channel::Room(RoomId(id))) = channel;
        let index = usize::try_from(id.unsigned_abs()).unwrap_or(0) % self.0.len().max(1);
        let Some(writer) = self.0.get(index) else { return };
        let mut waiting = writer.lock();
        let begins = waiting.is_empty();
        add(&mut waiting);
        if begins && !waiting.is_empty() {
            writer.wake.notify_one();
        }
    }

    /// Writes until `stop`; `hand_on` is what it does with a channel in which something is gathered.
    pub async fn write(&self, index: usize, stop: CancellationToken, hand_on: impl Fn(Channel)) {
        let Some(writer) = self.0.get(index) else { return };
        let mut buffer = Vec::new();
        while stop.run_until_cancelled(writer.wake.notified()).await.is_some() {
            loop {
                // Whoever else is ready may have something to say to the same connections.
                yield_now().await;
                let Waiting { channels, mut outlets } = std::mem::take(&mut *writer.lock());
                // Whoever finds that nothing waits wakes this task; until then it has to look by itself.
                if channels.is_empty() && outlets.is_empty() {
                    break;
                }
                channels.into_iter().for_each(&hand_on);
                outlets.append(&mut writer.lock().outlets);
                for row in outlets.chunks(ROW) {
                    for outlet in row {
                        outlet.flush(&mut buffer);
                    }
                    if row.len() == ROW {
                        yield_now().await;
                    }
                }
            }
        }
    }
}
