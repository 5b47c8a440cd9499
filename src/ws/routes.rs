//! `GET /ws`: from an HTTP request to a connection; and tickets for clients that can send neither header nor message.

use std::time::Duration;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::any,
};
use serde::Serialize;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    authenticate::{self, Opening, Proof},
    life,
};
use crate::{
    app::App,
    auth::{Caller, secret, token_of},
    clock::{self, rfc3339},
    error::{Error, ErrorCode, Result},
    http::{Answer, Context, context},
    realtime::{CloseReason, protocol::SUBPROTOCOL},
};

/// When a client may come back that can't be taken in because something is down.
const RETRY: Duration = Duration::from_secs(2);

/// Paths of the socket door.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().route("/ws", any(upgrade)).routes(routes!(ticket))
}

#[derive(Debug, Serialize, ToSchema)]
struct TicketView {
    ticket: String,
    #[schema(format = DateTime)]
    expires_at: String,
}

/// A ticket: single use, short-lived, fit for a place where a token would be written down.
#[utoipa::path(post, path = "/ws/ticket", tag = "socket", responses((status = 200, body = TicketView)))]
async fn ticket(State(app): State<App>, caller: Caller) -> Result<Answer<TicketView>> {
    let ticket = secret::random_token();
    let ttl = app.config.socket.ticket;
    let now = app.clock.now();
    app.hub.broker().keep(authenticate::ticket_key(&ticket), authenticate::ticket_value(&caller), now, ttl).await?;
    Ok(Answer::new(TicketView { ticket, expires_at: rfc3339(clock::after(now, ttl)) }))
}

async fn upgrade(State(app): State<App>, context: Context, mut request: Request) -> Result<Response> {
    let accept = handshake(&request)?;
    check_origin(&app, request.headers())?;
    if app.drain.is_cancelled() {
        return Err(ErrorCode::Draining.into());
    }
    // Without what instances share nobody could be greeted; those who are here stay.
    if app.hub.broker().check().await.is_err() {
        return Err(Error::retry(ErrorCode::Unavailable, RETRY));
    }
    let admitted = app.hub.admission().admit(context::network(context.peer)).ok_or(ErrorCode::Overloaded)?;
    let opening = opening(&app, &request, &context);
    let speaks_ours = offered(request.headers()).any(|protocol| protocol == SUBPROTOCOL);
    let upgraded = hyper::upgrade::on(&mut request);
    life::spawn(&app, upgraded, opening, admitted);
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if speaks_ours {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    }
    Ok(response)
}

/// RFC 6455, section 4.2.1: what makes a request an opening handshake.
fn handshake(request: &Request) -> Result<HeaderValue> {
    let headers = request.headers();
    let has = |name: header::HeaderName, word: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(word))
    };
    let is_upgrade = *request.method() == Method::GET
        && has(header::CONNECTION, "upgrade")
        && has(header::UPGRADE, "websocket")
        && has(header::SEC_WEBSOCKET_VERSION, "13");
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| is_upgrade).ok_or(ErrorCode::UpgradeRequired)?;
    HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(|error| Error::Internal(error.into()))
}

/// A page may connect if it is on the exact list, or if this server itself served it. Programs send no origin.
fn check_origin(app: &App, headers: &HeaderMap) -> Result<()> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or_default();
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let own = host.is_some_and(|host| {
        let served = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        served.is_some_and(|served| served.eq_ignore_ascii_case(host))
    });
    let listed = app.config.server.origins.iter().any(|listed| listed == origin);
    if own || listed { Ok(()) } else { Err(ErrorCode::OriginRefused.into()) }
}

fn offered(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|protocol| !protocol.is_empty())
}

/// What the request already says about the connection.
fn opening(app: &App, request: &Request, context: &Context) -> Opening {
    let headers = request.headers();
    let query = |name: &str| {
        let pairs = serde_urlencoded::from_str::<Vec<(String, String)>>(request.uri().query().unwrap_or_default());
        pairs.unwrap_or_default().into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
    };
    let proof = proof(app, headers, query("token"));
    let foreign = offered(headers).next().is_some() && !offered(headers).any(|protocol| protocol == SUBPROTOCOL);
    Opening {
        proof: if foreign { Proof::Refused(CloseReason::Version) } else { proof },
        locale: context.locale,
        peer: context.peer,
        pings: query("hb").as_deref() == Some("ws"),
    }
}

/// The first of the four ways that the request takes.
fn proof(app: &App, headers: &HeaderMap, query_token: Option<String>) -> Proof {
    if let Some(header) = headers.get(header::AUTHORIZATION) {
        let token = header.to_str().ok().and_then(|header| token_of(header).ok());
        return token.map_or(Proof::Refused(CloseReason::Unauthorized), |token| Proof::Token(token.to_owned()));
    }
    for protocol in offered(headers) {
        if let Some(token) = protocol.strip_prefix("bearer.") {
            return Proof::Token(token.to_owned());
        }
        if let Some(ticket) = protocol.strip_prefix("ticket.") {
            return Proof::Ticket(ticket.to_owned());
        }
    }
    match query_token {
        Some(token) if app.config.socket.query_token => Proof::Token(token),
        Some(_) => Proof::Refused(CloseReason::Unauthorized),
        None => Proof::FirstMessage,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upgrade_request(change: impl FnOnce(&mut Request)) -> Result<HeaderValue> {
        let mut request = Request::new(axum::body::Body::empty());
        for (name, value) in [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        change(&mut request);
        handshake(&request)
    }

    #[test]
    fn the_handshake_of_rfc_6455_is_answered() {
        assert_eq!(upgrade_request(|_| {}).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        for header in ["connection", "upgrade", "sec-websocket-version", "sec-websocket-key"] {
            let refused = upgrade_request(|request| drop(request.headers_mut().remove(header)));
            assert_eq!(refused.unwrap_err().code(), ErrorCode::UpgradeRequired, "{header}");
        }
        assert!(upgrade_request(|request| *request.method_mut() = Method::POST).is_err());
    }
}
