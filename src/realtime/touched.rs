//! Whose timers have to be looked at anew: a set that wakes whoever waits for it.

use std::{collections::HashSet, sync::PoisonError};

use entity::AccountId;
use tokio::sync::Notify;

/// Accounts whose timer somebody has to look at anew.
#[derive(Debug, Default)]
pub struct Touched {
    accounts: std::sync::Mutex<HashSet<AccountId>>,
    wake: Notify,
}

impl Touched {
    /// Adds accounts.
    pub fn touch(&self, accounts: impl IntoIterator<Item = AccountId>) {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner).extend(accounts);
        self.wake.notify_one();
    }

    /// Waits until there are some.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Whether `account` is among them.
    pub fn contains(&self, account: AccountId) -> bool {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner).contains(&account)
    }

    /// Takes them all.
    pub fn take(&self) -> HashSet<AccountId> {
        std::mem::take(&mut *self.accounts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
