//! WebSocket's framing of what comes in (RFC 6455, section 5): bytes go in, messages come out.
//!
//! Promises that it refuses whatever the protocol or the limit forbids as soon as it shows, and that it holds memory only
//! while a frame or a message in pieces is not whole. It reads no socket and answers nothing.

use std::io::Cursor;

use tokio_tungstenite::tungstenite::protocol::frame::{
    FrameHeader,
    coding::{CloseCode, Control, Data, OpCode},
};

use crate::realtime::CloseReason;

/// Bytes of the longest control frame.
const LONGEST_CONTROL: u64 = 125;

/// What came in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// A text.
    Text(String),
    /// A question for a sign of life, to be answered with the same words.
    Ping(Vec<u8>),
    /// A sign of life.
    Pong,
    /// The peer says goodbye, and awaits an answer with this number.
    Goodbye(Option<u16>),
    /// The peer is gone without a word.
    Gone,
    /// What came can't be accepted.
    Bad(CloseReason),
}

/// What came of something that is not whole yet.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    bytes: Vec<u8>,
    /// How far `bytes` are read.
    read: usize,
    /// A text that comes in pieces.
    pieces: Option<Vec<u8>>,
}

impl Inbox {
    /// Adds what came.
    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether everything was whole and told.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.pieces.is_none()
    }

    /// The next message of at most `limit` bytes, once it is whole. Behind something bad nothing else is told apart.
    pub(super) fn next(&mut self, limit: usize) -> Option<Heard> {
        loop {
            let fresh = self.bytes.get(self.read..).unwrap_or_default();
            let mut cursor = Cursor::new(fresh);
            let (header, length) = match FrameHeader::parse(&mut cursor) {
                Ok(Some(found)) => found,
                Ok(None) => return self.wait(),
                Err(_) => return Some(Heard::Bad(CloseReason::BadProtocol)),
            };
            if let Err(reason) = self.check(&header, length, limit) {
                return Some(Heard::Bad(reason));
            }
            let start = usize::try_from(cursor.position()).unwrap_or(0);
            // It was checked to be small.
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let Some(payload) = fresh.get(start..start.saturating_add(length)) else { return self.wait() };
            let payload = unmasked(payload, header.mask.unwrap_or_default());
            self.read += start + length;
            if let Some(heard) = self.frame(&header, payload) {
                return Some(heard);
            }
        }
    }

    /// Keeps no more than what is not whole.
    fn wait(&mut self) -> Option<Heard> {
        if self.read == self.bytes.len() {
            self.bytes = Vec::new();
        } else {
            self.bytes.drain(..self.read);
        }
        self.read = 0;
        None
    }

    fn check(&self, header: &FrameHeader, length: u64, limit: usize) -> Result<(), CloseReason> {
        // Nothing was agreed on that would give the reserved bits a meaning, and a client's frames are masked.
        if header.rsv1 || header.rsv2 || header.rsv3 || header.mask.is_none() {
            return Err(CloseReason::BadProtocol);
        }
        let pieces = self.pieces.as_ref().map(Vec::len);
        let fits = match (header.opcode, pieces) {
            (OpCode::Control(_), _) => header.is_final && length <= LONGEST_CONTROL,
            (OpCode::Data(Data::Text), None) | (OpCode::Data(Data::Continue), Some(_)) => true,
            (OpCode::Data(_), _) => false,
        };
        if !fits {
            return Err(CloseReason::BadProtocol);
        }
        let is_control = matches!(header.opcode, OpCode::Control(_));
        let whole = length.saturating_add(pieces.unwrap_or(0) as u64);
        if is_control || whole <= limit as u64 { Ok(()) } else { Err(CloseReason::TooBig) }
    }

    /// What a whole frame means; nothing if more pieces follow.
    fn frame(&mut self, header: &FrameHeader, payload: Vec<u8>) -> Option<Heard> {
        match header.opcode {
            OpCode::Control(Control::Ping) => Some(Heard::Ping(payload)),
            OpCode::Control(Control::Pong) => Some(Heard::Pong),
            OpCode::Control(_) => Some(goodbye(&payload)),
            OpCode::Data(_) => {
                let text = match self.pieces.take() {
                    Some(mut pieces) => {
                        pieces.extend_from_slice(&payload);
                        pieces
                    }
                    None => payload,
                };
                if !header.is_final {
                    self.pieces = Some(text);
                    return None;
                }
                Some(String::from_utf8(text).map_or(Heard::Bad(CloseReason::BadProtocol), Heard::Text))
            }
        }
    }
}

