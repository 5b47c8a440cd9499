//! Outgoing frames, each encoded once and shared by everyone who gets it.

use entity::Millis;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{Channel, CloseReason, Frame};
use crate::{
    error::{Error, ErrorCode, FieldErrorView},
    locale::Locale,
};

/// The heartbeat, and its answer.
pub const HEARTBEAT: &str = "{}";

#[derive(Serialize)]
struct EventFrame<'a> {
    ch: Channel,
    off: u64,
    ev: &'a str,
    at: i64,
    d: &'a RawValue,
}

/// An event at its place.
pub fn event(channel: Channel, off: u64, at: Millis, ev: &str, d: &RawValue) -> Frame {
    encode(&EventFrame { ch: channel, off, ev, at: at.0, d })
}

/// An event without a place, with an id that is the same wherever it is computed.
pub fn derived(channel: Channel, eid: &str, at: Millis, ev: &str, d: &RawValue) -> Frame {
    #[derive(Serialize)]
    struct Envelope<'a> {
        ch: Channel,
        eid: &'a str,
        ev: &'a str,
        at: i64,
        d: &'a RawValue,
    }
    encode(&Envelope { ch: channel, eid, ev, at: at.0, d })
}

/// Keeps the place of an event that a later one has made pointless, so that offsets stay without a gap.
pub fn superseded(channel: Channel, off: u64) -> Frame {
    #[derive(Serialize)]
    struct Envelope {
        ch: Channel,
        off: u64,
        ev: &'static str,
    }
    encode(&Envelope { ch: channel, off, ev: "superseded" })
}

/// A push without a place: `hello`, `bye`, `room.counts`.
pub fn push(ev: &'static str, d: &impl Serialize) -> Frame {
    #[derive(Serialize)]
    struct Envelope<'a, T> {
        ev: &'static str,
        d: &'a T,
    }
    encode(&Envelope { ev, d })
}

/// The whole state of a channel.
pub fn snapshot(channel: Channel, at: Millis, d: &impl Serialize) -> Frame {
    #[derive(Serialize)]
    struct Envelope<'a, T> {
        ch: Channel,
        ev: &'static str,
        at: i64,
        d: &'a T,
    }
    encode(&Envelope { ch: channel, ev: "snapshot", at: at.0, d })
}

/// The content of `bye`.
#[derive(Serialize, ToSchema)]
#[allow(missing_docs)]
pub struct ByeView {
    pub code: u16,
    pub reason: CloseReason,
    /// After which time to come back.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reconnect_ms: Option<u32>,
}

/// The last frame before a close.
pub fn bye(reason: CloseReason, reconnect_ms: Option<u32>) -> Frame {
    push("bye", &ByeView { code: reason.code(), reason, reconnect_ms })
}

/// The answer to a request that was carried out.
pub fn ok(id: Option<u32>, d: &impl Serialize) -> Frame {
    #[derive(Serialize)]
    struct Envelope<'a, T> {
        id: Option<u32>,
        ok: &'a T,
    }
    encode(&Envelope { id, ok: d })
}

/// Why a request was refused.
#[derive(Serialize, ToSchema)]
#[allow(missing_docs)]
pub struct ErrView {
    pub code: ErrorCode,
    /// For a person.
    pub message: String,
    /// When it is worth trying again.
    #[schema(required)]
    pub retry_ms: Option<u64>,
    /// What fills the sentence.
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    #[schema(value_type = Object)]
    pub params: serde_json::Map<String, serde_json::Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldErrorView>,
}

/// The answer to a request that was refused.
pub fn err(id: Option<u32>, error: &Error, locale: Locale) -> Frame {
    #[derive(Serialize)]
    struct Envelope {
        id: Option<u32>,
        err: ErrView,
    }
    let refusal = match error {
        Error::Refused(refusal) => (**refusal).clone(),
        Error::Internal(_) => ErrorCode::Internal.into(),
    };
    let err = ErrView {
        code: refusal.code,
        message: refusal.code.sentence(locale, &refusal.params),
        retry_ms: refusal.retry_after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
        errors: refusal.fields.iter().map(|field| field.view(locale)).collect(),
        params: refusal.params,
    };
    encode(&Envelope { id, err })
}

fn encode(frame: &impl Serialize) -> Frame {
    // Our own types always encode; an empty object is the harmless heartbeat.
    serde_json::to_string(frame).unwrap_or_else(|_| HEARTBEAT.to_owned()).into()
}

#[cfg(test)]
mod tests {
    use entity::{AccountId, RoomId};

    use super::*;

    #[test]
    fn frames_are_spelled_as_the_protocol_says() {
        let d = RawValue::from_string(r#"{"user":9}"#.to_owned()).unwrap();
        assert_eq!(
            event(Channel::Room(RoomId(42)), 1042, Millis(1_758_300_000_123), "room.exited", &d).as_str(),
            r#"{"ch":"room:42","off":1042,"ev":"room.exited","at":1758300000123,"d":{"user":9}}"#
        );
        assert_eq!(superseded(Channel::User(AccountId(9)), 3).as_str(), r#"{"ch":"user:9","off":3,"ev":"superseded"}"#);
        assert_eq!(bye(CloseReason::Slow, None).as_str(), r#"{"ev":"bye","d":{"code":4004,"reason":"slow"}}"#);
        assert_eq!(
            err(Some(7), &ErrorCode::WrongPassword.into(), Locale::En).as_str(),
            r#"{"id":7,"err":{"code":"wrong_password","message":"The room's password is wrong.","retry_ms":null}}"#
        );
    }
}
