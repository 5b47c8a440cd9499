//! The one loop that all sockets share: reads what is ready, lets the play react, writes what came of it.
//!
//! Promises that a moment which a play asks for is kept to microseconds: the kernel's timer is too coarse for that, so
//! the last millisecond before it is spent looking. The lab has a core of its own.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use anyhow::Context;
use mio::{Events, Poll, Token};

use super::{
    crowd::{Crowd, Happening, Person},
    faults::{Faults, Kind},
    socket::{Frame, Opening, Socket},
};

/// Bytes that are read at once.
const BUFFER: usize = 64 * 1024;

/// Sockets that are looked at in one turn.
const EVENTS: usize = 1024;

/// How exact the kernel's timer is.
const COARSE: Duration = Duration::from_millis(1);

/// Bytes that a deaf one's kernel keeps.
const DEAF_BUFFER: usize = 4096;

/// Whoever decides what happens.
pub(super) trait Play {
    /// Does what is due, and says when to be asked again; without an answer, only when something happens.
    fn due(&mut self, floor: &mut Floor, now: Instant) -> anyhow::Result<Option<Instant>>;
    /// Something has happened.
    fn happened(&mut self, floor: &mut Floor, happening: Happening) -> anyhow::Result<()>;
    /// There is nothing more to do.
    fn is_over(&self) -> bool {
        false
    }
    /// Whether it ends once somebody wants the run to end early.
    fn can_be_stopped(&self) -> bool {
        true
    }
}

/// Where the server is and how it is reached.
#[derive(Clone, Debug)]
pub(super) struct Address {
    pub(super) socket: SocketAddr,
    pub(super) host: String,
    /// Addresses of this machine that connections come from in turn: each has ports of its own.
    pub(super) sources: usize,
}

/// All sockets and whose they are.
pub(super) struct Floor {
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    sockets: Vec<Option<Socket>>,
    pub(super) people: Vec<Person>,
    pub(super) crowd: Crowd,
    /// One for each instance.
    pub(super) addresses: Vec<Address>,
    /// Those to whom something is to be written.
    unwritten: Vec<usize>,
    pub(super) open: usize,
}

