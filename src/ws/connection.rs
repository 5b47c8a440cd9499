//! One connection that has authenticated: it reads, carries out and keeps time. What leaves is handed to its outlet.
//!
//! Promises that an idle one is small, and that it ends in one place: forgotten by the hub, told as gone, and said
//! goodbye to.

use std::{
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use entity::RoomId;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_tungstenite::tungstenite::protocol::frame::coding::Control;

use super::{
    authenticate::{Known, Opening},
    drain,
    inbox::Heard,
    life::{Done, close},
    lobby::Lobby,
    presence,
    rate::{Bucket, Verdict},
    socket::Socket,
    times::{Unread, next_beat},
};
use crate::{
    app::App,
    auth::Caller,
    error::{Error, ErrorCode, Result},
    locale::Locale,
    realtime::{
        Channel, CloseReason,
        admission::Admitted,
        outlet::{Closing, Duty, Outlet},
        protocol::{
            Frame, frames,
            ops::{self, Incoming},
        },
    },
};

/// A connection that has authenticated.
pub(super) struct Connection {
    pub(super) app: App,
    pub(super) caller: Caller,
    pub(super) outlet: Arc<Outlet>,
    pub(super) locale: Locale,
    pub(super) peer: IpAddr,
    /// Rooms whose counts are watched.
    pub(super) lobby: Option<Box<Lobby>>,
    socket: Socket,
    /// Answers that wait until everything that came together is carried out: they leave together.
    answers: Vec<Frame>,
    bucket: Option<Bucket>,
    pub(super) pings: bool,
    pub(super) beat_at: Instant,
    /// A heartbeat waits for its answer until then.
    pub(super) answer_by: Option<Instant>,
    /// What could not be read because something is down.
    pub(super) unread: Option<Box<Unread>>,
    pub(super) alarm: Pin<Box<Sleep>>,
    /// The peer said goodbye with this number.
    goodbye: Option<u16>,
    _admitted: Admitted,
}

/// What a connection waits for.
pub(super) enum Next {
    Look,
    Heard(Heard),
    Time,
}

impl Connection {
    pub(super) fn new(app: App, socket: Socket, opening: &Opening, known: &Known, admitted: Admitted) -> Self {
        app.metrics.opened.inc();
        let limits = &app.config.limits;
        let outlet = app.hub.registry().add(known.caller.account, known.caller.session, limits.connections_per_user);
        outlet.attach(socket.wire());
        // Whoever sends everybody away may have looked just before.
        if app.drain.is_cancelled() {
            outlet.close(drain::goodbye());
        }
        let now = Instant::now();
        let unlimited = app.throttle.exempts(opening.peer) && !app.config.message_rate_is_set;
        let bucket = (!unlimited).then(|| Bucket::new(limits.burst, now.into_std()));
        Self {
            caller: known.caller,
            outlet,
            locale: known.locale,
            peer: opening.peer,
            lobby: None,
            socket,
            answers: Vec::new(),
            bucket,
            pings: opening.pings,
            beat_at: next_beat(now, app.clock.now(), app.config.socket.heartbeat),
            answer_by: None,
            unread: None,
            alarm: Box::pin(sleep_until(now)),
            goodbye: None,
            _admitted: admitted,
            app,
        }
    }

    /// `hello`, and what shared a frame with the first message.
    pub(super) async fn begin(&mut self, mut known: Known) -> Result<(), CloseReason> {
        let rest = std::mem::take(&mut known.rest);
        match self.open(known).await {
            Ok(opened) => opened?,
            Err(error) => return Err(self.broken(&error)),
        }
        for message in rest {
            self.receive(message).await?;
        }
        Ok(())
    }

    pub(super) async fn end(self: Box<Self>, reason: CloseReason) -> Done {
        self.app.hub.registry().forget(&self.outlet);
        let for_good = matches!(reason, CloseReason::SessionEnded | CloseReason::AccountDeleted);
        if let Err(error) = presence::disconnected(&self.app, &self.outlet, for_good).await {
            tracing::warn!(error = %error, "telling that somebody is gone");
        }
        let reconnect_ms = self.outlet.closing().and_then(|closing| closing.reconnect_ms);
        let torn = self.outlet.detach();
        close(&self.app, self.socket, Closing { reason, reconnect_ms }, torn, self.goodbye).await;
        None
    }

    /// The room whose channel this connection listens to.
    pub(super) fn room(&self) -> Option<RoomId> {
        match self.outlet.room() {
            Some(Channel::Room(room)) => Some(room),
            _ => None,
        }
    }

    pub(super) fn broken(&self, error: &Error) -> CloseReason {
        match error.code() {
            ErrorCode::SessionEnded => CloseReason::SessionEnded,
            ErrorCode::AccountNotFound => CloseReason::AccountDeleted,
            // Whoever found that out has said why.
            ErrorCode::Unavailable => CloseReason::ServerError,
            _ => {
                tracing::error!(error = format!("{error:#}"), account = %self.caller.account, "a connection broke");
                CloseReason::ServerError
            }
        }
    }

    /// Hands over what there is to say, behind what was said before it: after `room.leave` nothing of the room comes any
    /// more, and a client that asks "anything new?" is not told "no" too early.
    pub(super) fn write(&mut self, frames: impl IntoIterator<Item = Frame>) {
        let answers = std::mem::take(&mut self.answers);
        self.app.hub.registry().say(&self.outlet, answers.into_iter().chain(frames));
    }

    /// Answers once everything that came together is carried out.
    pub(super) fn answer(&mut self, frame: Frame) {
        self.answers.push(frame);
    }

    /// Does what it waited for.
    pub(super) async fn act(mut self: Box<Self>, next: Next) -> Done {
        let done = match next {
            Next::Look => self.look().await,
            Next::Heard(heard) => self.heard(heard).await,
            Next::Time => self.keep_time().await,
        };
        Some((self, done))
    }

    /// Looks where the connection belongs and what it has to read anew.
    async fn look(&mut self) -> Result<(), CloseReason> {
        if self.outlet.takes_follow() {
            self.refollow().await?;
        }
        for channel in self.outlet.take_stale() {
            self.resend(channel).await?;
        }
        Ok(())
    }

    /// What comes first, or why this connection is to end. What waits to be written is written meanwhile.
    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Next, CloseReason>> {
        let hears = loop {
            match self.outlet.poll_duty(context) {
                Poll::Ready(Duty::Close(reason)) => return Poll::Ready(Err(reason)),
                Poll::Ready(Duty::Look) => return Poll::Ready(Ok(Next::Look)),
                Poll::Ready(Duty::Stuck { own }) if self.socket.poll_writable(context).is_pending() => break !own,
                Poll::Ready(Duty::Stuck { .. } | Duty::Write) => self.outlet.flush(&mut Vec::new()),
                Poll::Pending => break true,
            }
        };
        if hears && let Poll::Ready(heard) = self.socket.poll_hear(self.app.config.socket.max_frame, context) {
            return Poll::Ready(Ok(Next::Heard(heard)));
        }
        self.alarm.as_mut().poll(context).map(|()| Ok(Next::Time))
    }

    /// Carries out what was heard, and what came together with it.
    async fn heard(&mut self, mut heard: Heard) -> Result<(), CloseReason> {
        loop {
            let done = self.hear(heard).await;
            let next = done.is_ok().then(|| self.socket.heard(self.app.config.socket.max_frame)).flatten();
            let Some(next) = next else {
                if !self.answers.is_empty() {
                    self.app.hub.registry().answer(&self.outlet, std::mem::take(&mut self.answers));
                }
                return done;
            };
            heard = next;
        }
    }

    async fn hear(&mut self, heard: Heard) -> Result<(), CloseReason> {
        let text = match heard {
            Heard::Text(text) => text,
            Heard::Ping(payload) => {
                self.write([Frame::control(Control::Pong, &payload)]);
                return Ok(());
            }
            Heard::Pong => {
                self.beat_answered();
                return Ok(());
            }
            Heard::Goodbye(code) => {
                self.goodbye = code;
                return Err(CloseReason::Normal);
            }
            Heard::Gone => return Err(CloseReason::Normal),
            Heard::Bad(reason) => return Err(reason),
        };
        let awaited = self.beat_answered();
        for message in ops::parse_frame(&text).map_err(|_| CloseReason::BadProtocol)? {
            // The one answer that was asked for is free; empty messages beyond it count like any other.
            if matches!(message, Incoming::Alive) && awaited {
                continue;
            }
            self.receive(message).await?;
        }
        Ok(())
    }

    /// Counts one message, and carries it out if it does not come too fast.
    async fn receive(&mut self, message: Incoming) -> Result<(), CloseReason> {
        let limits = &self.app.config.limits;
        let count =
            |bucket: &mut Bucket| bucket.count(limits.messages_per_second, limits.burst, Instant::now().into_std());
        let verdict = self.bucket.as_mut().map_or(Verdict::Fine, count);
        match (verdict, message) {
            (Verdict::Enough, _) => Err(CloseReason::Rate),
            (_, Incoming::Alive) => Ok(()),
            (Verdict::TooMany, Incoming::Request(request)) => {
                let error = Error::retry(ErrorCode::TooManyRequests, Duration::from_secs(1));
                self.write([frames::err(request.id, &error, self.locale)]);
                Ok(())
            }
            (Verdict::Fine, Incoming::Request(request)) => self.dispatch(request).await,
        }
    }
}
