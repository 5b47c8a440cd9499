//! The WebSocket itself: the one small module that touches it.
//!
//! Promises that a write never outlasts its connection's patience: a peer that doesn't read is noticed by a full queue
//! or by the clock, and gets a last chance to read why it is sent away.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::{io::AsyncWriteExt, time::timeout};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message, Utf8Bytes,
        error::CapacityError,
        protocol::{CloseFrame, Role, WebSocketConfig},
    },
};

use crate::{
    config,
    realtime::{
        outlet::{Closing, Outlet},
        protocol::{CloseReason, frames},
    },
};

/// Bytes that are read or written at once. The default reserves 128 KiB a connection.
const BUFFER: usize = 4096;

/// How long a closing socket may take to say goodbye; a slow one has to read what it was sent before.
const GOODBYE: Duration = Duration::from_secs(2);
const SLOW_GOODBYE: Duration = Duration::from_secs(30);

/// What came in.
#[derive(Debug)]
pub(super) enum Heard {
    /// A text frame.
    Text(Utf8Bytes),
    /// A sign of life.
    Pong,
    /// The peer is gone, with or without a word.
    Gone,
    /// What came can't be accepted.
    Bad(CloseReason),
}

/// One connection's WebSocket.
#[derive(Debug)]
pub(super) struct Socket {
    stream: WebSocketStream<TokioIo<Upgraded>>,
    patience: Duration,
}

impl Socket {
    pub(super) async fn new(io: TokioIo<Upgraded>, config: &config::Socket) -> Self {
        let settings = WebSocketConfig::default()
            .read_buffer_size(BUFFER)
            .write_buffer_size(BUFFER)
            .max_write_buffer_size(config.queue_bytes.max(64 * 1024) * 2)
            .max_message_size(Some(config.max_frame))
            .max_frame_size(Some(config.max_frame));
        let stream = WebSocketStream::from_raw_socket(io, Role::Server, Some(settings)).await;
        Self { stream, patience: config.heartbeat + config.answer }
    }

    /// The next thing that comes. Can be dropped while waiting without losing anything.
    pub(super) async fn hear(&mut self) -> Heard {
        loop {
            return match self.stream.next().await {
                Some(Ok(Message::Text(text))) => Heard::Text(text),
                Some(Ok(Message::Binary(_))) => Heard::Bad(CloseReason::BadProtocol),
                Some(Ok(Message::Pong(_))) => Heard::Pong,
                // The library answers pings by itself.
                Some(Ok(Message::Ping(_) | Message::Frame(_))) => continue,
                Some(Err(Error::Capacity(CapacityError::MessageTooLong { .. }))) => Heard::Bad(CloseReason::TooBig),
                Some(Err(Error::Utf8(_) | Error::Protocol(_))) => Heard::Bad(CloseReason::BadProtocol),
                Some(Ok(Message::Close(_)) | Err(_)) | None => Heard::Gone,
            };
        }
    }

    /// Writes frames in order. While the peer doesn't read, `outlet` may fill up, which ends the attempt.
    pub(super) async fn write(&mut self, frames: Vec<Utf8Bytes>, outlet: &Outlet) -> Result<(), CloseReason> {
        let patience = self.patience;
        let write = async {
            for frame in frames {
                self.stream.feed(Message::Text(frame)).await?;
            }
            self.stream.flush().await
        };
        tokio::select! {
            // First: what follows a write that was given up would follow a gap.
            biased;
            closing = outlet.ended() => Err(closing.reason),
            written = write => written.map_err(|_| CloseReason::Normal),
            () = tokio::time::sleep(patience) => Err(CloseReason::NoAnswer),
        }
    }

    /// Writes one frame before there is an outlet.
    pub(super) async fn write_one(&mut self, frame: Utf8Bytes) -> Result<(), CloseReason> {
        let written = timeout(self.patience, self.stream.send(Message::Text(frame))).await;
        written.map_err(|_| CloseReason::NoAnswer)?.map_err(|_| CloseReason::Normal)
    }

    /// Asks for a sign of life by WebSocket's own means.
    pub(super) async fn ping(&mut self) -> Result<(), CloseReason> {
        let written = timeout(self.patience, self.stream.send(Message::Ping(Default::default()))).await;
        written.map_err(|_| CloseReason::NoAnswer)?.map_err(|_| CloseReason::Normal)
    }

    /// Says `bye` and why, and waits a moment for the peer to have read it.
    pub(super) async fn close(mut self, closing: Closing) {
        let Closing { reason, reconnect_ms } = closing;
        let frame = CloseFrame { code: reason.code().into(), reason: Utf8Bytes::from_static(reason.as_str()) };
        let goodbye = async {
            if reason != CloseReason::Normal {
                self.stream.send(Message::Text(frames::bye(reason, reconnect_ms))).await?;
            }
            self.stream.close(Some(frame)).await?;
            let mut answered = reason == CloseReason::Normal;
            while let Some(Ok(heard)) = self.stream.next().await {
                answered |= heard.is_close();
            }
            if !answered {
                // What can't be read as frames is read as bytes: a connection that is dropped with something unread is
                // reset, and the reset can overtake what was just said.
                let io = self.stream.get_mut();
                io.shutdown().await?;
                tokio::io::copy(io, &mut tokio::io::sink()).await?;
            }
            Ok::<_, Error>(())
        };
        let patience = if reason == CloseReason::Slow { SLOW_GOODBYE } else { GOODBYE };
        match timeout(patience, goodbye).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::trace!(%error, "the peer left before goodbye"),
            Err(_) => tracing::trace!("the peer did not answer goodbye"),
        }
    }
}
