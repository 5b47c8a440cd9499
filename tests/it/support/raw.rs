//! A WebSocket written byte by byte, for what no decent client would send, and for silence.

use std::time::Duration;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{door::Door, person::Person};

const LIMIT: Duration = Duration::from_secs(10);
const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

pub const TEXT: u8 = 0x1;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
pub const FIN: u8 = 0x80;

/// A masked frame: `first` is the whole first byte, so that it can be wrong.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        short @ 0..=125 => bytes.push(0x80 | u8::try_from(short).unwrap()),
        long => {
            bytes.push(0x80 | 126);
            bytes.extend(u16::try_from(long).expect("such a long frame is not needed").to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// A connection that does nothing by itself: no pong, no answer, no goodbye.
#[derive(Debug)]
pub struct Raw(TcpStream);

impl Raw {
    /// Opens a socket in `person`'s name and reads its `hello`.
    pub async fn connect(person: &Person, path: &str) -> Self {
        let mut raw = Self::open(person, path, &[("Authorization", &format!("JWT {}", person.token))]).await;
        assert_eq!(raw.message().await["ev"], "hello");
        raw
    }

    /// Opens a socket with these headers.
    pub async fn open(door: &Door, path: &str, headers: &[(&str, &str)]) -> Self {
        let address = door.base.strip_prefix("http://").unwrap();
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             {headers}\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.unwrap());
        }
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        Self(stream)
    }

    /// Sends bytes as they are. What the server no longer takes is its business.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes).await;
    }

    /// The next frame: its kind and what it says.
    pub async fn next(&mut self) -> (u8, Vec<u8>) {
        let read = async {
            let kind = self.0.read_u8().await?;
            let length = match self.0.read_u8().await? {
                126 => u64::from(self.0.read_u16().await?),
                127 => self.0.read_u64().await?,
                short => short.into(),
            };
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            self.0.read_exact(&mut payload).await?;
            std::io::Result::Ok((kind & 0xf, payload))
        };
        timeout(LIMIT, read).await.expect("nothing comes").expect("the connection is gone")
    }

    /// Every frame until the connection ends, which it must. A close is answered by hanging up, or the server would wait
    /// a while for its answer.
    pub async fn until_end(&mut self) -> Vec<(u8, Vec<u8>)> {
        let mut frames = Vec::new();
        // Waits for a byte that doesn't come: that is the end, however it is brought about.
        while timeout(LIMIT, self.0.peek(&mut [0])).await.expect("the connection stays").is_ok_and(|bytes| bytes > 0) {
            let frame = self.next().await;
            if frame.0 == CLOSE {
                // Whoever has hung up already has.
                let _ = self.0.shutdown().await;
            }
            frames.push(frame);
        }
        frames
    }

    /// The next frame, which must be a message.
    pub async fn message(&mut self) -> Value {
        let (kind, payload) = self.next().await;
        assert_eq!(kind, TEXT, "{payload:?}");
        serde_json::from_slice(&payload).unwrap()
    }

    /// Like [`Raw::expect_close`], with pings before it that nobody answers.
    pub async fn expect_close_after_pings(&mut self) -> (u16, Value) {
        loop {
            match self.next().await {
                (PING, _) => {}
                (TEXT, payload) => return self.close_after(&payload).await,
                other => panic!("{other:?}"),
            }
        }
    }

    /// The number of the close frame, which must be the next frame but `bye`, and `bye`.
    pub async fn expect_close(&mut self) -> (u16, Value) {
        let (kind, payload) = self.next().await;
        assert_eq!(kind, TEXT, "{payload:?}");
        self.close_after(&payload).await
    }

    async fn close_after(&mut self, bye: &[u8]) -> (u16, Value) {
        let bye: Value = serde_json::from_slice(bye).unwrap();
        assert_eq!(bye["ev"], "bye", "{bye}");
        let (kind, payload) = self.next().await;
        assert_eq!(kind, CLOSE);
        (u16::from_be_bytes([payload[0], payload[1]]), bye["d"].clone())
    }
}
