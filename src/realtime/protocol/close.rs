//! Why a socket is closed. The number tells a client whether to come back.

use serde::{Deserialize, Deserializer, Serialize, de};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema, Type, schema::ObjectBuilder},
};

/// 4000–4499: reconnect with full jitter. 4500–4999: do not. 1009 is WebSocket's own (RFC 6455, section 7.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum CloseReason {
    /// The client said goodbye first.
    Normal = 1000,
    /// A frame was larger than allowed.
    TooBig = 1009,
    /// This instance is being replaced.
    Draining = 4001,
    /// Something broke on the server.
    ServerError = 4002,
    /// The token expired and was not refreshed.
    TokenExpired = 4003,
    /// The client reads slower than its events arrive.
    Slow = 4004,
    /// A heartbeat was not answered.
    NoAnswer = 4006,
    /// Too many messages, and not for the first time.
    Rate = 4007,
    /// This instance holds as many connections as it can.
    Overloaded = 4009,
    /// No token came in time.
    AuthTimeout = 4010,
    /// The token is no good.
    Unauthorized = 4500,
    /// What came is not this protocol.
    BadProtocol = 4501,
    /// The session has ended.
    SessionEnded = 4503,
    /// A newer device took this one's place.
    Replaced = 4504,
    /// The account is gone.
    AccountDeleted = 4505,
    /// The client asked for a version that is not spoken here.
    Version = 4506,
}

impl CloseReason {
    /// Every reason of this protocol.
    pub const ALL: &'static [Self] = &[
        Self::Normal,
        Self::TooBig,
        Self::Draining,
        Self::ServerError,
        Self::TokenExpired,
        Self::Slow,
        Self::NoAnswer,
        Self::Rate,
        Self::Overloaded,
        Self::AuthTimeout,
        Self::Unauthorized,
        Self::BadProtocol,
        Self::SessionEnded,
        Self::Replaced,
        Self::AccountDeleted,
        Self::Version,
    ];

    /// What it means, for a document.
    pub fn about(self) -> &'static str {
        match self {
            Self::Normal => "The client said goodbye first.",
            Self::TooBig => "A frame was larger than allowed.",
            Self::Draining => "This instance is being replaced: come back after `reconnect_ms`.",
            Self::ServerError => "Something broke on the server.",
            Self::TokenExpired => "The token expired and was not refreshed.",
            Self::Slow => "The client reads slower than its events arrive.",
            Self::NoAnswer => "A heartbeat was not answered.",
            Self::Rate => "Too many messages, and not for the first time.",
            Self::Overloaded => "This instance holds as many connections as it can.",
            Self::AuthTimeout => "No token came in time.",
            Self::Unauthorized => "The token is no good.",
            Self::BadProtocol => "What came is not this protocol.",
            Self::SessionEnded => "The session has ended.",
            Self::Replaced => "A newer device took this one's place.",
            Self::AccountDeleted => "The account is gone.",
            Self::Version => "The client asked for a version that is not spoken here.",
        }
    }

    /// Whether a client should come back.
    pub fn is_passing(self) -> bool {
        (4000..4500).contains(&self.code())
    }

    /// The number in the close frame.
    pub fn code(self) -> u16 {
        self as u16
    }

    /// The word in `bye` and in the close frame.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::TooBig => "too_big",
            Self::Draining => "draining",
            Self::ServerError => "server_error",
            Self::TokenExpired => "token_expired",
            Self::Slow => "slow",
            Self::NoAnswer => "no_answer",
            Self::Rate => "rate",
            Self::Overloaded => "overloaded",
            Self::AuthTimeout => "auth_timeout",
            Self::Unauthorized => "unauthorized",
            Self::BadProtocol => "bad_protocol",
            Self::SessionEnded => "session_ended",
            Self::Replaced => "replaced",
            Self::AccountDeleted => "account_deleted",
            Self::Version => "version",
        }
    }
}

impl PartialSchema for CloseReason {
    fn schema() -> RefOr<Schema> {
        let words = Self::ALL.iter().map(|reason| reason.as_str());
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words)).into()
    }
}

impl ToSchema for CloseReason {}

impl Serialize for CloseReason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for CloseReason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        let found = Self::ALL.iter().find(|reason| reason.as_str() == word).copied();
        found.ok_or_else(|| de::Error::custom(format!("{word:?} is no reason to close")))
    }
}
