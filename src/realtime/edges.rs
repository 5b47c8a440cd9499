//! One lock a user, under which an edge is decided and told: two edges of one user can't overtake each other.
//!
//! Promises that a lock exists only while somebody holds it or waits for it.

use std::sync::Arc;

use dashmap::DashMap;
use entity::AccountId;
use tokio::sync::{Mutex, OwnedMutexGuard};

type Locks = Arc<DashMap<AccountId, Arc<Mutex<()>>>>;

/// All locks.
#[derive(Debug, Default)]
pub struct Edges(Locks);

/// Holds everybody else off an edge of one user.
#[derive(Debug)]
pub struct EdgeLock {
    held: Option<OwnedMutexGuard<()>>,
    locks: Locks,
    user: AccountId,
}

impl Edges {
    /// Waits for the lock of `user`.
    pub async fn lock(&self, user: AccountId) -> EdgeLock {
        let lock = Arc::clone(&self.0.entry(user).or_default());
        EdgeLock { held: Some(lock.lock_owned().await), locks: Arc::clone(&self.0), user }
    }

    /// The lock of `user`, if nobody holds it or waits for it.
    pub fn try_lock(&self, user: AccountId) -> Option<EdgeLock> {
        let lock = Arc::clone(&self.0.entry(user).or_default());
        // Also one that is not held: whoever held it may just have left it to this one to remove.
        let lock = EdgeLock { held: lock.try_lock_owned().ok(), locks: Arc::clone(&self.0), user };
        lock.held.is_some().then_some(lock)
    }
}

impl EdgeLock {
    /// Whose it is.
    pub fn user(&self) -> AccountId {
        self.user
    }
}

impl Drop for EdgeLock {
    fn drop(&mut self) {
        self.held = None;
        self.locks.remove_if(&self.user, |_, lock| Arc::strong_count(lock) == 1);
    }
}
