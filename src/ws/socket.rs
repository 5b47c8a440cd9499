//! The socket itself: the one small module that touches it.
//!
//! Promises that an idle one holds no buffer and nothing of HTTP, that what leaves is never torn apart by something else,
//! and that a closing one gets a last chance to read why it is sent away. Its writing half is the outlet's wire once
//! there is an outlet; before and after, this writes by itself.

use std::{
    io,
    mem::MaybeUninit,
    net::Shutdown,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, ReadBuf},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};
use tokio_tungstenite::tungstenite::protocol::frame::coding::Control;

use super::inbox::{Heard, Inbox};
use crate::realtime::{
    outlet::{Closing, Wire},
    protocol::{CloseReason, Frame, frames},
};

/// Bytes that are read at once, on the stack.
const BUFFER: usize = 4096;

/// How long a closing socket may take to say goodbye; a slow one has to read what it was sent before.
const GOODBYE: Duration = Duration::from_secs(2);
const SLOW_GOODBYE: Duration = Duration::from_secs(30);

impl Wire for OwnedWriteHalf {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        Self::try_write(self, bytes)
    }
}

/// One connection's socket.
#[derive(Debug)]
pub(super) struct Socket {
    reader: OwnedReadHalf,
    writer: Arc<OwnedWriteHalf>,
    inbox: Inbox,
    max_frame: usize,
}

impl Socket {
    /// Takes the socket out of HTTP, with what was read beyond the request.
    pub(super) fn new(upgraded: Upgraded, max_frame: usize) -> Option<Self> {
        let parts = upgraded.downcast::<TokioIo<TcpStream>>().ok()?;
        let (reader, writer) = parts.io.into_inner().into_split();
        let mut inbox = Inbox::default();
        inbox.put(&parts.read_buf);
        Some(Self { reader, writer: Arc::new(writer), inbox, max_frame })
    }

    /// Where an outlet writes.
    pub(super) fn wire(&self) -> Arc<dyn Wire> {
        Arc::clone(&self.writer) as Arc<dyn Wire>
    }

    /// The next thing that comes.
    pub(super) fn poll_hear(&mut self, context: &mut Context<'_>) -> Poll<Heard> {
        loop {
            if let Some(heard) = self.inbox.next(self.max_frame) {
                return Poll::Ready(heard);
            }
            let mut space = [const { MaybeUninit::uninit() }; BUFFER];
            let mut buffer = ReadBuf::uninit(&mut space);
            let read = ready!(Pin::new(&mut self.reader).poll_read(context, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(Heard::Gone);
            }
            self.inbox.put(buffer.filled());
        }
    }

    /// The next thing that comes. Can be dropped while waiting without losing anything.
    pub(super) async fn hear(&mut self) -> Heard {
        std::future::poll_fn(|context| self.poll_hear(context)).await
    }

    /// Waits until something can be written.
    pub(super) fn poll_writable(&self, context: &mut Context<'_>) -> Poll<()> {
        // What is wrong with it shows when it is written to.
        self.writer.as_ref().as_ref().poll_write_ready(context).map(drop)
    }

    /// Writes all of it. Only where no outlet does.
    pub(super) async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.writer.writable().await?;
            match self.writer.try_write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Finishes what is `torn`, says `bye` and why, and waits a moment for the peer to have read it.
    pub(super) async fn close(mut self, closing: Closing, torn: Bytes, answer: Option<u16>) {
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
                match self.hear().await {
                    Heard::Goodbye(_) | Heard::Gone => return Ok(()),
                    Heard::Bad(_) => break,
                    Heard::Text(_) | Heard::Ping(_) | Heard::Pong => {}
                }
            }
            // What can't be read as frames is read as bytes: a connection that is dropped with something unread is reset,
            // and the reset can overtake what was just said.
            SockRef::from(AsRef::<TcpStream>::as_ref(&*self.writer)).shutdown(Shutdown::Write)?;
            tokio::io::copy(&mut self.reader, &mut tokio::io::sink()).await?;
            Ok::<_, io::Error>(())
        };
        let patience = if reason == CloseReason::Slow { SLOW_GOODBYE } else { GOODBYE };
        match timeout(patience, goodbye).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::trace!(%error, "the peer left before goodbye"),
            Err(_) => tracing::trace!("the peer did not answer goodbye"),
        }
    }
}
