//! One WebSocket of a virtual client, as lean as it gets: thousands of them share one buffer and one thread.
//!
//! Promises that an idle one holds no buffer, and that frames are handed over in the order in which they came. It
//! speaks to servers that keep to the protocol: a fragmented or compressed frame is an error.

use std::{
    io::{self, Cursor, ErrorKind, Read, Write},
    net::{IpAddr, SocketAddr},
};

use mio::{Interest, Registry, Token, net::TcpStream};
use socket2::{Domain, Protocol, Type};
use tokio_tungstenite::tungstenite::{
    handshake::derive_accept_key,
    protocol::frame::{
        FrameHeader,
        coding::{Control, Data, OpCode},
    },
};

/// A key like any other: nothing is cached between us and a server under test.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// Longer than the head of any answer to an upgrade.
const LONGEST_HEAD: usize = 16 * 1024;

/// What came.
#[derive(Debug)]
pub(super) enum Frame<'a> {
    /// The upgrade is done.
    Opened,
    /// A text frame.
    Text(&'a [u8]),
    /// The server closes, with this number.
    Close(u16),
}

/// How a socket is opened.
#[derive(Debug)]
pub(super) struct Opening<'a> {
    pub(super) address: SocketAddr,
    /// The address that it comes from, if that matters.
    pub(super) source: Option<IpAddr>,
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    pub(super) token: Option<&'a str>,
    /// Bytes that the kernel may keep of what was not read; its own default if none.
    pub(super) receive_buffer: Option<usize>,
}

#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    upgraded: bool,
    /// What came of a frame that is not whole yet.
    partial: Vec<u8>,
    /// What the kernel did not take yet.
    out: Vec<u8>,
}

impl Socket {
    /// Begins to connect; the request goes out with the first readiness.
    pub(super) fn open(registry: &Registry, token: Token, opening: &Opening<'_>) -> io::Result<Self> {
        let socket = socket2::Socket::new(
            Domain::for_address(opening.address),
            Type::STREAM.nonblocking(),
            Some(Protocol::TCP),
        )?;
        socket.set_tcp_nodelay(true)?;
        if let Some(bytes) = opening.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(source) = opening.source {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        match socket.connect(&opening.address.into()) {
            Err(error) if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {
                return Err(error);
            }
            _ => {}
        }
        let mut stream = TcpStream::from_std(socket.into());
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        let Opening { host, path, token, .. } = opening;
        let authorization = token.map(|token| format!("Authorization: JWT {token}\r\n")).unwrap_or_default();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Protocol: solgik.v1\r\n\
             {authorization}\r\n"
        );
        Ok(Self { stream, upgraded: false, partial: Vec::new(), out: request.into_bytes() })
    }

    /// Forgets the connection without a goodbye.
    pub(super) fn drop_dead(mut self, registry: &Registry) -> io::Result<()> {
        registry.deregister(&mut self.stream)
    }

    /// Adds a text frame to what goes out with the next [`Socket::flush`].
    pub(super) fn send(&mut self, text: &[u8]) -> io::Result<()> {
        self.frame(OpCode::Data(Data::Text), text)
    }

    fn frame(&mut self, opcode: OpCode, payload: &[u8]) -> io::Result<()> {
        // A mask of zeros leaves the bytes as they are: there is no proxy here that a mask would protect.
        let header = FrameHeader { opcode, mask: Some([0; 4]), ..FrameHeader::default() };
        header.format(payload.len() as u64, &mut self.out).map_err(io::Error::other)?;
        self.out.extend_from_slice(payload);
        Ok(())
    }

    /// Hands to the kernel what waits.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while !self.out.is_empty() {
            match self.stream.write(&self.out) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(taken) if taken == self.out.len() => self.out = Vec::new(),
                Ok(taken) => drop(self.out.drain(..taken)),
                // Before it is connected, and when the peer reads slowly: a readiness follows.
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads what there is and hands over every whole frame. Says whether the connection lives on.
    pub(super) fn read(&mut self, buffer: &mut [u8], mut hear: impl FnMut(Frame<'_>)) -> io::Result<bool> {
        loop {
            let read = match self.stream.read(buffer) {
                Ok(0) => return Ok(false),
                Ok(read) => read,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                    return Ok(true);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let fresh = buffer.get(..read).unwrap_or_default();
            if self.partial.is_empty() {
                let used = self.consume(fresh, &mut hear)?;
                self.partial.extend_from_slice(fresh.get(used..).unwrap_or_default());
            } else {
                let mut bytes = std::mem::take(&mut self.partial);
                bytes.extend_from_slice(fresh);
                let used = self.consume(&bytes, &mut hear)?;
                bytes.drain(..used);
                if !bytes.is_empty() {
                    self.partial = bytes;
                }
            }
            if read < buffer.len() {
                // The kernel had no more; what comes now is a new readiness.
                return Ok(true);
            }
        }
    }

    /// How many of these bytes were whole.
    fn consume(&mut self, bytes: &[u8], hear: &mut impl FnMut(Frame<'_>)) -> io::Result<usize> {
        let mut used = 0;
        if !self.upgraded {
            let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
                return if bytes.len() > LONGEST_HEAD { Err(unexpected(bytes)) } else { Ok(0) };
            };
            used = end + 4;
            let head = bytes.get(..end).unwrap_or_default();
            let accepted = memchr::memmem::find(head, derive_accept_key(KEY.as_bytes()).as_bytes()).is_some();
            if !head.starts_with(b"HTTP/1.1 101 ") || !accepted {
                return Err(unexpected(head));
            }
            self.upgraded = true;
            hear(Frame::Opened);
        }
        loop {
            let mut cursor = Cursor::new(bytes.get(used..).unwrap_or_default());
            let Some((header, length)) = FrameHeader::parse(&mut cursor).map_err(io::Error::other)? else {
                return Ok(used);
            };
            let start = used + usize::try_from(cursor.position()).unwrap_or(usize::MAX);
            let end = start.saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
            let Some(payload) = bytes.get(start..end) else { return Ok(used) };
            used = end;
            match header.opcode {
                OpCode::Data(Data::Text) if header.is_final && !header.rsv1 => hear(Frame::Text(payload)),
                OpCode::Control(Control::Ping) => self.frame(OpCode::Control(Control::Pong), payload)?,
                OpCode::Control(Control::Pong) => {}
                OpCode::Control(Control::Close) => {
                    let code = payload.first_chunk::<2>().map_or(1005, |code| u16::from_be_bytes(*code));
                    hear(Frame::Close(code));
                    self.frame(OpCode::Control(Control::Close), payload.get(..2).unwrap_or_default())?;
                }
                other => return Err(io::Error::other(format!("a frame that is not of this protocol: {other:?}"))),
            }
        }
    }
}

fn unexpected(head: &[u8]) -> io::Error {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    io::Error::other(format!("the upgrade was answered with {:?}", String::from_utf8_lossy(line)))
}
