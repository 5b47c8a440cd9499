//! Reads what the server says with as little work as its verification needs.
//!
//! Promises that an event's channel, place and name are found without reading its body. What looks otherwise than it
//! is usually written is read as JSON, so that a field that moves costs time and no correctness.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::realtime::protocol::Channel;

/// A message, as far as it was looked at.
#[derive(Debug, PartialEq)]
pub(super) enum Heard<'a> {
    /// It wants an answer.
    Heartbeat,
    /// An event with a place.
    Placed { channel: Channel, off: u64, event: &'a str },
    /// An event without one, of a channel.
    Derived { channel: Channel, event: &'a str },
    /// An answer; `false` for a refusal.
    Answer { id: u32, done: bool },
    /// Anything else.
    Other,
}

/// The parts of a message that say what it is.
#[derive(Deserialize)]
struct Envelope<'a> {
    id: Option<u32>,
    ch: Option<Channel>,
    off: Option<u64>,
    #[serde(borrow)]
    ev: Option<&'a str>,
    err: Option<serde::de::IgnoredAny>,
}

/// Says what a message is.
pub(super) fn read(message: &[u8]) -> Heard<'_> {
    if message == b"{}" {
        return Heard::Heartbeat;
    }
    if let Some(placed) = quickly(message) {
        return placed;
    }
    let Ok(envelope) = serde_json::from_slice::<Envelope>(message) else { return Heard::Other };
    match envelope {
        Envelope { ch: Some(channel), off: Some(off), ev: Some(event), .. } => Heard::Placed { channel, off, event },
        Envelope { ch: Some(channel), ev: Some(event), .. } if event != "snapshot" => Heard::Derived { channel, event },
        Envelope { id: Some(id), err, ev: None, .. } => Heard::Answer { id, done: err.is_none() },
        _ => Heard::Other,
    }
}

/// `{"ch":"room:42","off":1042,"ev":"room.cheer",…`
fn quickly(message: &[u8]) -> Option<Heard<'_>> {
    let rest = message.strip_prefix(b"{\"ch\":\"")?;
    let (channel, rest) = until(rest, b'"')?;
    let rest = rest.strip_prefix(b",\"off\":")?;
    let (off, rest) = until(rest, b',')?;
    let (event, _) = until(rest.strip_prefix(b"\"ev\":\"")?, b'"')?;
    let channel = std::str::from_utf8(channel).ok()?.parse().ok()?;
    let off = std::str::from_utf8(off).ok()?.parse().ok()?;
    Some(Heard::Placed { channel, off, event: std::str::from_utf8(event).ok()? })
}

fn until(text: &[u8], end: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|byte| *byte == end)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// How a word to the room begins, so that it is known again.
const MARK: &str = "lab-";

/// Digits of a word's number.
const DIGITS: usize = 8;

/// A word of so many characters that carries its number.
pub(super) fn word(number: u32, length: usize) -> String {
    let mut word = format!("{MARK}{number:0DIGITS$x}");
    word.extend(std::iter::repeat_n('.', length.saturating_sub(word.len())));
    word
}

/// The number in the `room.cheer` that `message` is, if it is one of this lab's.
pub(super) fn number(message: &[u8]) -> Option<u32> {
    let key = b"\"text\":\"lab-";
    // The body is short and what comes before the text shorter still: the first hit is the right one.
    let at = memchr::memmem::find(message, key)? + key.len();
    let digits = std::str::from_utf8(message.get(at..at + DIGITS)?).ok()?;
    u32::from_str_radix(digits, 16).ok()
}

/// Where a channel stands, in `hello` and in answers.
#[derive(Debug, Deserialize)]
pub(super) struct Line {
    pub(super) epoch: String,
    pub(super) off: u64,
    #[serde(default)]
    pub(super) recovered: Option<bool>,
}

/// A member, as far as presence goes.
#[derive(Debug, Deserialize)]
pub(super) struct Member {
    pub(super) id: i64,
    pub(super) online: bool,
}

/// A room, as far as presence goes; without members where what was missed follows.
#[derive(Debug, Deserialize)]
pub(super) struct RoomPicture {
    pub(super) id: i64,
    pub(super) members: Option<Vec<Member>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct User {
    pub(super) id: i64,
}

/// The first push.
#[derive(Debug, Deserialize)]
pub(super) struct Hello {
    pub(super) server_time: i64,
    pub(super) user: User,
    pub(super) room: Option<RoomPicture>,
    pub(super) channels: HashMap<Channel, Line>,
}

/// A message's name and body.
#[derive(Deserialize)]
struct Named<'a> {
    ev: &'a str,
    #[serde(borrow)]
    d: Option<&'a RawValue>,
}

impl<'a> Named<'a> {
    fn body<T: Deserialize<'a>>(&self) -> serde_json::Result<T> {
        serde_json::from_str(self.d.map_or("null", RawValue::get))
    }
}

/// A push without a place.
#[derive(Debug)]
pub(super) enum Push {
    Hello(Box<Hello>),
    Bye(Bye),
    Snapshot(Snapshot),
    /// What is new is let pass.
    Other,
}

