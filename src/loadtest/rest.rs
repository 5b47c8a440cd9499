//! Requests over REST: each client has a connection of its own and another person's token.
//!
//! With a rate, a request's time begins when it was meant to be sent, though every client may be busy then. An answer
//! other than a success is a fault.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use anyhow::Context;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use futures_util::future::try_join_all;
use http_body_util::{BodyExt, Full};
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use rand::RngExt;
use tokio::net::TcpStream;

use super::{
    faults::{Faults, Kind},
    figures::Processes,
    floor::Address,
    meter::Times,
    report::{Figures, Side},
    scenario::{Asked, Rest, Scenario},
};

/// What one client has seen.
struct Seen {
    times: Times,
    faults: Faults,
}

/// What all clients share.
struct Plan<'a> {
    rest: &'a Rest,
    /// Everybody's ids, the clients' first.
    users: Vec<String>,
    start: Instant,
    counts: Instant,
    end: Instant,
    /// The next request of a schedule.
    next: AtomicU32,
}

/// Runs the requests on this thread.
pub(super) fn run(
    scenario: &Scenario,
    rest: &Rest,
    addresses: &[Address],
    processes: &Processes,
    tokens: &[String],
) -> anyhow::Result<Side> {
    // The command's own runtime would come and go between cores.
    let work = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(measure(scenario, rest, addresses, processes, tokens))
    };
    std::thread::scope(|scope| scope.spawn(work).join().map_err(|_| anyhow::anyhow!("the clients' thread ended"))?)
}

async fn measure(
    scenario: &Scenario,
    rest: &Rest,
    addresses: &[Address],
    processes: &Processes,
    tokens: &[String],
) -> anyhow::Result<Side> {
    let start = Instant::now();
    let counts = start + Duration::from_secs_f64(scenario.warm_up);
    let end = counts + scenario.measured();
    let users = tokens.iter().map(|token| user(token)).collect::<anyhow::Result<_>>()?;
    let plan = Plan { rest, users, start, counts, end, next: AtomicU32::new(0) };
    let cpu = async {
        tokio::time::sleep_until(counts.into()).await;
        let before = processes.cpu()?;
        tokio::time::sleep_until(end.into()).await;
        anyhow::Ok(processes.cpu()?.zip(before).map(|(after, before)| after - before))
    };
    let clients = tokens.iter().zip(addresses.iter().cycle()).enumerate().take(rest.clients);
    let clients = try_join_all(clients.map(|(index, (token, address))| client(&plan, index, token, address)));
    let (cpu, clients) = tokio::try_join!(cpu, clients)?;
    let (mut times, mut faults) = (Times::new()?, Faults::default());
    for seen in clients {
        times.merge(&seen.times)?;
        faults.merge(seen.faults);
    }
    let done = times.len() as f64;
    let mut figures = Figures::new();
    figures.insert("requests_per_second".into(), done / scenario.seconds);
    if let Some(cpu) = cpu {
        figures.insert("cpu_percent".into(), cpu.as_secs_f64() / scenario.seconds * 100.0);
        figures.insert("cpu_us_per_request".into(), cpu.as_secs_f64() * 1e6 / done.max(1.0));
    }
    times.tell(&mut figures);
    Ok(Side { figures, curve: times.curve(), timeline: Vec::new(), faults })
}

/// Whose token it is.
fn user(token: &str) -> anyhow::Result<String> {
    #[derive(serde::Deserialize)]
    struct Claims {
        sub: String,
    }
    let claims = token.split('.').nth(1).context("a token has three parts")?;
    Ok(serde_json::from_slice::<Claims>(&URL_SAFE_NO_PAD.decode(claims)?)?.sub)
}

async fn client(plan: &Plan<'_>, index: usize, token: &str, address: &Address) -> anyhow::Result<Seen> {
    let stream = TcpStream::connect(address.socket).await.context("connecting")?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut seen = Seen { times: Times::new()?, faults: Faults::default() };
    let requests = async {
        loop {
            let intended = plan.next(Instant::now());
            if intended >= plan.end {
                return anyhow::Ok(());
            }
            tokio::time::sleep_until(intended.into()).await;
            let Some(asked) = choose(&plan.rest.requests) else { return Ok(()) };
            let body = asked.body.clone().unwrap_or_default();
            let request = Request::builder()
                .method(asked.method.as_str())
                .uri(plan.path(index, &asked.path))
                .header("host", &address.host)
                .header("authorization", format!("JWT {token}"))
                .header("content-type", "application/json")
                .body(Full::new(Bytes::from(body)))?;
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            let body = answer.into_body().collect().await?.to_bytes();
            if intended >= plan.counts {
                seen.times.add(intended.elapsed());
            }
            if !status.is_success() {
                let (method, path, body) = (&asked.method, &asked.path, String::from_utf8_lossy(&body));
                seen.faults.add(Kind::Refused, 1, || format!("{method} {path}: {status} {body}"));
            }
        }
    };
    tokio::select! {
        done = requests => done?,
        ended = connection => {
            ended?;
            seen.faults.add(Kind::Broken, 1, || "the server closed the connection".to_owned());
        }
    }
    Ok(seen)
}

impl Plan<'_> {
    /// `USER` is the client's own id, `OTHER` that of somebody who is no client, another one each time.
    fn path(&self, client: usize, path: &str) -> String {
        let id = |index: usize| self.users.get(index).map_or("0", String::as_str);
        let clients = self.rest.clients.min(self.users.len().saturating_sub(1));
        let other = rand::rng().random_range(clients..self.users.len());
        escaped(&path.replace("USER", id(client)).replace("OTHER", id(other)))
    }

    /// When the next request is meant to be sent.
    fn next(&self, now: Instant) -> Instant {
        match self.rest.rate {
            Some(rate) => {
                self.start + Duration::from_secs_f64(f64::from(self.next.fetch_add(1, Ordering::Relaxed)) / rate)
            }
            None => now + Duration::from_secs_f64(self.rest.think),
        }
    }
}

/// One of them, by weight.
fn choose(requests: &[Asked]) -> Option<&Asked> {
    let sum: u32 = requests.iter().map(|asked| asked.weight).sum();
    let mut at = rand::rng().random_range(0..sum.max(1));
    requests.iter().find(|asked| {
        let here = at < asked.weight;
        at = at.saturating_sub(asked.weight);
        here
    })
}

/// Other letters than English ones, as an address may hold them.
fn escaped(path: &str) -> String {
    let escape = |byte: u8| if byte.is_ascii() { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    path.bytes().map(escape).collect()
}
