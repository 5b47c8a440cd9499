//! A client of `solgik.v1` that keeps what arrives until the test asks for it.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    sync::{Mutex, mpsc, watch},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, client::IntoClientRequest, http::HeaderValue},
};
use tokio_util::task::AbortOnDropHandle;

use super::door::Reply;

/// How long a test waits for what must come.
const LIMIT: Duration = Duration::from_secs(10);

type Socket = WebSocketStream<TcpStream>;
type Writer = Arc<Mutex<SplitSink<Socket, Message>>>;

#[derive(Debug)]
enum Seen {
    Message(Value),
    Closed(u16),
}

/// One socket. Dropping it without [`WsClient::close`] is a lost connection.
#[derive(Debug)]
pub struct WsClient {
    /// What the server chose.
    pub subprotocol: Option<String>,
    writer: Writer,
    reader: AbortOnDropHandle<()>,
    seen: mpsc::UnboundedReceiver<Seen>,
    /// Events that arrived and nobody has asked for, in order.
    events: VecDeque<Value>,
    alive: Arc<AtomicBool>,
    reads: watch::Sender<bool>,
    last_id: u32,
}

impl WsClient {
    pub(super) async fn open(base: &str, path: &str, headers: &[(&'static str, &str)]) -> Result<Self, Reply> {
        let address = base.strip_prefix("http://").unwrap();
        let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().append(*name, HeaderValue::from_str(value).unwrap());
        }
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (socket, response) = match client_async(request, stream).await {
            Ok(opened) => opened,
            Err(Error::Http(refusal)) => {
                let (parts, body) = refusal.into_parts();
                return Err(Reply::new(parts.status, parts.headers, &body.unwrap_or_default()));
            }
            Err(error) => panic!("{error}"),
        };
        let subprotocol = response.headers().get("sec-websocket-protocol");
        let subprotocol = subprotocol.map(|name| name.to_str().unwrap().to_owned());
        let (writer, stream) = socket.split();
        let writer = Arc::new(Mutex::new(writer));
        let alive = Arc::new(AtomicBool::new(true));
        let (tell, seen) = mpsc::unbounded_channel();
        let (reads, reading) = watch::channel(true);
        let reader = tokio::spawn(read(stream, reading, Arc::clone(&writer), Arc::clone(&alive), tell));
        let reader = AbortOnDropHandle::new(reader);
        Ok(Self { subprotocol, writer, reader, seen, events: VecDeque::new(), alive, reads, last_id: 0 })
    }

    /// Whether heartbeats are answered; they are from the beginning.
    pub fn answer_heartbeats(&self, answer: bool) {
        self.alive.store(answer, Ordering::Relaxed);
    }

    /// Whether anything is taken from the connection; it is from the beginning. Who doesn't read is a slow reader.
    pub fn keep_reading(&self, reads: bool) {
        self.reads.send_replace(reads);
    }

    /// Sends a text frame as it is.
    pub async fn raw_send(&self, text: impl Into<String>) {
        self.writer.lock().await.send(Message::text(text.into())).await.unwrap();
    }

    /// Asks for `op` and waits for the answer: `ok`'s content, or `err`'s.
    pub async fn call(&mut self, op: &str, d: Value) -> Result<Value, Value> {
        self.last_id += 1;
        let id = self.last_id;
        self.raw_send(json!({"id": id, "op": op, "d": d}).to_string()).await;
        let mut answer = self.answer(Some(id)).await;
        match answer.get_mut("ok") {
            Some(ok) => Ok(ok.take()),
            None => Err(answer["err"].take()),
        }
    }

    /// Waits for the answer that has `id`, or none if the server could not read one.
    pub async fn answer(&mut self, id: Option<u32>) -> Value {
        loop {
            match self.next().await {
                Some(Seen::Message(message)) if message.get("ev").is_some() => self.events.push_back(message),
                Some(Seen::Message(message)) => {
                    assert_eq!(message["id"], json!(id), "another answer: {message}");
                    return message;
                }
                Some(Seen::Closed(code)) => panic!("closed with {code} instead of an answer; {:?}", self.events),
                None => panic!("the connection is gone instead of an answer; {:?}", self.events),
            }
        }
    }

    /// The answer that has `id`, or how the connection was closed instead.
    pub async fn answer_or_close(&mut self, id: u32) -> Result<Value, (u16, Value)> {
        loop {
            match self.next().await {
                Some(Seen::Message(message)) if message.get("ev").is_some() => self.events.push_back(message),
                Some(Seen::Message(message)) => {
                    assert_eq!(message["id"], id, "another answer: {message}");
                    return Ok(message);
                }
                Some(Seen::Closed(code)) => return Err((code, self.bye())),
                None => panic!("the connection is gone without a close frame; {:?}", self.events),
            }
        }
    }

    /// The content of `bye`, if that was the last word.
    fn bye(&mut self) -> Value {
        let bye = self.events.pop_back().filter(|last| last["ev"] == "bye");
        bye.map(|mut bye| bye["d"].take()).unwrap_or_default()
    }

    /// The next event named `ev`, with its channel and place. Others stay for later.
    pub async fn expect(&mut self, ev: &str) -> Value {
        if let Some(index) = self.events.iter().position(|event| event["ev"] == ev) {
            return self.events.remove(index).unwrap();
        }
        loop {
            match self.next().await {
                Some(Seen::Message(message)) if message["ev"] == ev => return message,
                Some(Seen::Message(message)) => self.events.push_back(message),
                Some(Seen::Closed(code)) => panic!("closed with {code} instead of {ev}; {:?}", self.events),
                None => panic!("the connection is gone instead of {ev}; {:?}", self.events),
            }
        }
    }

    /// The next event, whatever it is.
    pub async fn event(&mut self) -> Value {
        if let Some(event) = self.events.pop_front() {
            return event;
        }
        match self.next().await {
            Some(Seen::Message(message)) => message,
            Some(Seen::Closed(code)) => panic!("closed with {code} instead of an event"),
            None => panic!("the connection is gone instead of an event"),
        }
    }

    /// Every event that has come: answers come behind what was said before them, so a round trip fetches all.
    pub async fn events(&mut self) -> Vec<Value> {
        self.call("whoami", json!({})).await.expect("whoami");
        self.events.drain(..).collect()
    }

    /// Every event that has come already, without asking for more.
    pub fn events_so_far(&mut self) -> Vec<Value> {
        self.events.drain(..).collect()
    }

    /// The content of the first push.
    pub async fn hello(&mut self) -> Value {
        let first = self.expect("hello").await["d"].take();
        assert!(self.events.is_empty(), "something came before hello: {:?}", self.events);
        first
    }

    /// Nothing is left unread, and nothing was on its way: what is sent is sent in order, so a round trip proves it.
    pub async fn expect_silence(&mut self) {
        self.call("whoami", json!({})).await.expect("whoami");
        assert!(self.events.is_empty(), "{:?}", self.events);
    }

    /// The close frame's number, and the content of the `bye` before it (null if there was none).
    pub async fn expect_close(&mut self) -> (u16, Value) {
        loop {
            match self.next().await {
                Some(Seen::Message(message)) => self.events.push_back(message),
                Some(Seen::Closed(code)) => return (code, self.bye()),
                None => panic!("the connection is gone without a close frame; {:?}", self.events),
            }
        }
    }

    /// Says goodbye and waits for the server's answer.
    pub async fn close(mut self) {
        self.writer.lock().await.send(Message::Close(None)).await.unwrap();
        while let Some(Seen::Message(_)) = self.next().await {}
    }

    /// Loses the connection without a word.
    pub async fn abort(self) {
        self.reader.abort();
        // Both halves must go before the descriptor closes.
        let _ = self.reader.await;
    }

    async fn next(&mut self) -> Option<Seen> {
        match timeout(LIMIT, self.seen.recv()).await {
            Ok(seen) => seen,
            Err(_) => panic!("nothing came for {LIMIT:?}; waiting: {:?}", self.events),
        }
    }
}

async fn read(
    mut stream: SplitStream<Socket>,
    mut reading: watch::Receiver<bool>,
    writer: Writer,
    alive: Arc<AtomicBool>,
    tell: mpsc::UnboundedSender<Seen>,
) {
    // A close frame is answered by reading on; the stream ends after it.
    loop {
        let _ = reading.wait_for(|reads| *reads).await;
        let message = tokio::select! {
            biased;
            Ok(_) = reading.wait_for(|reads| !*reads) => continue,
            message = stream.next() => message,
        };
        let Some(Ok(message)) = message else { return };
        match message {
            Message::Text(text) => {
                for line in text.lines() {
                    if line != "{}" {
                        let message = serde_json::from_str(line).unwrap_or_else(|_| json!(line));
                        let _ = tell.send(Seen::Message(message));
                    } else if alive.load(Ordering::Relaxed) {
                        let _ = writer.lock().await.send(Message::text("{}")).await;
                    }
                }
            }
            Message::Close(frame) => {
                let _ = tell.send(Seen::Closed(frame.map_or(1005, |frame| frame.code.into())));
            }
            _ => {}
        }
    }
}
