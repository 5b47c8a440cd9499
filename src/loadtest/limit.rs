//! The limit: what a machine can do at most, measured beside every run.
//!
//! Takes words to rooms and hands them on as ready-made frames, gathered for one turn into one write a member. It knows
//! no users, keeps nothing, checks nothing: what a server takes more than this is what its promises cost.

use std::{
    collections::HashMap,
    io::{Cursor, ErrorKind, Read, Write},
    net::SocketAddr,
};

use anyhow::Context;
use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::tungstenite::{
    handshake::derive_accept_key,
    protocol::frame::{
        FrameHeader,
        coding::{Data, OpCode},
    },
};

const LISTENER: Token = Token(usize::MAX);
const BUFFER: usize = 64 * 1024;

struct Peer {
    stream: TcpStream,
    room: Option<i64>,
    /// What came of something that is not whole yet.
    partial: Vec<u8>,
    /// What the kernel did not take.
    out: Vec<u8>,
}

#[derive(Default)]
struct Room {
    members: Vec<usize>,
    off: u64,
    /// What was said in this turn.
    gathered: Vec<u8>,
}

/// Serves until the process ends; says on which address.
pub fn serve(listening: impl FnOnce(SocketAddr) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    listening(listener.local_addr()?)?;
    let (mut peers, mut rooms) = (Vec::new(), HashMap::<i64, Room>::new());
    let (mut events, mut buffer) = (Events::with_capacity(1024), vec![0; BUFFER]);
    let mut spoken = Vec::new();
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            if event.token() == LISTENER {
                accept(&poll, &listener, &mut peers)?;
                continue;
            }
            let index = event.token().0;
            let Some(peer) = peers.get_mut(index) else { continue };
            let Some(living) = peer.as_mut() else { continue };
            let lives = (!event.is_writable() || living.flush())
                && (!event.is_readable() || living.read(index, &mut buffer, &mut rooms, &mut spoken));
            if !lives {
                if let Some(room) = living.room.and_then(|room| rooms.get_mut(&room)) {
                    room.members.retain(|member| *member != index);
                }
                *peer = None;
            }
        }
        // This is the whole of it: one write a member for everything that was said in this turn.
        for room in spoken.drain(..) {
            let Some(room) = rooms.get_mut(&room) else { continue };
            for member in &room.members {
                if let Some(peer) = peers.get_mut(*member).and_then(Option::as_mut) {
                    peer.write(&room.gathered);
                }
            }
            room.gathered.clear();
        }
    }
}

fn accept(poll: &Poll, listener: &TcpListener, peers: &mut Vec<Option<Peer>>) -> anyhow::Result<()> {
    loop {
        let mut stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error).context("accepting"),
        };
        stream.set_nodelay(true)?;
        poll.registry().register(&mut stream, Token(peers.len()), Interest::READABLE | Interest::WRITABLE)?;
        peers.push(Some(Peer { stream, room: None, partial: Vec::new(), out: Vec::new() }));
    }
}

impl Peer {
    fn write(&mut self, bytes: &[u8]) {
        if self.out.is_empty() {
            // What can't be written is noticed by whoever reads.
            let written = self.stream.write(bytes).unwrap_or(0);
            self.out.extend_from_slice(bytes.get(written..).unwrap_or_default());
        } else {
            self.out.extend_from_slice(bytes);
        }
    }

    fn flush(&mut self) -> bool {
        let waiting = std::mem::take(&mut self.out);
        if !waiting.is_empty() {
            self.write(&waiting);
        }
        true
    }

    /// Whether the peer lives on.
    fn read(&mut self, index: usize, buffer: &mut [u8], rooms: &mut HashMap<i64, Room>, spoken: &mut Vec<i64>) -> bool {
        loop {
            let read = match self.stream.read(buffer) {
                Ok(0) => return false,
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return false,
            };
            let mut bytes = std::mem::take(&mut self.partial);
            bytes.extend_from_slice(buffer.get(..read).unwrap_or_default());
            let used = match self.room {
                None => self.upgrade(index, &bytes, rooms),
                Some(room) => gather(room, &bytes, rooms, spoken),
            };
            bytes.drain(..used);
            if !bytes.is_empty() {
                self.partial = bytes;
            }
            if read < buffer.len() {
                return true;
            }
        }
    }

    /// The request names the room, so that nothing needs to be looked up.
    fn upgrade(&mut self, index: usize, bytes: &[u8], rooms: &mut HashMap<i64, Room>) -> usize {
        let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else { return 0 };
        let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default());
        let number = |name: &str| {
            let (_, rest) = head.split_once(name)?;
            rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<i64>().ok()
        };
        let (id, user) = (number("room=").unwrap_or(0), number("user=").unwrap_or(0));
        let key = head.split("Sec-WebSocket-Key: ").nth(1).and_then(|rest| rest.lines().next()).unwrap_or_default();
        let room = rooms.entry(id).or_default();
        room.members.push(index);
        self.room = Some(id);
        let accept = derive_accept_key(key.trim().as_bytes());
        let mut answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        )
        .into_bytes();
        let hello = format!(
            r#"{{"ev":"hello","d":{{"server_time":0,"user":{{"id":{user}}},"room":{{"id":{id}}},"channels":{{"room:{id}":{{"epoch":"","off":{}}}}}}}}}"#,
            room.off
        );
        frame(hello.as_bytes(), &mut answer);
        self.write(&answer);
        end + 4
    }
}

/// Puts the words in `bytes` into the room's next write.
fn gather(id: i64, bytes: &[u8], rooms: &mut HashMap<i64, Room>, spoken: &mut Vec<i64>) -> usize {
    let mut used = 0;
    let Some(room) = rooms.get_mut(&id) else { return bytes.len() };
    loop {
        let mut cursor = Cursor::new(bytes.get(used..).unwrap_or_default());
        let Ok(Some((_, length))) = FrameHeader::parse(&mut cursor) else { return used };
        let start = used + usize::try_from(cursor.position()).unwrap_or(0);
        let Some(payload) = bytes.get(start..start + usize::try_from(length).unwrap_or(0)) else { return used };
        used = start + payload.len();
        // The lab masks with zeros: the words can be taken as they are.
        let Some(at) = memchr::memmem::find(payload, b"\"text\":") else { continue };
        let text = String::from_utf8_lossy(payload.get(at..).unwrap_or_default());
        if room.gathered.is_empty() {
            spoken.push(id);
        }
        room.off += 1;
        let event = format!(
            r#"{{"ch":"room:{id}","off":{},"ev":"room.cheer","at":1758300000123,"d":{{"user":100,{text}"#,
            room.off
        );
        frame(event.as_bytes(), &mut room.gathered);
    }
}

fn frame(payload: &[u8], out: &mut Vec<u8>) {
    let header = FrameHeader { opcode: OpCode::Data(Data::Text), ..FrameHeader::default() };
    // Writing into memory doesn't fail.
    let _ = header.format(payload.len() as u64, out);
    out.extend_from_slice(payload);
}