impl Floor {
    pub(super) fn new(people: Vec<Person>, addresses: Vec<Address>) -> anyhow::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS),
            buffer: vec![0; BUFFER],
            sockets: people.iter().map(|_| None).collect(),
            people,
            crowd: Crowd::new(Instant::now())?,
            addresses,
            unwritten: Vec::new(),
            open: 0,
        })
    }

    /// Begins to connect `who`, which was meant to happen at `intended`.
    pub(super) fn connect(&mut self, who: usize, intended: Instant) -> anyhow::Result<()> {
        let Some(person) = self.people.get_mut(who) else { return Ok(()) };
        let address = self.addresses.get(person.instance % self.addresses.len().max(1));
        let address = address.context("there is no server")?;
        person.coming = Some(intended);
        person.closed = None;
        person.upgraded = false;
        person.asked = 0;
        let token = (!person.token.is_empty() && !person.resumes).then_some(person.token.as_str());
        let opening = Opening {
            address: address.socket,
            source: source(address, who),
            host: &address.host,
            path: &person.path,
            token,
            receive_buffer: person.deaf.then_some(DEAF_BUFFER),
        };
        let socket = Socket::open(self.poll.registry(), Token(who), &opening)
            .with_context(|| format!("connecting to {}, as number {} at once", address.socket, self.open + 1))?;
        if let Some(place) = self.sockets.get_mut(who) {
            *place = Some(socket);
            self.open += 1;
        }
        Ok(())
    }

    /// Ends a connection without a word.
    pub(super) fn drop_dead(&mut self, who: usize) -> io::Result<()> {
        let Some(socket) = self.sockets.get_mut(who).and_then(Option::take) else { return Ok(()) };
        self.open -= 1;
        if let Some(person) = self.people.get_mut(who) {
            self.crowd.gone(who, person);
        }
        socket.drop_dead(self.poll.registry())
    }

    /// Loses a connection: to the others nobody is gone yet.
    pub(super) fn lose(&mut self, who: usize) -> io::Result<()> {
        let Some(socket) = self.sockets.get_mut(who).and_then(Option::take) else { return Ok(()) };
        self.open -= 1;
        if let Some(person) = self.people.get_mut(who) {
            person.present = false;
        }
        socket.drop_dead(self.poll.registry())
    }

    /// Connects again and says where `who` stands.
    pub(super) fn resume(&mut self, who: usize, intended: Instant) -> anyhow::Result<()> {
        if let Some(person) = self.people.get_mut(who) {
            person.resumes = true;
        }
        self.connect(who, intended)
    }

    /// Somebody who never read begins to.
    pub(super) fn undeafen(&mut self, who: usize) {
        if let Some(person) = self.people.get_mut(who) {
            person.deaf = false;
        }
        self.read(who);
    }

    /// Says something for `who`; it goes out at the end of this turn.
    pub(super) fn say(&mut self, who: usize, text: &str) -> io::Result<()> {
        if let Some(socket) = self.sockets.get_mut(who).and_then(Option::as_mut) {
            socket.send(text.as_bytes())?;
            self.unwritten.push(who);
        }
        Ok(())
    }

    /// Asks something for `who` whose answer changes who is where: nobody is at rest before it has come.
    pub(super) fn ask(&mut self, who: usize, text: &str) -> io::Result<()> {
        if let Some(person) = self.people.get_mut(who) {
            person.asked += 1;
        }
        self.say(who, text)
    }

    /// Goes on until `until`, or until the play is over.
    pub(super) fn run(&mut self, play: &mut dyn Play, until: Instant) -> anyhow::Result<()> {
        loop {
            let now = Instant::now();
            if now >= until || play.is_over() {
                return Ok(());
            }
            let due = play.due(self, now)?;
            self.write();
            // What it found holds only as long as nothing more is read.
            if play.is_over() {
                return Ok(());
            }
            let next = due.map_or(until, |due| due.min(until));
            let wait = next.saturating_duration_since(Instant::now()).saturating_sub(COARSE);
            self.turn(wait, play)?;
        }
    }

    fn turn(&mut self, wait: Duration, play: &mut dyn Play) -> anyhow::Result<()> {
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            let who = event.token().0;
            if event.is_writable() {
                self.unwritten.push(who);
            }
            if event.is_readable() {
                self.read(who);
            }
        }
        events.clear();
        self.events = events;
        let happenings = std::mem::take(&mut self.crowd.happenings);
        for happening in happenings {
            play.happened(self, happening)?;
        }
        self.write();
        Ok(())
    }

    /// Reads what has come for `who`.
    fn read(&mut self, who: usize) {
        let (Some(Some(socket)), Some(person)) = (self.sockets.get_mut(who), self.people.get_mut(who)) else { return };
        // A deaf one reads until it is there, and then no more.
        if person.deaf && person.present {
            return;
        }
        let crowd = &mut self.crowd;
        crowd.now = Instant::now();
        let mut lives = socket.read(&mut self.buffer, |frame| match frame {
            Frame::Text(text) => crowd.frame(who, person, text),
            Frame::Close(code) => person.closed = Some(code),
            Frame::Opened => person.upgraded = true,
        });
        if person.upgraded && person.resumes {
            person.upgraded = false;
            lives = socket.send(self.crowd.since(person).as_bytes()).and(lives);
            self.unwritten.push(who);
        }
        for _ in 0..std::mem::take(&mut person.beats) {
            lives = socket.send(b"{}").and(lives);
            self.unwritten.push(who);
        }
        if matches!(lives, Ok(true)) {
            return;
        }
        if let Some(socket) = self.sockets.get_mut(who).and_then(Option::take) {
            self.open -= 1;
            // The peer is gone already; there is nothing to tell it.
            let _ = socket.drop_dead(self.poll.registry());
        }
        // Whoever was sent away knows why; whoever was not is told by the play.
        if let Err(error) = lives
            && person.closed.is_none()
        {
            self.crowd.faults.add(Kind::Broken, 1, || format!("connection {who}: {error}"));
        }
        self.crowd.gone(who, person);
    }

    /// Writes once to each, however much was said.
    fn write(&mut self) {
        for who in std::mem::take(&mut self.unwritten) {
            if let Some(socket) = self.sockets.get_mut(who).and_then(Option::as_mut) {
                // A socket that can't be written to tells so when it is read.
                let _ = socket.flush();
            }
        }
    }

    /// What is not as it should be at rest.
    pub(super) fn unrest(&mut self) -> Faults {
        self.crowd.unrest(self.people.iter())
    }
}

/// 127.0.0.1, 127.0.0.2 … in turn, where the server is on this machine.
fn source(address: &Address, who: usize) -> Option<IpAddr> {
    let IpAddr::V4(server) = address.socket.ip() else { return None };
    if !server.is_loopback() || address.sources < 2 {
        return None;
    }
    let offset = u32::try_from(who % address.sources).unwrap_or(0);
    Some(Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + offset).into())
}
