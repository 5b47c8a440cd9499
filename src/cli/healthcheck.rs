//! `solgik healthcheck`: whether the server on this machine is ready, by its exit code; for container runtimes.
//!
//! Promises an answer within a few seconds, and needs neither a database nor a shell beside it.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::config::Config;

/// A server that takes longer isn't ready.
const PATIENCE: Duration = Duration::from_secs(5);

/// The status line is all that is read.
const ENOUGH: u64 = 64;

pub(super) async fn run(config: &Config) -> anyhow::Result<()> {
    let address = reachable(config.server.listen);
    let asked = timeout(PATIENCE, ask(address)).await;
    let status = asked.context("no answer in time")?.with_context(|| format!("asking {address}"))?;
    if status != "200" {
        bail!("not ready: {status}");
    }
    Ok(())
}

/// Where a server that listens on `address` is reached from this machine.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    address
}

/// The status with which `/readyz` answers.
async fn ask(address: SocketAddr) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut start = Vec::new();
    stream.take(ENOUGH).read_to_end(&mut start).await?;
    let start = String::from_utf8_lossy(&start);
    let status = start.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.split_whitespace().next());
    Ok(status.context("the answer is not HTTP")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_every_address_is_asked_on_loopback() {
        for (listen, expected) in [
            ("0.0.0.0:8000", "127.0.0.1:8000"),
            ("[::]:8000", "[::1]:8000"),
            ("192.0.2.7:80", "192.0.2.7:80"),
            ("127.0.0.1:8000", "127.0.0.1:8000"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), expected);
        }
    }

    #[tokio::test]
    async fn the_status_line_decides() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = async {
            for answer in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 503 Service Unavailable\r\n\r\n", "SSH-2.0\r\n"] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 1024];
                let read = stream.read(&mut request).await.unwrap();
                assert!(request[..read].starts_with(b"GET /readyz HTTP/1.1\r\n"));
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        };
        let client = async {
            assert_eq!(ask(address).await.unwrap(), "200");
            assert_eq!(ask(address).await.unwrap(), "503");
            ask(address).await.unwrap_err();
        };
        tokio::join!(server, client);
    }
}
