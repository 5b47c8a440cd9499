//! A client of both doors, as somebody would write it who has read the documents, and what is done with it: `check`
//! looks whether a running server keeps the protocol's promises, `demo` is a few people who study.
//!
//! Promises that nothing waits for ever: what must come and doesn't is an error that names it. It knows of the server
//! only what the wire says. Thousands of clients are the load lab's business.

pub mod check;
pub mod demo;
mod manners;
mod promises;
mod told;

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::{TcpSocket, TcpStream, lookup_host},
    time::{Instant, timeout, timeout_at},
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest, handshake::client::Request as Handshake, http::HeaderValue},
};

/// How long what must come may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Somebody in front of a server, with or without a token.
#[derive(Clone, Debug)]
pub struct Door {
    address: SocketAddr,
    host: String,
    /// For `Authorization`.
    pub token: Option<String>,
}

impl Door {
    /// The server at `http://host:port`.
    pub async fn new(url: &str) -> anyhow::Result<Self> {
        let rest = url.strip_prefix("http://").with_context(|| format!("{url} is not http://host:port"))?;
        let host = rest.split('/').next().unwrap_or_default().to_owned();
        let with_port = if host.contains(':') { host.clone() } else { format!("{host}:80") };
        let found = lookup_host(&with_port).await.with_context(|| format!("looking up {host}"))?.next();
        Ok(Self { address: found.with_context(|| format!("{host} has no address"))?, host, token: None })
    }

    /// The same door with a token in hand.
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// Makes an account; the door is this person's from here on.
    pub async fn sign_up(
        &self,
        email: &str,
        last_name: &str,
        first_name: &str,
        password: &str,
    ) -> anyhow::Result<Self> {
        let body = json!({
            "email": email, "password1": password, "password2": password, "last_name": last_name,
            "first_name": first_name, "gender": 1, "birth_date": "2001-02-03",
        });
        let answer = self.ask("POST", "/rest-auth/signup/", &body).await?;
        Ok(self.with_token(text(&answer, "/token")?))
    }

    /// Begins another session of an account; the door is that session's from here on.
    pub async fn sign_in(&self, email: &str, password: &str) -> anyhow::Result<Self> {
        let answer = self.ask("POST", "/rest-auth/login/", &json!({"email": email, "password": password})).await?;
        Ok(self.with_token(text(&answer, "/token")?))
    }

    /// A request that must succeed; answers its body.
    pub async fn ask(&self, method: &str, path: &str, body: &Value) -> anyhow::Result<Value> {
        let asked = timeout(LIMIT, self.send(method, path, body)).await;
        let (status, answer) = asked.with_context(|| format!("{method} {path} is not answered"))??;
        ensure!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        Ok(answer)
    }

    async fn send(&self, method: &str, path: &str, body: &Value) -> anyhow::Result<(u16, Value)> {
        let stream = TcpStream::connect(self.address).await.with_context(|| format!("connecting to {}", self.host))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends with its sender.
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header("host", &self.host);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.header("content-type", "application/json");
        let answer = sender.send_request(request.body(Full::new(Bytes::from(body.to_string())))?).await?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await?.to_bytes();
        Ok((status, serde_json::from_slice(&body).with_context(|| format!("{method} {path}: no JSON"))?))
    }
}

/// What came over a socket.
#[derive(Debug)]
enum Heard {
    Message(Value),
    /// The end: the close frame's number, and what `bye` said before it.
    Closed(u16, Value),
}

/// One socket.
#[derive(Debug)]
pub struct Line {
    socket: WebSocketStream<TcpStream>,
    /// Events that came while an answer was waited for.
    events: VecDeque<Value>,
    /// Messages of a frame that had several.
    rest: VecDeque<String>,
    bye: Value,
    last_id: u64,
    /// Whether heartbeats are answered.
    pub answers: bool,
    /// The content of `hello`.
    pub hello: Value,
}

