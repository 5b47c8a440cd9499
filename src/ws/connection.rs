//! One connection from its first word to its last: a single task that reads, carries out and keeps time. What leaves is
//! handed to its outlet.
//!
//! Promises that an idle one is small, and that it ends in one place: forgotten by the hub, told as gone, and said
//! goodbye to.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use entity::RoomId;
use hyper::upgrade::OnUpgrade;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_tungstenite::tungstenite::protocol::frame::coding::Control;

use super::{
    authenticate::{Known, Opening, authenticate},
    drain,
    inbox::Heard,
    presence,
    rate::{Bucket, Verdict},
    socket::Socket,
    times::next_beat,
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
            Frame,
            events::CountView,
            frames,
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
    /// The room whose channel this connection listens to.
    pub(super) room: Option<RoomId>,
    /// Rooms whose counts are watched, with what was told last.
    pub(super) lobby: BTreeMap<RoomId, Option<CountView>>,
    socket: Socket,
    /// Answers that wait until everything that came together is carried out: they leave together.
    answers: Vec<Frame>,
    bucket: Option<Bucket>,
    pub(super) pings: bool,
    pub(super) beat_at: Instant,
    /// A heartbeat waits for its answer until then.
    pub(super) answer_by: Option<Instant>,
    pub(super) lobby_at: Instant,
    /// What could not be read because something is down, and when it is tried again.
    pub(super) unread: Vec<Channel>,
    pub(super) again_at: Option<Instant>,
    pub(super) alarm: Pin<Box<Sleep>>,
    /// The peer said goodbye with this number.
    goodbye: Option<u16>,
    _admitted: Admitted,
}

/// What a connection waits for.
enum Next {
    Duty(Duty),
    Heard(Heard),
    Time,
}

/// Serves one connection until it ends, and holds its place until then. What happens once or now and then is boxed, and
/// takes no room in between.
pub(super) fn spawn(app: &App, upgraded: OnUpgrade, opening: Opening, admitted: Admitted) {
    let begins = Box::pin(begin(app.clone(), upgraded, opening, admitted));
    app.tasks.spawn(async move {
        let Some((mut connection, begun)) = begins.await else { return };
        let reason = match begun {
            Ok(()) => connection.serve().await,
            Err(reason) => reason,
        };
        Box::pin(connection.end(reason)).await;
    });
}

/// From the upgrade to the open gates; nothing, if the peer is nobody.
async fn begin(
    app: App,
    upgraded: OnUpgrade,
    opening: Opening,
    admitted: Admitted,
) -> Option<(Box<Connection>, Result<(), CloseReason>)> {
    // A peer that goes away between the answer and here was never connected.
    let mut socket = Socket::new(upgraded.await.ok()?, app.config.socket.max_frame)?;
    let known = async {
        let known = authenticate(&app, &mut socket, &opening).await?;
        Ok((known, app.hub.admission().turn().await))
    };
    let closing = match app.drain.run_until_cancelled(known).await {
        // Where thousands come at once, some have given up before it is their turn.
        Some(Ok(_)) if socket.is_gone() => return None,
        Some(Ok((known, _turn))) => {
            let mut connection = Box::new(Connection::new(app, socket, &opening, &known, admitted));
            let begun = connection.begin(known).await;
            return Some((connection, begun));
        }
        Some(Err(reason)) => Closing { reason, reconnect_ms: None },
        None => drain::goodbye(),
    };
    close(&app, socket, closing, Bytes::new(), None).await;
    None
}

async fn close(app: &App, socket: Socket, closing: Closing, torn: Bytes, answer: Option<u16>) {
    app.metrics.closed(closing.reason.as_str());
    socket.close(closing, torn, answer).await;
}

impl Connection {
    fn new(app: App, socket: Socket, opening: &Opening, known: &Known, admitted: Admitted) -> Self {
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
        let bucket = (!unlimited).then(|| Bucket::new(limits.messages_per_second, limits.burst, now.into_std()));
        Self {
            caller: known.caller,
            outlet,
            locale: known.locale,
            peer: opening.peer,
            room: None,
            lobby: BTreeMap::new(),
            socket,
            answers: Vec::new(),
            bucket,
            pings: opening.pings,
            beat_at: next_beat(now, app.clock.now(), app.config.socket.heartbeat),
            answer_by: None,
            lobby_at: now,
            unread: Vec::new(),
            again_at: None,
            alarm: Box::pin(sleep_until(now)),
            goodbye: None,
            _admitted: admitted,
            app,
        }
    }

    /// `hello`, and what shared a frame with the first message.
    async fn begin(&mut self, mut known: Known) -> Result<(), CloseReason> {
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

    /// Until there is a reason to end.
    async fn serve(&mut self) -> CloseReason {
        loop {
            self.set_alarm();
            if let Err(reason) = self.turn().await {
                return reason;
            }
        }
    }

    async fn end(self: Box<Self>, reason: CloseReason) {
        self.app.hub.registry().forget(&self.outlet);
        let for_good = matches!(reason, CloseReason::SessionEnded | CloseReason::AccountDeleted);
        if let Err(error) = presence::disconnected(&self.app, &self.outlet, for_good).await {
            tracing::warn!(error = %error, "telling that somebody is gone");
        }
        let reconnect_ms = self.outlet.closing().and_then(|closing| closing.reconnect_ms);
        let torn = self.outlet.detach();
        close(&self.app, self.socket, Closing { reason, reconnect_ms }, torn, self.goodbye).await;
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

    /// Does whatever comes first.
    async fn turn(&mut self) -> Result<(), CloseReason> {
        match poll_fn(|context| self.poll_next(context)).await {
            Next::Duty(Duty::Close(reason)) => Err(reason),
            Next::Duty(Duty::Look) => Box::pin(self.look()).await,
            Next::Duty(Duty::Stuck { .. } | Duty::Write) => Ok(()),
            Next::Heard(heard) => Box::pin(self.heard(heard)).await,
            Next::Time => Box::pin(self.keep_time()).await,
        }
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

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        let mut hears = true;
        match self.outlet.poll_duty(context) {
            Poll::Ready(Duty::Write) => {
                self.outlet.flush(&mut Vec::new());
                return Poll::Ready(Next::Duty(Duty::Write));
            }
            Poll::Ready(stuck @ Duty::Stuck { own }) => {
                if self.socket.poll_writable(context).is_ready() {
                    self.outlet.flush(&mut Vec::new());
                    return Poll::Ready(Next::Duty(stuck));
                }
                hears = !own;
            }
            Poll::Ready(duty) => return Poll::Ready(Next::Duty(duty)),
            Poll::Pending => {}
        }
        if hears && let Poll::Ready(heard) = self.socket.poll_hear(context) {
            return Poll::Ready(Next::Heard(heard));
        }
        self.alarm.as_mut().poll(context).map(|()| Next::Time)
    }

    /// Carries out what was heard, and what came together with it.
    async fn heard(&mut self, mut heard: Heard) -> Result<(), CloseReason> {
        loop {
            let done = self.hear(heard).await;
            let next = done.is_ok().then(|| self.socket.heard()).flatten();
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
        let verdict = self.bucket.as_mut().map_or(Verdict::Fine, |bucket| bucket.count(Instant::now().into_std()));
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
