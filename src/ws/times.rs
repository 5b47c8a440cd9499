//! What a connection does by itself: heartbeats, the end of its token, the lobby's counts.
//!
//! Promises that a peer which does not answer is noticed, and that one whose socket is full is not asked: it could not
//! answer.

use std::time::Duration;

use entity::Millis;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::protocol::frame::coding::Control;

use super::connection::Connection;
use crate::{
    clock,
    realtime::protocol::{Channel, CloseReason, Frame, frames},
};

/// How soon it is tried again what failed because the database or the broker is away.
const AGAIN: Duration = Duration::from_secs(1);

/// When the next heartbeat is due: after `period` ± 10 %, so that connections that began together don't beat together,
/// and at one of the moments that all of them share, so that the process is not woken for each.
pub(super) fn next_beat(now: Instant, wall: Millis, period: Duration) -> Instant {
    let beat = period.mul_f64(rand::random_range(0.92..1.1));
    let step = i64::try_from(period.as_millis() / 50).unwrap_or(0).max(1);
    let beyond = clock::after(wall, beat).0.rem_euclid(step);
    now + beat - Duration::from_millis(beyond.unsigned_abs())
}

/// ± 10 %, so that not everybody tries at once.
fn jittered(period: Duration) -> Duration {
    period.mul_f64(rand::random_range(0.9..1.1))
}

/// What could not be read because something is down.
#[derive(Debug)]
pub(super) struct Unread {
    channels: Vec<Channel>,
    /// When it is tried again.
    again_at: Instant,
}

impl Connection {
    /// Something is down, which is no reason to send this connection away: it is looked at again a little later.
    pub(super) fn look_again(&mut self, channel: Option<Channel>) {
        let nothing = || Box::new(Unread { channels: Vec::new(), again_at: Instant::now() + jittered(AGAIN) });
        self.unread.get_or_insert_with(nothing).channels.extend(channel);
    }

    /// Whether a heartbeat waited for this.
    pub(super) fn beat_answered(&mut self) -> bool {
        let Some(by) = self.answer_by.take() else { return false };
        let left = by.saturating_duration_since(Instant::now());
        self.outlet.round_trip.note(self.app.config.socket.answer.saturating_sub(left));
        true
    }

    /// When this connection has to do something by itself. An alarm that is too early does no harm.
    pub(super) fn set_alarm(&mut self) {
        let expiry = Instant::now() + clock::until(self.app.clock.now(), self.dies_at());
        let lobby = self.lobby.as_ref().map(|lobby| lobby.look_at);
        let again = self.unread.as_ref().map(|unread| unread.again_at);
        let next = [Some(self.beat_at), self.answer_by, lobby, again].into_iter().flatten().min();
        let next = next.map_or(expiry, |next| next.min(expiry));
        if next < self.alarm.deadline() || self.alarm.is_elapsed() {
            self.alarm.as_mut().reset(next);
        }
    }

    /// How long a peer may take nothing.
    fn patience(&self) -> Duration {
        self.app.config.socket.heartbeat + self.app.config.socket.answer
    }

    fn dies_at(&self) -> Millis {
        clock::after(self.caller.expires_at, self.app.config.socket.expiry_grace)
    }

    pub(super) async fn keep_time(&mut self) -> Result<(), CloseReason> {
        let now = Instant::now();
        if self.dies_at() <= self.app.clock.now() {
            return Err(CloseReason::TokenExpired);
        }
        match self.outlet.stuck() {
            Some(since) if since.elapsed() >= self.patience() => return Err(CloseReason::NoAnswer),
            Some(_) => {
                // It can't read a question, and what it says is not read either: that it takes something is answer enough.
                let later = now + self.app.config.socket.answer;
                self.beat_at = self.beat_at.max(later);
                self.answer_by = self.answer_by.map(|by| by.max(later));
            }
            None if self.answer_by.is_some_and(|by| by <= now) => return Err(CloseReason::NoAnswer),
            None if self.beat_at <= now => {
                self.beat_at = next_beat(now, self.app.clock.now(), self.app.config.socket.heartbeat);
                self.answer_by.get_or_insert(now + self.app.config.socket.answer);
                self.write([match self.pings {
                    true => Frame::control(Control::Ping, &[]),
                    false => frames::HEARTBEAT.into(),
                }]);
            }
            None => {}
        }
        if let Some(unread) = self.unread.take_if(|unread| unread.again_at <= now) {
            self.outlet.follow();
            unread.channels.into_iter().for_each(|channel| self.outlet.try_again(channel));
        }
        self.look_at_lobby(now).await;
        Ok(())
    }
}
