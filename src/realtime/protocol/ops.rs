//! What a client may ask for.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use super::Channel;
use crate::error::{Error, ErrorCode, FieldError, Result};

/// Most messages that may share one frame.
pub const MAX_PER_FRAME: usize = 16;

/// A request with the id that its answer repeats.
#[derive(Debug)]
pub struct Request {
    /// Chosen by the client; `None` when it was missing or no u32.
    pub id: Option<u32>,
    /// What is asked, or why it can't be read.
    pub op: Result<Op>,
}

/// Where a client stands in its channels.
pub type Since = HashMap<Channel, (String, u64)>;

/// The operations of the protocol.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "op", content = "d")]
#[allow(missing_docs, reason = "the fields' names are the wire's; socket.md describes them")]
pub enum Op {
    #[serde(rename = "auth")]
    Auth {
        token: String,
        #[serde(default)]
        since: Since,
        /// The language of `message`s, for clients that can't send a header.
        locale: Option<String>,
    },
    #[serde(rename = "refresh")]
    Refresh { token: String },
    #[serde(rename = "sync")]
    Sync { since: Since },
    #[serde(rename = "room.enter")]
    RoomEnter { room: i64, password: Option<String> },
    #[serde(rename = "room.leave")]
    RoomLeave {},
    #[serde(rename = "room.watch")]
    RoomWatch { rooms: Vec<i64> },
    #[serde(rename = "room.unwatch")]
    RoomUnwatch {},
    #[serde(rename = "goal.set")]
    GoalSet { text: Option<String> },
    #[serde(rename = "room.cheer")]
    RoomCheer { text: String },
    #[serde(rename = "friend.request")]
    FriendRequest { user: i64 },
    #[serde(rename = "friend.cancel")]
    FriendCancel { user: i64 },
    #[serde(rename = "friend.accept")]
    FriendAccept { user: i64 },
    #[serde(rename = "friend.reject")]
    FriendReject { user: i64 },
    #[serde(rename = "friend.remove")]
    FriendRemove { user: i64 },
    #[serde(rename = "whoami")]
    Whoami {},
}

const OPS: &[&str] = &[
    "auth",
    "refresh",
    "sync",
    "room.enter",
    "room.leave",
    "room.watch",
    "room.unwatch",
    "goal.set",
    "room.cheer",
    "friend.request",
    "friend.cancel",
    "friend.accept",
    "friend.reject",
    "friend.remove",
    "whoami",
];

/// One message of a frame.
#[derive(Debug)]
pub enum Incoming {
    /// The answer to a heartbeat.
    Alive,
    /// Something is asked.
    Request(Request),
}

/// What came is not JSON, or more of it than allowed: the socket closes with 4501.
#[derive(Debug, PartialEq, Eq)]
pub struct NotThisProtocol;

/// Reads a frame: one message a line, at most [`MAX_PER_FRAME`].
pub fn parse_frame(text: &str) -> Result<Vec<Incoming>, NotThisProtocol> {
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    if lines.is_empty() || lines.len() > MAX_PER_FRAME {
        return Err(NotThisProtocol);
    }
    lines.into_iter().map(parse_message).collect()
}

fn parse_message(line: &str) -> Result<Incoming, NotThisProtocol> {
    let message: Value = serde_json::from_str(line).map_err(|_| NotThisProtocol)?;
    let Value::Object(mut message) = message else {
        return Ok(Incoming::Request(Request { id: None, op: Err(ErrorCode::MalformedMessage.into()) }));
    };
    if message.is_empty() {
        return Ok(Incoming::Alive);
    }
    let id = message.get("id").and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok());
    let id_is_bad = message.get("id").is_some_and(|given| !given.is_null()) && id.is_none();
    let op = match message.get("op") {
        _ if id_is_bad => Err(Error::fields(vec![FieldError::new("id", ErrorCode::WrongType)])),
        Some(Value::String(op)) if !OPS.contains(&op.as_str()) => Err(ErrorCode::UnknownOp.into()),
        Some(Value::String(_)) => {
            // An operation without arguments may leave `d` out.
            if message.get("d").is_none_or(Value::is_null) {
                message.insert("d".to_owned(), Value::Object(serde_json::Map::new()));
            }
            serde_json::from_value(Value::Object(message))
                .map_err(|error| Error::from(ErrorCode::MalformedMessage).with("reason", error.to_string()))
        }
        _ => Err(ErrorCode::MalformedMessage.into()),
    };
    Ok(Incoming::Request(Request { id, op }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Request {
        match parse_frame(text).unwrap().remove(0) {
            Incoming::Request(request) => request,
            Incoming::Alive => panic!("a heartbeat"),
        }
    }

    #[test]
    fn an_operation_is_read_with_its_id_and_unknown_fields_are_ignored() {
        let request = one(r#"{"id":7,"op":"room.enter","d":{"room":42,"password":"x","later":1},"more":true}"#);
        assert_eq!(request.id, Some(7));
        assert_eq!(request.op.unwrap(), Op::RoomEnter { room: 42, password: Some("x".into()) });
        assert_eq!(one(r#"{"id":1,"op":"room.leave"}"#).op.unwrap(), Op::RoomLeave {});
        let sync = one(r#"{"id":2,"op":"sync","d":{"since":{"room:42":["e",5]}}}"#).op.unwrap();
        let Op::Sync { since } = sync else { panic!() };
        assert_eq!(since[&"room:42".parse().unwrap()], ("e".to_owned(), 5));
    }

    #[test]
    fn what_is_json_but_wrong_is_answered_and_never_closes() {
        for (text, code) in [
            ("7", ErrorCode::MalformedMessage),
            ("[]", ErrorCode::MalformedMessage),
            ("null", ErrorCode::MalformedMessage),
            (r#"{"id":1}"#, ErrorCode::MalformedMessage),
            (r#"{"id":1,"op":7}"#, ErrorCode::MalformedMessage),
            (r#"{"id":1,"op":"fly"}"#, ErrorCode::UnknownOp),
            (r#"{"id":-1,"op":"whoami"}"#, ErrorCode::WrongType),
            (r#"{"id":"x","op":"whoami"}"#, ErrorCode::WrongType),
            (r#"{"id":4294967296,"op":"whoami"}"#, ErrorCode::WrongType),
            (r#"{"id":1,"op":"room.enter"}"#, ErrorCode::MalformedMessage),
            (r#"{"id":1,"op":"room.enter","d":[]}"#, ErrorCode::MalformedMessage),
            (r#"{"id":1,"op":"room.enter","d":{"room":"x"}}"#, ErrorCode::MalformedMessage),
            (r#"{"id":1,"op":"sync","d":{"since":{"lobby":["e",1]}}}"#, ErrorCode::MalformedMessage),
        ] {
            assert_eq!(one(text).op.unwrap_err().code(), code, "{text}");
        }
    }

    #[test]
    fn what_is_no_json_closes() {
        for text in ["", "\n", "hello", "{", r#"{"id":1"#, "\u{0}"] {
            assert_eq!(parse_frame(text).unwrap_err(), NotThisProtocol, "{text:?}");
        }
        assert!(parse_frame(&"{}\n".repeat(16)).is_ok());
        assert!(parse_frame(&"{}\n".repeat(17)).is_err());
    }

    #[test]
    fn every_operation_is_listed() {
        for op in OPS {
            let text =
                format!(r#"{{"op":"{op}","d":{{"token":"t","since":{{}},"room":1,"rooms":[1],"text":"x","user":1}}}}"#);
            assert!(one(&text).op.is_ok(), "{op}");
        }
    }
}
