//! The wire, and only the wire: what `solgik.v1` says and how it is spelled.
//!
//! Promises that every frame that leaves or enters a socket has its type here. Nothing in here decides anything.

pub mod close;
pub mod events;
pub mod frame;
pub mod frames;
pub mod ops;

use std::{fmt, str::FromStr, sync::Arc};

use entity::{AccountId, RoomId};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema, Type, schema::ObjectBuilder},
};

pub use close::CloseReason;
pub use events::Event;
pub use frame::Frame;

/// The subprotocol's name.
pub const SUBPROTOCOL: &str = "solgik.v1";

/// Where an event has its place. Written `user:9` or `room:42`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// What concerns one user, on all devices.
    User(AccountId),
    /// What the members of a room see.
    Room(RoomId),
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "user:{id}"),
            Self::Room(id) => write!(f, "room:{id}"),
        }
    }
}

impl FromStr for Channel {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, id) = text.split_once(':').ok_or("a channel is written kind:id")?;
        let id = id.parse().map_err(|_| "a channel's id is a number")?;
        match kind {
            "user" => Ok(Self::User(AccountId(id))),
            "room" => Ok(Self::Room(RoomId(id))),
            _ => Err("a channel's kind is user or room"),
        }
    }
}

impl PartialSchema for Channel {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^(user|room):[0-9]+$"));
        text.examples(["room:42"]).into()
    }
}

impl ToSchema for Channel {}

impl Serialize for Channel {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Channel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A place in a channel: the events up to and including `off` of this `epoch`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Place {
    /// Changes when the channel's numbering begins anew.
    #[schema(value_type = String)]
    pub epoch: Arc<str>,
    /// The last event; 0 before the first.
    pub off: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_read_as_it_is_written() {
        for text in ["user:9", "room:42"] {
            assert_eq!(text.parse::<Channel>().unwrap().to_string(), text);
        }
        for text in ["", "user", "user:", "user:x", "lobby:1", "room:1:2"] {
            assert!(text.parse::<Channel>().is_err(), "{text:?}");
        }
    }
}
