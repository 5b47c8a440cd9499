//! The socket itself: the one small module that touches it.
//!
//! Promises that an idle one holds no buffer and nothing of HTTP, that what leaves is never torn apart by something else,
//! and that a closing one gets a last chance to read why it is sent away. It is the outlet's wire once there is an outlet;
//! before and after, this writes by itself.

use std::{
    io,
    mem::MaybeUninit,
    net::Shutdown,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::tungstenite::protocol::frame::coding::Control;

use super::inbox::{Heard, Inbox};
use crate::realtime::{
    outlet::{Closing, Wire},
    protocol::{CloseReason, Frame, frames},
};

/// Bytes that are read at once, on the stack.
const BUFFER: usize = 4096;

/// Bytes that the kernel keeps for a peer who doesn't read, by its own count, which it doubles. Left alone it would keep
/// up to megabytes, and whoever doesn't read would be found out only after them.
const SEND_BUFFER: usize = 64 * 1024;

/// How long a closing socket may take to say goodbye; a slow one has to read what it was sent before.
const GOODBYE: Duration = Duration::from_secs(2);
const SLOW_GOODBYE: Duration = Duration::from_secs(30);

impl Wire for TcpStream {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        // The runtime is told only once the kernel takes nothing: what it knows of each socket lies far apart in memory,
        // and looking there costs a good part of a write.
        match SockRef::from(self).send(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Self::try_write(self, bytes),
            taken => taken,
        }
    }
}

/// One connection's socket.
#[derive(Debug)]
pub(super) struct Socket {
    stream: Arc<TcpStream>,
    /// What has come and is not whole yet.
    inbox: Option<Box<Inbox>>,
}

impl Socket {
    /// Takes the socket out of HTTP, with what was read beyond the request.
    pub(super) fn new(upgraded: Upgraded) -> Option<Self> {
        let parts = upgraded.downcast::<TokioIo<TcpStream>>().ok()?;
        let stream = Arc::new(parts.io.into_inner());
        SockRef::from(&*stream).set_send_buffer_size(SEND_BUFFER).ok()?;
        let mut socket = Self { stream, inbox: None };
        socket.put(&parts.read_buf);
        Some(socket)
    }

    /// Where an outlet writes.
    pub(super) fn wire(&self) -> Arc<dyn Wire> {
        Arc::clone(&self.stream) as Arc<dyn Wire>
    }

    /// Whether the peer has gone without another word.
    pub(super) fn is_gone(&self) -> bool {
        match SockRef::from(&*self.stream).peek(&mut [MaybeUninit::uninit()]) {
            Ok(bytes) => bytes == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// The next thing that has come already, of at most `limit` bytes.
    pub(super) fn heard(&mut self, limit: usize) -> Option<Heard> {
        let heard = self.inbox.as_mut()?.next(limit);
        if heard.is_none() {
            self.inbox.take_if(|inbox| inbox.is_empty());
        }
        heard
    }

    fn put(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.inbox.get_or_insert_default().put(bytes);
        }
    }

    /// The next thing that comes, of at most `limit` bytes.
    pub(super) fn poll_hear(&mut self, limit: usize, context: &mut Context<'_>) -> Poll<Heard> {
        loop {
            if let Some(heard) = self.heard(limit) {
                return Poll::Ready(heard);
            }
            // What is wrong with it shows when it is read.
            let _ = ready!(self.stream.poll_read_ready(context));
            let mut buffer = [0; BUFFER];
            match self.stream.try_read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) | Ok(0) => return Poll::Ready(Heard::Gone),
                Ok(read) => self.put(buffer.get(..read).unwrap_or_default()),
            }
        }
    }

    /// The same. Can be dropped while waiting without losing anything.
    pub(super) async fn hear(&mut self, limit: usize) -> Heard {
        std::future::poll_fn(|context| self.poll_hear(limit, context)).await
    }

    /// Waits until something can be written.
    pub(super) fn poll_writable(&self, context: &mut Context<'_>) -> Poll<()> {
        // What is wrong with it shows when it is written to.
        self.stream.poll_write_ready(context).map(drop)
    }

    /// Writes all of it. Only where no outlet does.
    pub(super) async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.stream.writable().await?;
            match self.stream.try_write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Finishes what is `torn`, says `bye` and why, and waits a moment for the peer to have read it. What it says meanwhile
    /// is read up to `limit` bytes.
    pub(super) async fn close(mut self, closing: Closing, torn: Bytes, answer: Option<u16>, limit: usize) {
        let Closing { reason, reconnect_ms } = closing;
        let goodbye = async {
            let mut words = torn.to_vec();
            if reason != CloseReason::Normal {
                words.extend_from_slice(frames::bye(reason, reconnect_ms).whole());
            }
            let code = answer.unwrap_or(reason.code()).to_be_bytes();
            let why = if answer.is_none() { reason.as_str().as_bytes() } else { &[] };
            words.extend_from_slice(Frame::control(Control::Close, &[&code, why].concat()).whole());
            self.write(&words).await?;
            if reason == CloseReason::Normal {
                return Ok(());
            }
            loop {
                match self.hear(limit).await {
                    Heard::Goodbye(_) | Heard::Gone => return Ok(()),
                    Heard::Bad(_) => break,
                    Heard::Text(_) | Heard::Ping(_) | Heard::Pong => {}
                }
            }
            // What can't be read as frames is read as bytes: a connection that is dropped with something unread is reset,
            // and the reset can overtake what was just said.
            SockRef::from(&*self.stream).shutdown(Shutdown::Write)?;
            loop {
                self.stream.readable().await?;
                match self.stream.try_read(&mut [0; BUFFER]) {
                    Ok(0) => return Ok::<_, io::Error>(()),
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                    _ => {}
                }
            }
        };
        let patience = if reason == CloseReason::Slow { SLOW_GOODBYE } else { GOODBYE };
        match timeout(patience, goodbye).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::trace!(%error, "the peer left before goodbye"),
            Err(_) => tracing::trace!("the peer did not answer goodbye"),
        }
    }
}
