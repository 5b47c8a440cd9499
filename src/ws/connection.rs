//! One connection from its first word to its last: a single task that reads, carries out, writes and keeps time.
//!
//! Promises that nothing blocks it for longer than its peer's patience, and that it ends in one place: forgotten by the
//! hub, told as gone, and said goodbye to.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use entity::{Millis, RoomId};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{
    authenticate::{Known, Opening, authenticate},
    drain, presence,
    rate::{Bucket, Verdict},
    socket::{Heard, Socket},
};
use crate::{
    app::App,
    auth::Caller,
    clock,
    error::{Error, ErrorCode, Result},
    locale::Locale,
    realtime::{
        Channel, CloseReason,
        outlet::{Closing, Outlet},
        protocol::{
            events::CountView,
            frames,
            ops::{self, Incoming},
        },
    },
};

/// Bytes that are handed to the socket at once; the rest waits in the bounded queue, where it can be superseded.
const CHUNK: usize = 16 * 1024;

/// How soon it is tried again what failed because the database or the broker is away.
const AGAIN: Duration = Duration::from_secs(1);

/// How often a lobby's counts are looked at.
const LOBBY: Duration = Duration::from_secs(1);

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
    bucket: Option<Bucket>,
    pings: bool,
    beat_at: Instant,
    /// A heartbeat waits for its answer until then.
    answer_by: Option<Instant>,
    lobby_at: Instant,
    /// What could not be read because something is down, and when it is tried again.
    pub(super) unread: Vec<Channel>,
    pub(super) again_at: Option<Instant>,
}

/// Serves one connection until it ends.
pub(super) async fn run(app: App, mut socket: Socket, opening: Opening) {
    let authenticated = app.drain.run_until_cancelled(authenticate(&app, &mut socket, &opening)).await;
    let known = match authenticated {
        Some(Ok(known)) => known,
        Some(Err(reason)) => return close(&app, socket, Closing { reason, reconnect_ms: None }).await,
        None => return close(&app, socket, drain::goodbye()).await,
    };
    app.metrics.opened.inc();
    let cap = app.config.limits.connections_per_user;
    let outlet = app.hub.registry().add(known.caller.account, known.caller.session, cap);
    // Whoever sends everybody away may have looked just before.
    if app.drain.is_cancelled() {
        outlet.close(drain::goodbye());
    }
    let now = Instant::now();
    let limits = &app.config.limits;
    let unlimited = app.throttle.exempts(opening.peer) && !app.config.message_rate_is_set;
    let bucket = (!unlimited).then(|| Bucket::new(limits.messages_per_second, limits.burst, now.into_std()));
    let mut connection = Connection {
        caller: known.caller,
        outlet: Arc::clone(&outlet),
        locale: known.locale,
        peer: opening.peer,
        room: None,
        lobby: BTreeMap::new(),
        socket,
        bucket,
        pings: opening.pings,
        beat_at: now + jittered(app.config.socket.heartbeat),
        answer_by: None,
        lobby_at: now,
        unread: Vec::new(),
        again_at: None,
        app: app.clone(),
    };
    let reason = connection.serve(known).await;
    app.hub.registry().forget(&outlet);
    let for_good = matches!(reason, CloseReason::SessionEnded | CloseReason::AccountDeleted);
    if let Err(error) = presence::disconnected(&app, &outlet, for_good).await {
        tracing::warn!(error = %error, "telling that somebody is gone");
    }
    let reconnect_ms = outlet.closing().and_then(|closing| closing.reconnect_ms);
    close(&app, connection.socket, Closing { reason, reconnect_ms }).await;
}

async fn close(app: &App, socket: Socket, closing: Closing) {
    app.metrics.closed(closing.reason.as_str());
    socket.close(closing).await;
}

/// ± 10 %, so that connections that began together don't beat together.
fn jittered(period: Duration) -> Duration {
    period.mul_f64(rand::random_range(0.9..1.1))
}

impl Connection {
    async fn serve(&mut self, mut known: Known) -> CloseReason {
        let rest = std::mem::take(&mut known.rest);
        let opened = self.open(known).await;
        match opened {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => return reason,
            Err(error) => return self.broken(&error),
        }
        for message in rest {
            if let Err(reason) = self.receive(message).await {
                return reason;
            }
        }
        loop {
            match self.turn().await {
                Ok(()) => {}
                Err(reason) => return reason,
            }
        }
    }

    pub(super) fn broken(&self, error: &Error) -> CloseReason {
        match error.code() {
            ErrorCode::SessionEnded => CloseReason::SessionEnded,
            ErrorCode::AccountNotFound => CloseReason::AccountDeleted,
            _ => {
                tracing::error!(error = format!("{error:#}"), account = %self.caller.account, "a connection broke");
                CloseReason::ServerError
            }
        }
    }

