//! WebSocket's own framing (RFC 6455, section 5) of what leaves: written once, shared by everybody who gets it.

use std::{fmt, str};

use bytes::Bytes;
use tokio_tungstenite::tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, Data, OpCode},
};

/// Bytes of the longest header of a frame that is not masked.
const LONGEST_HEADER: usize = 10;

/// A frame as it leaves, header and all; cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame(Bytes);

impl Frame {
    /// A control frame.
    pub fn control(kind: Control, payload: &[u8]) -> Self {
        Self::new(OpCode::Control(kind), payload)
    }

    fn new(opcode: OpCode, payload: &[u8]) -> Self {
        let header = FrameHeader { opcode, ..FrameHeader::default() };
        // Exactly as long as it is: what is not full is kept with a note about its size.
        let mut bytes = Vec::with_capacity(header.len(payload.len() as u64) + payload.len());
        // Writing into memory doesn't fail.
        let _ = header.format(payload.len() as u64, &mut bytes);
        bytes.extend_from_slice(payload);
        Self(bytes.into())
    }

    /// All of it.
    pub fn whole(&self) -> &Bytes {
        &self.0
    }

    /// What it says.
    pub fn as_bytes(&self) -> &[u8] {
        // RFC 6455, section 5.2: the second byte says how long the length is.
        let header = match self.0.get(1) {
            Some(127) => LONGEST_HEADER,
            Some(126) => 4,
            _ => 2,
        };
        self.0.get(header..).unwrap_or_default()
    }

    /// Bytes of what it says.
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What a text frame says.
    pub fn as_str(&self) -> &str {
        str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

impl From<&str> for Frame {
    fn from(text: &str) -> Self {
        Self::new(OpCode::Data(Data::Text), text.as_bytes())
    }
}

impl From<String> for Frame {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_holds_what_it_says_at_every_length() {
        for (length, header) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let text = "x".repeat(length);
            let frame = Frame::from(text.as_str());
            assert_eq!(frame.whole().len(), header + length);
            assert_eq!((frame.whole()[0], frame.as_str()), (0x81, text.as_str()));
            assert_eq!((frame.len(), frame.is_empty()), (length, length == 0));
        }
        assert_eq!(&Frame::control(Control::Pong, b"hi").whole()[..], b"\x8a\x02hi");
    }
}
