//! What those notice who do nothing wrong, while others flood the service: `cargo bench --bench floods`.
//!
//! Starts a server as a process of its own and prints how long a socket's ping takes while nobody disturbs, while 500 people
//! sign in at once over and over, and while some send ten thousand frames a second; how many hashes are under way and how
//! much memory that takes; and what 1000 readers cost who have stopped reading. It ends by itself within three minutes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a measurement")]
#![allow(clippy::print_stdout, reason = "its answer")]
#![allow(unreachable_pub, reason = "nothing is reachable from outside of a measurement")]

mod support;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt, stream};
use reqwest::Client;
use serde_json::{Value, json};
use support::Server;
use tokio::{
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::sleep,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Bytes, Message, client::IntoClientRequest, http::HeaderValue},
};

const PEOPLE: usize = 1000;
const ROOMS: usize = 20;
const TALKERS: usize = 5 * ROOMS;
const LASTS: Duration = Duration::from_secs(15);

type Socket = WebSocketStream<TcpStream>;

#[tokio::main]
async fn main() {
    let data = tempfile::tempdir().unwrap();
    let tokens = support::seed(support::solgik(data.path()), data.path(), PEOPLE + 2, ROOMS);
    let mut command = support::solgik(data.path());
    let figures = free_port();
    command.env("SOLGIK__ADMIN__LISTEN", format!("127.0.0.1:{figures}"));
    // Loopback is spared a rate otherwise.
    command.env("SOLGIK__LIMITS__MESSAGES_PER_SECOND", "20");
    let server = support::serve(command);
    let me = &tokens[PEOPLE];

    println!("{:<44}{:>8}{:>8}{:>8}", "ping of a socket, milliseconds", "p50", "p99", "max");
    pinged(&server, me, "while nobody disturbs", sleep(LASTS)).await;
    sign_ins(&server, me, figures).await;
    frames(&server, &tokens, me).await;
    stalled(&server, &tokens, figures).await;
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

async fn connect(server: &Server, token: &str) -> Socket {
    connect_by(TcpSocket::new_v4().unwrap(), server, token).await
}

async fn connect_by(socket: TcpSocket, server: &Server, token: &str) -> Socket {
    let mut request = format!("ws://{}/ws", server.address).into_client_request().unwrap();
    let authorization = HeaderValue::from_str(&format!("JWT {token}")).unwrap();
    request.headers_mut().insert("authorization", authorization);
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("solgik.v1"));
    let stream = socket.connect(server.address.parse().unwrap()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut socket, _) = client_async(request, stream).await.unwrap();
    while !matches!(socket.next().await, Some(Ok(Message::Text(text))) if text.contains("\"hello\"")) {}
    socket
}

/// How long pings of a quiet socket take while `disturbance` lasts.
async fn pinged<T>(server: &Server, token: &str, what: &str, disturbance: impl Future<Output = T>) -> T {
    let mut socket = connect(server, token).await;
    let times = Arc::new(Mutex::new(Vec::new()));
    let pinging = {
        let times = Arc::clone(&times);
        tokio::spawn(async move {
            loop {
                let began = Instant::now();
                socket.send(Message::Ping(Bytes::new())).await.unwrap();
                loop {
                    match socket.next().await.unwrap().unwrap() {
                        Message::Pong(_) => break,
                        Message::Text(text) if text.as_str() == "{}" => socket.send(Message::text("{}")).await.unwrap(),
                        _ => {}
                    }
                }
                times.lock().unwrap().push(began.elapsed());
                sleep(Duration::from_millis(60)).await;
            }
        })
    };
    let came = disturbance.await;
    assert!(!pinging.is_finished(), "the quiet socket was disturbed for good");
    pinging.abort();
    let mut times = times.lock().unwrap().clone();
    times.sort_unstable();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)].as_secs_f64() * 1000.0;
    println!("{what:<44}{:>8.2}{:>8.2}{:>8.2}", at(50), at(99), at(100));
    came
}

async fn figure(port: u16, name: &str) -> f64 {
    let text = reqwest::get(format!("http://127.0.0.1:{port}/metrics")).await.unwrap().text().await.unwrap();
    text.lines().filter_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok()).sum()
}

