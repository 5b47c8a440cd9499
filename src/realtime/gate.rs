//! What comes for a channel while its state is being read.

use std::sync::Arc;

use entity::AccountId;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{broker::Delivery, protocol::Channel};

/// A closed gate. Whoever closed it opens it at the place where the state stands.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) channel: Channel,
    pub(super) held: Vec<Arc<Delivery>>,
    /// Derived states, the last of each user; they follow what is held.
    pub(super) derived: Vec<(AccountId, Utf8Bytes)>,
    /// Something may be missing: a state that was read before counts for nothing.
    pub(super) stale: bool,
}

impl Gate {
    pub(super) fn new(channel: Channel) -> Self {
        Self { channel, held: Vec::new(), derived: Vec::new(), stale: false }
    }
}
