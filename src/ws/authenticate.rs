//! Who is on the other end: by the request, by a ticket, or by the first message.

use std::net::IpAddr;

use entity::{AccountId, Millis, SessionId};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::frame::coding::Control;

use super::{inbox::Heard, socket::Socket};
use crate::{
    app::App,
    auth::Caller,
    error::{Error, ErrorCode, Result},
    locale::Locale,
    realtime::protocol::{
        CloseReason, Frame, frames,
        ops::{self, Incoming, Op, Request, Since},
    },
};

/// Messages that may come before the one that authenticates: heartbeats and mistakes.
const PATIENCE: usize = 8;

/// What the request said about the connection.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) proof: Proof,
    pub(super) locale: Locale,
    pub(super) peer: IpAddr,
    /// Heartbeats are WebSocket pings.
    pub(super) pings: bool,
}

/// How the peer proves who it is.
pub(super) enum Proof {
    Token(String),
    Ticket(String),
    FirstMessage,
    Refused(CloseReason),
}

impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "Token",
            Self::Ticket(_) => "Ticket",
            Self::FirstMessage => "FirstMessage",
            Self::Refused(_) => "Refused",
        })
    }
}

/// The peer is known.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) caller: Caller,
    pub(super) locale: Locale,
    /// Where the client stands, from a first message.
    pub(super) since: Since,
    /// The first message's id, to be answered.
    pub(super) id: Option<u32>,
    /// What shared a frame with the first message and came after it.
    pub(super) rest: Vec<Incoming>,
}

#[derive(Serialize, Deserialize)]
struct Ticket {
    account: i64,
    session: i64,
    staff: bool,
    expires_at: i64,
}

/// Under which name the broker keeps a ticket.
pub(super) fn ticket_key(ticket: &str) -> String {
    format!("ticket:{ticket}")
}

/// What the broker keeps.
pub(super) fn ticket_value(caller: &Caller) -> String {
    let ticket = Ticket {
        account: caller.account.0,
        session: caller.session.0,
        staff: caller.staff,
        expires_at: caller.expires_at.0,
    };
    serde_json::to_string(&ticket).unwrap_or_default()
}

async fn redeem(app: &App, ticket: &str) -> Result<Caller> {
    let kept = app.hub.broker().take(&ticket_key(ticket), app.clock.now()).await?;
    let ticket = kept.and_then(|kept| serde_json::from_str::<Ticket>(&kept).ok()).ok_or(ErrorCode::TicketInvalid)?;
    let caller = Caller {
        account: AccountId(ticket.account),
        session: SessionId(ticket.session),
        staff: ticket.staff,
        expires_at: Millis(ticket.expires_at),
    };
    app.auth.check_session(caller.account, caller.session).await?;
    Ok(caller)
}

/// Finds out who is on the other end. What is wrong is answered by `err`, because a browser can't see why an upgrade
/// was refused; the reason to close is returned.
pub(super) async fn authenticate(app: &App, socket: &mut Socket, opening: &Opening) -> Result<Known, CloseReason> {
    let locale = opening.locale;
    let known = |caller| Known { caller, locale, since: Since::new(), id: None, rest: Vec::new() };
    let checked = match &opening.proof {
        Proof::Token(token) => app.auth.check(token).await,
        Proof::Ticket(ticket) => redeem(app, ticket).await,
        // Nobody asked about a token; `bye` names the version.
        Proof::Refused(CloseReason::Version) => return Err(CloseReason::Version),
        Proof::Refused(reason) => {
            refuse(app, socket, None, &ErrorCode::TokenInvalid.into(), locale).await?;
            return Err(*reason);
        }
        Proof::FirstMessage => {
            let waited = timeout(app.config.socket.auth, first_message(app, socket, locale)).await;
            return waited.unwrap_or(Err(CloseReason::AuthTimeout));
        }
    };
    match checked {
        Ok(caller) => Ok(known(caller)),
        Err(error) => Err(refused(app, socket, None, error, locale).await?),
    }
}

async fn first_message(app: &App, socket: &mut Socket, locale: Locale) -> Result<Known, CloseReason> {
    for _ in 0..PATIENCE {
        let text = match socket.hear(app.config.socket.max_frame).await {
            Heard::Text(text) => text,
            Heard::Ping(payload) => {
                write(app, socket, &Frame::control(Control::Pong, &payload)).await?;
                continue;
            }
            Heard::Pong => continue,
            Heard::Gone | Heard::Goodbye(_) => return Err(CloseReason::Normal),
            Heard::Bad(reason) => return Err(reason),
        };
        let mut messages = ops::parse_frame(&text).map_err(|_| CloseReason::BadProtocol)?.into_iter();
        while let Some(message) = messages.next() {
            let Incoming::Request(Request { id, op }) = message else { continue };
            let error = match op {
                Ok(Op::Auth { token, since, locale: tag }) => {
                    let locale = tag.as_deref().map_or(locale, Locale::negotiate);
                    return match app.auth.check(&token).await {
                        Ok(caller) => Ok(Known { caller, locale, since, id, rest: messages.collect() }),
                        Err(error) => Err(refused(app, socket, id, error, locale).await?),
                    };
                }
                Ok(_) => ErrorCode::Unauthenticated.into(),
                Err(error) => error,
            };
            refuse(app, socket, id, &error, locale).await?;
        }
    }
    Err(CloseReason::Unauthorized)
}

/// Answers why, and says with which reason to close: a client whose proof is fine but can't be checked may come back.
async fn refused(
    app: &App,
    socket: &mut Socket,
    id: Option<u32>,
    error: Error,
    locale: Locale,
) -> Result<CloseReason, CloseReason> {
    refuse(app, socket, id, &error, locale).await?;
    Ok(match error.code() {
        ErrorCode::Unavailable | ErrorCode::Internal => CloseReason::ServerError,
        _ => CloseReason::Unauthorized,
    })
}

async fn refuse(
    app: &App,
    socket: &mut Socket,
    id: Option<u32>,
    error: &Error,
    locale: Locale,
) -> Result<(), CloseReason> {
    if let Error::Internal(error) = error {
        tracing::error!(error = format!("{error:#}"), "a socket could not be authenticated");
    }
    write(app, socket, &frames::err(id, error, locale)).await
}

/// Writes before there is an outlet.
async fn write(app: &App, socket: &Socket, frame: &Frame) -> Result<(), CloseReason> {
    let patience = app.config.socket.heartbeat + app.config.socket.answer;
    let written = timeout(patience, socket.write(frame.whole())).await;
    written.map_err(|_| CloseReason::NoAnswer)?.map_err(|_| CloseReason::Normal)
}
