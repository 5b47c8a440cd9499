//! Typed ids and instants, so that a room's number can't be passed where an account's is meant.

use std::fmt;

use sea_orm::DeriveValueType;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, DeriveValueType)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

ids! {
    /// A person's account; the wire calls it `user`.
    AccountId;
    /// A signed-in device of an account.
    SessionId;
    /// A study room.
    RoomId;
    /// A key printed on a device.
    ProductKeyId;
    /// A row of the outbox. Within one channel these ascend in the order of the commits.
    OutboxId;
    /// A started timer.
    RunId;
    /// A line of the ledger.
    SegmentId;
    /// An instant: milliseconds since 1970-01-01T00:00:00Z.
    Millis;
}