    /// Something is down, which is no reason to send this connection away: it is looked at again a little later.
    pub(super) fn look_again(&mut self, channel: Option<Channel>) {
        self.unread.extend(channel);
        self.again_at.get_or_insert(Instant::now() + jittered(AGAIN));
    }

    pub(super) async fn write(&mut self, frames: Vec<Utf8Bytes>) -> Result<(), CloseReason> {
        self.socket.write(frames, &self.outlet).await
    }

    /// Writes an answer behind what was said before it: after `room.leave` nothing of the room comes any more, and a
    /// client that asks "anything new?" is not told "no" too early.
    pub(super) async fn answer(&mut self, answer: Vec<Utf8Bytes>) -> Result<(), CloseReason> {
        let mut frames = self.outlet.waiting();
        frames.extend(answer);
        self.write(frames).await
    }

    /// Writes what waits, then does whatever comes first.
    async fn turn(&mut self) -> Result<(), CloseReason> {
        let turn = self.outlet.turn(CHUNK);
        if let Some(closing) = turn.closing {
            return Err(closing.reason);
        }
        if !turn.frames.is_empty() {
            self.write(turn.frames).await?;
        }
        if turn.follow {
            self.refollow().await?;
        }
        for channel in self.outlet.take_stale() {
            self.resend(channel).await?;
        }
        let next = self.next_deadline();
        tokio::select! {
            () = std::future::ready(()), if turn.more => Ok(()),
            () = self.outlet.woken() => Ok(()),
            heard = self.socket.hear() => self.heard(heard).await,
            () = tokio::time::sleep_until(next) => self.keep_time().await,
        }
    }

    async fn heard(&mut self, heard: Heard) -> Result<(), CloseReason> {
        let text = match heard {
            Heard::Text(text) => text,
            Heard::Pong => {
                self.beat_answered();
                return Ok(());
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

    /// Whether a heartbeat waited for this.
    fn beat_answered(&mut self) -> bool {
        let Some(by) = self.answer_by.take() else { return false };
        let left = by.saturating_duration_since(Instant::now());
        self.outlet.note_round_trip(self.app.config.socket.answer.saturating_sub(left));
        true
    }

    /// Counts one message, and carries it out if it does not come too fast.
    async fn receive(&mut self, message: Incoming) -> Result<(), CloseReason> {
        let verdict = self.bucket.as_mut().map_or(Verdict::Fine, |bucket| bucket.count(Instant::now().into_std()));
        match (verdict, message) {
            (Verdict::Enough, _) => Err(CloseReason::Rate),
            (_, Incoming::Alive) => Ok(()),
            (Verdict::TooMany, Incoming::Request(request)) => {
                let error = Error::retry(ErrorCode::TooManyRequests, Duration::from_secs(1));
                self.answer(vec![frames::err(request.id, &error, self.locale)]).await
            }
            (Verdict::Fine, Incoming::Request(request)) => self.dispatch(request).await,
        }
    }

    /// When this connection has to do something by itself.
    fn next_deadline(&self) -> Instant {
        let expiry = Instant::now() + clock::until(self.app.clock.now(), self.dies_at());
        let lobby = (!self.lobby.is_empty()).then_some(self.lobby_at);
        [Some(self.beat_at), self.answer_by, Some(expiry), lobby, self.again_at]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(expiry)
    }

    fn dies_at(&self) -> Millis {
        clock::after(self.caller.expires_at, self.app.config.socket.expiry_grace)
    }

    async fn keep_time(&mut self) -> Result<(), CloseReason> {
        let now = Instant::now();
        if self.dies_at() <= self.app.clock.now() {
            return Err(CloseReason::TokenExpired);
        }
        if self.answer_by.is_some_and(|by| by <= now) {
            return Err(CloseReason::NoAnswer);
        }
        if self.beat_at <= now {
            self.beat_at = now + jittered(self.app.config.socket.heartbeat);
            self.answer_by.get_or_insert(now + self.app.config.socket.answer);
            match self.pings {
                true => self.socket.ping().await?,
                false => self.write(vec![frames::HEARTBEAT.into()]).await?,
            }
        }
        if self.again_at.is_some_and(|again| again <= now) {
            self.again_at = None;
            self.outlet.follow();
            for channel in std::mem::take(&mut self.unread) {
                self.outlet.try_again(channel);
            }
        }
        if !self.lobby.is_empty() && self.lobby_at <= now {
            self.lobby_at = now + LOBBY;
            self.tell_lobby().await?;
        }
        Ok(())
    }
}