impl Line {
    /// Opens a socket that has said nothing yet.
    pub async fn dial(door: &Door, protocols: &'static str) -> anyhow::Result<Self> {
        let mut request = format!("ws://{}/ws", door.host).into_client_request()?;
        request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(protocols));
        Self::shake(door, request, None).await
    }

    /// Opens a socket in the person's name, for which the kernel keeps as little as it can of what isn't read.
    pub async fn deaf(door: &Door) -> anyhow::Result<Self> {
        let mut request = format!("ws://{}/ws", door.host).into_client_request()?;
        let token = door.token.as_deref().context("nobody is signed in")?;
        request.headers_mut().insert("authorization", HeaderValue::from_str(&format!("Bearer {token}"))?);
        let mut line = Self::shake(door, request, Some(4096)).await?;
        line.hello = line.expect("hello").await?;
        Ok(line)
    }

    /// Opens a socket by a ticket, which shows in no log.
    pub async fn by_ticket(door: &Door, ticket: &str) -> anyhow::Result<Self> {
        let mut request = format!("ws://{}/ws", door.host).into_client_request()?;
        let protocols = HeaderValue::from_str(&format!("solgik.v1, ticket.{ticket}"))?;
        request.headers_mut().insert("sec-websocket-protocol", protocols);
        Self::shake(door, request, None).await
    }

    async fn shake(door: &Door, request: Handshake, receive_buffer: Option<u32>) -> anyhow::Result<Self> {
        let socket = if door.address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        let stream = socket.connect(door.address).await.context("connecting")?;
        stream.set_nodelay(true)?;
        let opened = timeout(LIMIT, client_async(request, stream)).await.context("the upgrade is not answered")?;
        let (socket, _) = opened.context("the upgrade is refused")?;
        Ok(Self {
            socket,
            events: VecDeque::new(),
            rest: VecDeque::new(),
            bye: Value::Null,
            last_id: 0,
            answers: true,
            hello: Value::Null,
        })
    }

    /// Opens a socket in the person's name and hears `hello`; `since` says what is known already.
    pub async fn open(door: &Door, since: Value) -> anyhow::Result<Self> {
        let mut line = Self::dial(door, "solgik.v1").await?;
        let token = door.token.as_deref().context("nobody is signed in")?;
        line.send(&json!({"op": "auth", "d": {"token": token, "since": since, "locale": "en"}}).to_string()).await?;
        line.hello = line.expect("hello").await?;
        Ok(line)
    }

    /// Sends a text frame as it is.
    pub async fn send(&mut self, text: &str) -> anyhow::Result<()> {
        // What was said before the end is still to be read.
        let _ = self.socket.send(Message::text(text)).await;
        Ok(())
    }

    /// Asks for `op`; a refusal is the inner error.
    pub async fn call(&mut self, op: &str, d: Value) -> anyhow::Result<Result<Value, Value>> {
        self.last_id += 1;
        let id = self.last_id;
        self.send(&json!({"id": id, "op": op, "d": d}).to_string()).await?;
        let until = Instant::now() + LIMIT;
        loop {
            match timeout_at(until, self.hear()).await.with_context(|| format!("{op} is not answered"))?? {
                Heard::Message(message) if message.get("ev").is_some() => self.events.push_back(message),
                Heard::Message(message) if message.get("id") == Some(&json!(id)) => {
                    let part = |name: &str| message.get(name).cloned();
                    return Ok(part("ok").ok_or_else(|| part("err").unwrap_or_default()));
                }
                Heard::Message(message) => bail!("an answer to nobody: {message}"),
                Heard::Closed(code, bye) => bail!("closed with {code} {bye} instead of an answer to {op}"),
            }
        }
    }

    /// The next answer, whomever it is for.
    pub async fn answer(&mut self) -> anyhow::Result<Value> {
        let until = Instant::now() + LIMIT;
        loop {
            match timeout_at(until, self.hear()).await.context("no answer")?? {
                Heard::Message(message) if message.get("ev").is_some() => self.events.push_back(message),
                Heard::Message(message) => return Ok(message),
                Heard::Closed(code, bye) => bail!("closed with {code} {bye} instead of an answer"),
            }
        }
    }

    /// Asks for `op`, which must be done.
    pub async fn done(&mut self, op: &str, d: Value) -> anyhow::Result<Value> {
        self.call(op, d).await?.map_err(|refusal| anyhow::anyhow!("{op} is refused: {refusal}"))
    }

    /// The next event, within `time`.
    pub async fn event(&mut self, time: Duration) -> anyhow::Result<Option<Value>> {
        if let Some(event) = self.events.pop_front() {
            return Ok(Some(event));
        }
        match timeout(time, self.hear()).await {
            Err(_) => Ok(None),
            Ok(heard) => match heard? {
                Heard::Message(message) => Ok(Some(message)),
                Heard::Closed(code, bye) => bail!("closed with {code} {bye} instead of an event"),
            },
        }
    }

    /// The next event named `ev`: its content. Others before it are let go.
    pub async fn expect(&mut self, ev: &str) -> anyhow::Result<Value> {
        let until = Instant::now() + LIMIT;
        while let Some(mut event) = self.event(until.saturating_duration_since(Instant::now())).await? {
            if event.get("ev") == Some(&json!(ev)) {
                return Ok(event.get_mut("d").map(Value::take).unwrap_or_default());
            }
            ensure!(ev != "hello" || event.get("err").is_none(), "refused: {event}");
        }
        bail!("{ev} does not come")
    }

    /// Every event up to now: a round trip brings all that was said before.
    pub async fn events(&mut self) -> anyhow::Result<Vec<Value>> {
        self.done("whoami", json!({})).await?;
        Ok(self.events.drain(..).collect())
    }

    /// How it ends, within `time`: what comes before is let go.
    pub async fn end(&mut self, time: Duration) -> anyhow::Result<(u16, Value)> {
        let until = Instant::now() + time;
        loop {
            if let Heard::Closed(code, bye) = timeout_at(until, self.hear()).await.context("it is not closed")?? {
                return Ok((code, bye));
            }
        }
    }

    /// Waits for a heartbeat, within `time`.
    pub async fn heartbeat(&mut self, time: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + time;
        loop {
            match timeout_at(until, self.read()).await.context("no heartbeat comes")?? {
                None => return Ok(()),
                Some(Heard::Message(message)) => self.events.push_back(message),
                Some(Heard::Closed(code, bye)) => bail!("closed with {code} {bye} instead of a heartbeat"),
            }
        }
    }

    /// The next thing but heartbeats.
    async fn hear(&mut self) -> anyhow::Result<Heard> {
        loop {
            if let Some(heard) = self.read().await? {
                return Ok(heard);
            }
        }
    }

    /// The next thing; `None` for a heartbeat. Can be dropped while it waits, and nothing is lost.
    async fn read(&mut self) -> anyhow::Result<Option<Heard>> {
        loop {
            if let Some(line) = self.rest.pop_front() {
                if line == "{}" {
                    if self.answers {
                        self.send("{}").await?;
                    }
                    return Ok(None);
                }
                let mut message: Value = serde_json::from_str(&line).with_context(|| format!("no JSON: {line}"))?;
                if message.get("ev") != Some(&json!("bye")) {
                    return Ok(Some(Heard::Message(message)));
                }
                self.bye = message.get_mut("d").map(Value::take).unwrap_or_default();
            }
            match self.socket.next().await.context("the connection is gone without a word")?? {
                Message::Text(text) => self.rest.extend(text.lines().map(str::to_owned)),
                Message::Close(frame) => {
                    let _ = self.socket.flush().await;
                    let code = frame.map_or(1005, |frame| frame.code.into());
                    return Ok(Some(Heard::Closed(code, self.bye.take())));
                }
                _ => {}
            }
        }
    }
}

/// The text at `path` of an answer.
pub(crate) fn text<'a>(answer: &'a Value, path: &str) -> anyhow::Result<&'a str> {
    answer.pointer(path).and_then(Value::as_str).with_context(|| format!("no {path} in {answer}"))
}

/// The number at `path` of an answer.
pub(crate) fn number(answer: &Value, path: &str) -> anyhow::Result<i64> {
    answer.pointer(path).and_then(Value::as_i64).with_context(|| format!("no {path} in {answer}"))
}