impl Push {
    pub(super) fn read(message: &[u8]) -> serde_json::Result<Self> {
        let named: Named<'_> = serde_json::from_slice(message)?;
        Ok(match named.ev {
            "hello" => Self::Hello(named.body()?),
            "bye" => Self::Bye(named.body()?),
            "snapshot" => Self::Snapshot(named.body()?),
            _ => Self::Other,
        })
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Bye {
    pub(super) code: u16,
}

/// The whole state of a channel and where it stands; a user's channel has no room in it.
#[derive(Debug, Deserialize)]
pub(super) struct Snapshot {
    pub(super) epoch: String,
    pub(super) off: u64,
    pub(super) room: Option<RoomPicture>,
}

/// The answer to `room.enter`.
#[derive(Debug, Deserialize)]
pub(super) struct Entered {
    pub(super) ok: EnteredRoom,
}

#[derive(Debug, Deserialize)]
pub(super) struct EnteredRoom {
    pub(super) room: RoomPicture,
    pub(super) channels: HashMap<Channel, Line>,
}

/// The answer to `timer.start`.
#[derive(Debug, Deserialize)]
pub(super) struct Started {
    pub(super) ok: StartedRun,
}

#[derive(Debug, Deserialize)]
pub(super) struct StartedRun {
    pub(super) run: Run,
}

#[derive(Debug, Deserialize)]
pub(super) struct Run {
    pub(super) ends_at: Option<i64>,
}

/// A derived event of one user.
#[derive(Debug, Deserialize)]
pub(super) struct Phase {
    pub(super) d: OfUser,
}

/// What an event of a room does to the picture of who is there.
#[derive(Debug)]
pub(super) enum Change {
    Online(OfUser),
    Offline(OfUser),
    Batch(Batch),
    Entered(Entry),
    Exited(OfUser),
    None,
}

impl Change {
    pub(super) fn read(message: &[u8]) -> serde_json::Result<Self> {
        let named: Named<'_> = serde_json::from_slice(message)?;
        Ok(match named.ev {
            "presence.online" => Self::Online(named.body()?),
            "presence.offline" => Self::Offline(named.body()?),
            "presence.batch" => Self::Batch(named.body()?),
            "room.entered" => Self::Entered(named.body()?),
            "room.exited" => Self::Exited(named.body()?),
            _ => Self::None,
        })
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Batch {
    pub(super) online: Vec<OfUser>,
    pub(super) offline: Vec<OfUser>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Entry {
    pub(super) member: Member,
}

#[derive(Debug, Deserialize)]
pub(super) struct OfUser {
    pub(super) user: i64,
}

#[cfg(test)]
mod tests {
    use entity::{AccountId, Millis, RoomId};

    use super::*;
    use crate::{
        error::ErrorCode,
        locale::Locale,
        realtime::protocol::{CloseReason, Event, frames},
    };

    const ROOM: Channel = Channel::Room(RoomId(42));

    #[test]
    fn what_the_server_writes_is_read() {
        let d = RawValue::from_string("{}".to_owned()).unwrap();
        let placed = frames::event(ROOM, 1042, Millis(5), "room.exited", &d);
        assert!(quickly(placed.as_bytes()).is_some(), "the usual form takes the short way: {placed}");
        assert_eq!(read(placed.as_bytes()), Heard::Placed { channel: ROOM, off: 1042, event: "room.exited" });
        let superseded = frames::superseded(Channel::User(AccountId(9)), 3);
        assert!(matches!(read(superseded.as_bytes()), Heard::Placed { off: 3, event: "superseded", .. }));
        let derived = frames::derived(ROOM, "t:1", Millis(5), "timer.phase", &d);
        assert_eq!(read(derived.as_bytes()), Heard::Derived { channel: ROOM, event: "timer.phase" });
        assert_eq!(read(frames::HEARTBEAT.as_bytes()), Heard::Heartbeat);
        assert_eq!(read(frames::ok(Some(7), &()).as_bytes()), Heard::Answer { id: 7, done: true });
        let refused = frames::err(Some(8), &ErrorCode::NotAMember.into(), Locale::En);
        assert_eq!(read(refused.as_bytes()), Heard::Answer { id: 8, done: false });
        assert_eq!(read(frames::snapshot(ROOM, Millis(5), &()).as_bytes()), Heard::Other);
    }

    #[test]
    fn pushes_are_told_apart_and_what_is_new_is_let_pass() {
        let bye = Push::read(frames::bye(CloseReason::Slow, Some(5)).as_bytes()).unwrap();
        assert!(matches!(bye, Push::Bye(Bye { code: 4004 })));
        assert!(matches!(Push::read(br#"{"ev":"room.counts","d":{"rooms":[]}}"#).unwrap(), Push::Other));
        Push::read(br#"{"ev":"bye","d":{}}"#).unwrap_err();
        let exited = br#"{"ch":"room:1","off":3,"ev":"room.exited","at":5,"d":{"user":9,"at":5,"reason":"left"}}"#;
        assert!(matches!(Change::read(exited).unwrap(), Change::Exited(OfUser { user: 9 })));
        let goal = br#"{"ch":"room:1","off":3,"ev":"goal.changed","at":5,"d":{"user":9,"text":null}}"#;
        assert!(matches!(Change::read(goal).unwrap(), Change::None));
        assert!(matches!(Change::read(br#"{"ch":"room:1","off":3,"ev":"superseded"}"#).unwrap(), Change::None));
        Change::read(br#"{"ch":"room:1","off":3,"ev":"room.exited","at":5,"d":{}}"#).unwrap_err();
    }

    #[test]
    fn another_order_of_fields_means_the_same() {
        let text = br#"{ "ev": "room.exited", "off": 7, "ch": "room:42" }"#;
        assert_eq!(read(text), Heard::Placed { channel: ROOM, off: 7, event: "room.exited" });
    }

    #[test]
    fn a_word_is_known_again() {
        let text = word(0xbeef, 160);
        assert_eq!(text.len(), 160);
        let event = serde_json::to_string(&Event::RoomCheer { user: 9, text }).unwrap();
        assert_eq!(number(event.as_bytes()), Some(0xbeef));
        assert_eq!(number(br#"{"d":{"user":9,"text":"hello"}}"#), None);
    }
}
