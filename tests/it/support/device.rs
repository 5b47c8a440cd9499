//! One device of a person: a socket that comes and goes, and the picture that outlives it.
//!
//! Reads only when it is told to, in the test's own task; what it reads goes into the picture, in its order.

use std::{sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, client::IntoClientRequest, http::HeaderValue},
};

use super::picture::Picture;

/// How long what must come may take. Generous: a test's machine may be busy.
const LIMIT: Duration = Duration::from_secs(20);

/// The connection is gone: the close frame's number and the content of `bye`, where there were any.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gone {
    pub code: Option<u16>,
    pub bye: Value,
}

/// How an operation ended.
pub type Answer = Result<Result<Value, Value>, Gone>;

/// Who is told of every event that was applied, with its epoch.
pub type Witness = Arc<dyn Fn(&str, &Value) + Send + Sync>;

/// See the module. Dropping it is a lost connection.
pub struct Device {
    pub token: String,
    pub picture: Option<Picture>,
    pub witness: Option<Witness>,
    /// When something came the last time, be it a heartbeat.
    pub heard_at: Instant,
    socket: Option<WebSocketStream<TcpStream>>,
    bye: Value,
    last_id: u64,
}

impl Device {
    pub fn new(token: String) -> Self {
        Self {
            token,
            picture: None,
            witness: None,
            heard_at: Instant::now(),
            socket: None,
            bye: Value::Null,
            last_id: 0,
        }
    }

    pub fn is_connected(&self) -> bool {
        self.socket.is_some()
    }

    /// Connects and hears `hello`. With a picture it returns to where it stands; without one it begins anew.
    pub async fn connect(&mut self, base: &str) -> Result<(), Gone> {
        let address = base.strip_prefix("http://").unwrap();
        let mut request = format!("ws://{address}/ws").into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("solgik.v1"));
        let open = async {
            let stream = TcpStream::connect(address).await.map_err(|_| Gone::default())?;
            match client_async(request, stream).await {
                Ok((socket, _)) => Ok(socket),
                Err(Error::Http(refusal)) => Err(Gone { code: Some(refusal.status().as_u16()), bye: Value::Null }),
                Err(_) => Err(Gone::default()),
            }
        };
        self.socket = Some(timeout(LIMIT, open).await.expect("no answer to the handshake")?);
        self.bye = Value::Null;
        let since = self.picture.as_ref().map(Picture::since).unwrap_or_else(|| json!({}));
        self.send(&json!({"op": "auth", "d": {"token": self.token, "since": since}})).await?;
        let hello = timeout(LIMIT, self.read()).await.expect("no hello")?;
        if hello.get("err").is_some() {
            return Err(self.listen_to_the_end().await);
        }
        assert_eq!(hello["ev"], "hello", "{hello}");
        match &mut self.picture {
            Some(picture) => picture.resume(&hello["d"]),
            None => self.picture = Some(Picture::new(&hello["d"])),
        }
        Ok(())
    }

    /// Asks for `op`; what is pushed before the answer is applied before it.
    pub async fn call(&mut self, op: &str, d: Value) -> Answer {
        self.last_id += 1;
        let id = self.last_id;
        self.send(&json!({"id": id, "op": op, "d": d})).await?;
        let until = Instant::now() + LIMIT;
        loop {
            let message = timeout_at(until, self.read()).await;
            let mut message = message.unwrap_or_else(|_| panic!("no answer to {op}"))?;
            if message.get("ev").is_some() {
                self.apply(&message);
                continue;
            }
            assert_eq!(message["id"], id, "another answer: {message}");
            let Some(ok) = message.get_mut("ok").map(Value::take) else { return Ok(Err(message["err"].take())) };
            self.picture.as_mut().unwrap().answered(op, &ok);
            return Ok(Ok(ok));
        }
    }

    /// A round trip: whatever was sent before it has been applied after it.
    pub async fn settle(&mut self) -> Result<(), Gone> {
        self.call("whoami", json!({})).await?.expect("whoami");
        Ok(())
    }

    /// Applies what comes within `time`.
    pub async fn listen(&mut self, time: Duration) -> Result<(), Gone> {
        let until = Instant::now() + time;
        while let Ok(message) = timeout_at(until, self.read()).await {
            self.apply(&message?);
        }
        Ok(())
    }

    /// Applies what comes until the connection ends.
    pub async fn listen_to_the_end(&mut self) -> Gone {
        loop {
            match timeout(LIMIT, self.read()).await.expect("the connection does not end") {
                Ok(message) => self.apply(&message),
                Err(gone) => return gone,
            }
        }
    }

    /// Loses the connection without a word.
    pub fn lose(&mut self) {
        self.socket = None;
    }

    fn apply(&mut self, message: &Value) {
        let epoch = self.picture.as_mut().expect("an event before hello").apply(message);
        if let (Some(epoch), Some(witness)) = (epoch, &self.witness) {
            witness(&epoch, message);
        }
    }

    async fn send(&mut self, message: &Value) -> Result<(), Gone> {
        let Some(socket) = &mut self.socket else { return Err(Gone::default()) };
        // What was said before the end is still to be read.
        let _ = socket.send(Message::text(message.to_string())).await;
        Ok(())
    }

    /// The next message. Can be dropped while waiting without losing anything.
    async fn read(&mut self) -> Result<Value, Gone> {
        let Some(socket) = &mut self.socket else { return Err(Gone::default()) };
        loop {
            let heard = socket.next().await;
            self.heard_at = Instant::now();
            match heard {
                Some(Ok(Message::Text(text))) if text.as_str() == "{}" => {
                    let _ = socket.send(Message::text("{}")).await;
                }
                Some(Ok(Message::Text(text))) => {
                    let mut message: Value = serde_json::from_str(&text).unwrap();
                    if message["ev"] != "bye" {
                        return Ok(message);
                    }
                    self.bye = message["d"].take();
                }
                Some(Ok(Message::Close(frame))) => {
                    let gone = Gone { code: frame.map(|frame| frame.code.into()), bye: self.bye.take() };
                    let _ = socket.flush().await;
                    self.socket = None;
                    return Err(gone);
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => {
                    self.socket = None;
                    return Err(Gone { code: None, bye: self.bye.take() });
                }
            }
        }
    }
}