fn unmasked(payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut payload = payload.to_vec();
    for four in payload.chunks_mut(4) {
        for (byte, mask) in four.iter_mut().zip(mask) {
            *byte ^= mask;
        }
    }
    payload
}

/// RFC 6455, section 5.5.1: nothing, or a number and a reason.
fn goodbye(payload: &[u8]) -> Heard {
    match payload.split_first_chunk() {
        None if payload.is_empty() => Heard::Goodbye(None),
        Some((code, reason)) if std::str::from_utf8(reason).is_ok() => {
            let code = u16::from_be_bytes(*code);
            let known = CloseCode::from(code).is_allowed();
            Heard::Goodbye(Some(if known { code } else { CloseCode::Protocol.into() }))
        }
        _ => Heard::Bad(CloseReason::BadProtocol),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [1, 2, 3, 250];

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        [&[first, 0x80 | length], MASK.as_slice(), &unmasked(payload, MASK)].concat()
    }

    fn all(inbox: &mut Inbox) -> Vec<Heard> {
        std::iter::from_fn(|| inbox.next(16)).collect()
    }

    #[test]
    fn however_bytes_are_torn_apart_the_same_is_heard() {
        let bytes = [
            frame(0x81, "수학".as_bytes()),
            frame(0x01, b"ab"),
            frame(0x89, b"?"),
            frame(0x80, b"cd"),
            frame(0x8a, b""),
            frame(0x88, &[0x03, 0xe8]),
        ]
        .concat();
        let heard = [
            Heard::Text("수학".into()),
            Heard::Ping(b"?".to_vec()),
            Heard::Text("abcd".into()),
            Heard::Pong,
            Heard::Goodbye(Some(1000)),
        ];
        for size in 1..=bytes.len() {
            let mut inbox = Inbox::default();
            let mut found = Vec::new();
            for piece in bytes.chunks(size) {
                inbox.put(piece);
                found.extend(all(&mut inbox));
            }
            assert_eq!(found, heard, "{size} bytes at once");
            assert_eq!((inbox.bytes.capacity(), inbox.read, &inbox.pieces), (0, 0, &None), "nothing is kept");
        }
    }

    #[test]
    fn a_goodbye_is_answered_with_its_number_unless_nobody_may_use_it() {
        for (payload, heard) in [
            (&[][..], Heard::Goodbye(None)),
            (&[0x0f, 0xa0], Heard::Goodbye(Some(4000))),
            (&[0x03, 0xed], Heard::Goodbye(Some(1002))),
            (&[0x03], Heard::Bad(CloseReason::BadProtocol)),
            (&[0x03, 0xe8, 0xff], Heard::Bad(CloseReason::BadProtocol)),
        ] {
            let mut inbox = Inbox::default();
            inbox.put(&frame(0x88, payload));
            assert_eq!(inbox.next(16), Some(heard), "{payload:?}");
        }
    }

    #[test]
    fn the_limit_is_for_the_whole_message_and_shows_before_it_has_come() {
        for (bytes, heard) in [
            (frame(0x81, &[b'x'; 16]), Heard::Text("x".repeat(16))),
            (frame(0x81, &[b'x'; 17])[..6].to_vec(), Heard::Bad(CloseReason::TooBig)),
            ([frame(0x01, &[b'x'; 9]), frame(0x80, &[b'x'; 8])].concat(), Heard::Bad(CloseReason::TooBig)),
        ] {
            let mut inbox = Inbox::default();
            inbox.put(&bytes);
            assert_eq!(inbox.next(16), Some(heard));
        }
    }
}