async fn sign_ins(server: &Server, me: &str, figures: u16) {
    let client = Client::new();
    let url = format!("http://{}/rest-auth/login/", server.address);
    let before = server.resident();
    let (mut answers, mut running, mut waiting) = (BTreeMap::<u16, usize>::new(), 0.0_f64, 0.0_f64);
    let flood = async {
        let began = Instant::now();
        let mut asking = JoinSet::new();
        while began.elapsed() < LASTS {
            // One crowd after the other: whoever is turned away does not come back at once.
            for number in 0..if asking.is_empty() { 500 } else { 0 } {
                let email = format!("load-{number}@load.invalid");
                let request = client.post(&url).json(&json!({"email": email, "password": "wrong, and long enough"}));
                asking.spawn(async move { request.send().await.map(|response| response.status().as_u16()) });
            }
            running = running.max(figure(figures, "solgik_password_hashes_running ").await);
            waiting = waiting.max(figure(figures, "solgik_password_hashes_waiting ").await);
            while let Some(Ok(Ok(status))) = asking.try_join_next() {
                *answers.entry(status).or_default() += 1;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    pinged(server, me, "while 500 sign in at once", flood).await;
    let (peak, cores) = (server.peak(), std::thread::available_parallelism().map_or(1, usize::from));
    println!("    answers {answers:?}; at most {running} hashes under way and {waiting} waiting on {cores} cores");
    println!("    memory {} MiB before, {} MiB at most", before / 1024, peak / 1024);
}

async fn frames(server: &Server, tokens: &[String], me: &str) {
    let (sent, closed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let over = Arc::new(AtomicBool::new(false));
    let flood = async {
        let mut sockets: Vec<Socket> =
            stream::iter(&tokens[..4]).then(|token| connect(server, token)).collect::<Vec<_>>().await;
        let mut flooding = JoinSet::new();
        for (index, mut socket) in sockets.drain(..).enumerate() {
            let (sent, closed, over) = (Arc::clone(&sent), Arc::clone(&closed), Arc::clone(&over));
            let (address, token) = (server.address.clone(), tokens[index].clone());
            flooding.spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    // Twenty-five frames every ten milliseconds from each of four.
                    for _ in 0..25 {
                        if socket.feed(Message::text(r#"{"id":1,"op":"whoami"}"#)).await.is_err() {
                            break;
                        }
                        sent.fetch_add(1, Ordering::Relaxed);
                    }
                    let alive = socket.flush().await.is_ok();
                    let goodbye = async {
                        while let Some(Ok(message)) = socket.next().await {
                            if message.is_close() {
                                break;
                            }
                        }
                    };
                    let ended = tokio::time::timeout(Duration::from_millis(10), goodbye).await.is_ok();
                    if ended || !alive {
                        closed.fetch_add(1, Ordering::Relaxed);
                        let url = format!("ws://{address}/ws").into_client_request();
                        let mut request = url.unwrap();
                        let authorization = HeaderValue::from_str(&format!("JWT {token}")).unwrap();
                        request.headers_mut().insert("authorization", authorization);
                        let stream = TcpStream::connect(&address).await.unwrap();
                        if let Ok((again, _)) = client_async(request, stream).await {
                            socket = again;
                        } else {
                            sleep(Duration::from_millis(100)).await;
                        }
                    }
                }
            });
        }
        sleep(LASTS).await;
        over.store(true, Ordering::Relaxed);
        flooding.join_all().await;
    };
    pinged(server, me, "while four flood with frames", flood).await;
    let rate = sent.load(Ordering::Relaxed) as f64 / LASTS.as_secs_f64();
    println!(
        "    {rate:.0} frames a second; {} times somebody was sent away and came back",
        closed.load(Ordering::Relaxed)
    );
}

/// A thousand who have stopped reading, in rooms where somebody talks.
async fn stalled(server: &Server, tokens: &[String], figures: u16) {
    let connect_deaf = async |token| {
        let socket = TcpSocket::new_v4().unwrap();
        // The kernel would read on for them.
        socket.set_recv_buffer_size(4096).unwrap();
        connect_by(socket, server, token).await
    };
    let mut deaf: Vec<Socket> = Vec::new();
    for token in &tokens[..PEOPLE] {
        deaf.push(connect_deaf(token).await);
    }
    // Some of each room talk, on a second device.
    let mut talking = JoinSet::new();
    let text = "수".repeat(190);
    let before = server.resident();
    let slow = "solgik_connections_closed_total{reason=\"slow\"} ";
    let gone = figure(figures, slow).await;
    for token in &tokens[..TALKERS] {
        let mut socket = connect(server, token).await;
        let text = text.clone();
        talking.spawn(async move {
            for id in 0.. {
                let cheer = json!({"id": id, "op": "room.cheer", "d": {"text": text}}).to_string();
                if socket.send(Message::text(cheer)).await.is_err() {
                    return;
                }
                let pause = sleep(Duration::from_millis(100));
                tokio::pin!(pause);
                loop {
                    tokio::select! {
                        () = &mut pause => break,
                        message = socket.next() => match message {
                            Some(Ok(Message::Text(text))) if text.as_str() == "{}" => {
                                if socket.send(Message::text("{}")).await.is_err() {
                                    return;
                                }
                            }
                            Some(Ok(_)) => {}
                            _ => return,
                        },
                    }
                }
            }
        });
    }
    let began = Instant::now();
    let (mut most, mut queued) = (0, 0.0_f64);
    while began.elapsed() < 2 * LASTS {
        most = most.max(server.resident());
        queued = queued.max(figure(figures, "solgik_queue_bytes ").await);
        sleep(Duration::from_millis(200)).await;
    }
    talking.abort_all();
    let gone = figure(figures, slow).await - gone;
    println!("{PEOPLE} readers that stall, while {TALKERS} talk ten times a second for {} s:", 2 * LASTS.as_secs());
    println!("    memory {} MiB before, {} MiB at most", before / 1024, most / 1024);
    println!("    at most {:.1} MiB waited for them, {gone} were sent away as too slow", queued / 1048576.0);
    deaf.clear();
    let left: Value = json!(figure(figures, "solgik_connections ").await);
    println!("    {left} connections are left");
}
