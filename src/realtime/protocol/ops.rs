//! What a client may ask for.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

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
#[derive(Clone, Debug, PartialEq, Deserialize, ToSchema)]
#[serde(tag = "op", content = "d")]
#[allow(missing_docs, reason = "the fields' names are the wire's; socket.md describes them")]
pub enum Op {
    /// Says who one is, and what one has seen already.
    #[serde(rename = "auth")]
    Auth {
        token: String,
        /// Where the client stands in its channels.
        #[serde(default)]
        #[schema(value_type = HashMap<Channel, (String, u64)>)]
        since: Since,
        /// The language of `message`s, for clients that can't send a header.
        locale: Option<String>,
    },
    /// Puts a later token of the same session in place of the present one.
    #[serde(rename = "refresh")]
    Refresh { token: String },
    /// Asks for what was missed.
    #[serde(rename = "sync")]
    Sync {
        #[schema(value_type = HashMap<Channel, (String, u64)>)]
        since: Since,
    },
    /// Takes a seat.
    #[serde(rename = "room.enter")]
    RoomEnter { room: i64, password: Option<String> },
    /// Gives the seat up.
    #[serde(rename = "room.leave")]
    RoomLeave {},
    /// Watches how many sit in other rooms, instead of those watched before.
    #[serde(rename = "room.watch")]
    RoomWatch { rooms: Vec<i64> },
    /// Watches none.
    #[serde(rename = "room.unwatch")]
    RoomUnwatch {},
    /// Starts a run: of the time setting, or of the values sent.
    #[serde(rename = "timer.start")]
    TimerStart { total_time: Option<i64>, work_time: Option<i64>, break_time: Option<i64>, cmd: Option<String> },
    /// Stands still.
    #[serde(rename = "timer.pause")]
    TimerPause { run: Option<i64>, cmd: Option<String> },
    /// Goes on.
    #[serde(rename = "timer.resume")]
    TimerResume { run: Option<i64>, cmd: Option<String> },
    /// Ends the run.
    #[serde(rename = "timer.stop")]
    TimerStop { run: Option<i64>, cmd: Option<String> },
    /// Sets what one is here for; null for nothing.
    #[serde(rename = "goal.set")]
    GoalSet { text: Option<String> },
    /// Says a word to the room.
    #[serde(rename = "room.cheer")]
    RoomCheer { text: String },
    /// Asks for friendship.
    #[serde(rename = "friend.request")]
    FriendRequest { user: i64 },
    /// Takes the request back.
    #[serde(rename = "friend.cancel")]
    FriendCancel { user: i64 },
    /// Accepts a request.
    #[serde(rename = "friend.accept")]
    FriendAccept { user: i64 },
    /// Turns a request down.
    #[serde(rename = "friend.reject")]
    FriendReject { user: i64 },
    /// Ends a friendship.
    #[serde(rename = "friend.remove")]
    FriendRemove { user: i64 },
    /// Asks who one is; a round trip.
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
    "timer.start",
    "timer.pause",
    "timer.resume",
    "timer.stop",
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

/// The parts of a message. Raw: what is JSON and yet can't be held, as too deep or too large a number, is refused where it
/// is needed.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    op: Option<&'a RawValue>,
    d: Option<&'a RawValue>,
}

fn parse_message(line: &str) -> Result<Incoming, NotThisProtocol> {
    let malformed = || Error::from(ErrorCode::MalformedMessage);
    let object = line.trim_ascii_start().starts_with('{');
    let Some(envelope) = serde_json::from_str::<Envelope<'_>>(line).ok().filter(|_| object) else {
        let _: &RawValue = serde_json::from_str(line).map_err(|_| NotThisProtocol)?;
        return Ok(Incoming::Request(Request { id: None, op: Err(malformed()) }));
    };
    if line.trim_ascii().trim_matches(['{', '}']).trim_ascii().is_empty() {
        return Ok(Incoming::Alive);
    }
    let id = envelope.id.map(|id| serde_json::from_str::<u32>(id.get()));
    let op = match envelope.op.map(|op| serde_json::from_str::<String>(op.get())) {
        _ if matches!(id, Some(Err(_))) => Err(Error::fields(vec![FieldError::new("id", ErrorCode::WrongType)])),
        Some(Ok(op)) if !OPS.contains(&op.as_str()) => Err(ErrorCode::UnknownOp.into()),
        // An operation without arguments may leave `d` out.
        Some(Ok(op)) => parse_op(&op, envelope.d.map_or("{}", RawValue::get)),
        _ => Err(malformed()),
    };
    Ok(Incoming::Request(Request { id: id.and_then(Result::ok), op }))
}

/// Reads a known operation with its arguments.
fn parse_op(op: &str, d: &str) -> Result<Op> {
    let malformed = |reason: String| Error::from(ErrorCode::MalformedMessage).with("reason", reason);
    // Arguments have names; a list would be taken for them in their order.
    if !d.starts_with('{') {
        return Err(malformed("d: expected an object".to_owned()));
    }
    let spelled = format!(r#"{{"op":"{op}","d":{d}}}"#);
    serde_json::from_str(&spelled).map_err(|error| malformed(error.to_string()))
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
            (r#"{"id":1,"op":"room.enter","d":[42,null]}"#, ErrorCode::MalformedMessage),
            (r#"{"id":1,"op":"room.enter","d":{"room":1e999}}"#, ErrorCode::MalformedMessage),
            (r#"{"id":1e999,"op":"whoami"}"#, ErrorCode::WrongType),
            (r#"{"id":1,"op":"goal.set","d":{"text":"\ud800"}}"#, ErrorCode::MalformedMessage),
            (r#"{"id":1,"op":"room.enter","d":{"room":"x"}}"#, ErrorCode::MalformedMessage),
            (r#"{"id":1,"op":"sync","d":{"since":{"lobby":["e",1]}}}"#, ErrorCode::MalformedMessage),
        ] {
            assert_eq!(one(text).op.unwrap_err().code(), code, "{text}");
        }
        let deep = |depth: usize| format!(r#"{{"id":1,"op":"whoami","d":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        assert_eq!(one(&deep(7_000)).op.unwrap_err().code(), ErrorCode::MalformedMessage);
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
