//! Ten thousand timers whose phases end within one second: how late their watchers hear of it.
//!
//! `cargo bench --bench boundary` seeds people and rooms, begins everybody's run so that a phase ends soon, starts the
//! server as a process of its own, listens with two sockets a room, and prints how late `timer.phase` came against the
//! boundary that was foretold, what the server took, and when the ledger was written. `BOUNDARY_RUNS` and
//! `BOUNDARY_ROOMS` change the size. It ends by itself within three minutes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a measurement")]
#![allow(clippy::print_stdout, reason = "its answer")]
#![allow(unreachable_pub, reason = "nothing is reachable from outside of a measurement")]

mod support;

use std::{
    collections::HashMap,
    env,
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use entity::{Millis, account, run, segment};
use futures_util::{SinkExt, StreamExt, stream};
use sea_orm::{ActiveValue::Set, EntityTrait, PaginatorTrait, QueryOrder};
use serde_json::Value;
use solgik::{
    config::{Config, Flags},
    db::Db,
};
use tokio::{net::TcpStream, time::sleep};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest, http::HeaderValue},
};

/// Sockets of a room.
const WATCHERS: usize = 2;

/// From the start of the server until phases end, in milliseconds.
const AHEAD: i64 = 20_000;

const MINUTE: i64 = 60_000;

/// Longer than anything here may take.
const LIMIT: Duration = Duration::from_secs(60);

/// When a person's phases begin, by person and index.
type Foretold = HashMap<(i64, i64), i64>;

fn now() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64
}

fn size(name: &str, default: usize) -> usize {
    env::var(name).map_or(default, |size| size.parse().unwrap())
}

fn progress(text: &str) {
    print!("\r\x1b[K{text}");
    std::io::stdout().flush().unwrap();
}

fn main() {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(measure());
}

async fn measure() {
    let (runs, rooms) = (size("BOUNDARY_RUNS", 10_000), size("BOUNDARY_ROOMS", 200));
    let data = tempfile::tempdir().unwrap();
    progress("seeding people");
    let tokens = support::seed(support::solgik(data.path()), data.path(), runs, rooms);
    let environment = [("SOLGIK__DATA_DIR".to_owned(), data.path().to_str().unwrap().to_owned())];
    let db = Db::open(&Config::load(&Flags::default(), environment).unwrap()).await.unwrap();
    let first = now() + AHEAD;
    begin(&db, first - MINUTE).await;

    progress("starting the server");
    let server = support::serve(support::solgik(data.path()));
    let heard = Arc::new(AtomicUsize::new(0));
    let sockets: Vec<_> = stream::iter(&tokens[..rooms * WATCHERS])
        .map(|token| connect(&server.address, token))
        .buffer_unordered(16)
        .inspect(|_| progress(&format!("{} sockets", heard.fetch_add(1, Ordering::Relaxed) + 1)))
        .collect()
        .await;
    // Phases end every minute: the next ones that nobody has missed.
    let boundary = (0..).map(|minute| first + minute * MINUTE).find(|at| *at > now() + 2000).unwrap();
    let (sockets, pictures): (Vec<_>, Vec<_>) = sockets.into_iter().unzip();
    let foretold: Foretold =
        pictures.into_iter().flatten().filter(|(_, at)| (boundary..boundary + MINUTE).contains(at)).collect();
    let people_a_room = runs / rooms;
    let expected = sockets.len() * people_a_room;
    heard.store(0, Ordering::Relaxed);
    let listening: Vec<_> =
        sockets.into_iter().map(|socket| tokio::spawn(listen(socket, Arc::clone(&heard)))).collect();
    while now() < boundary {
        progress(&format!("{} s until {runs} phases end", (boundary - now()) / 1000));
        sleep(Duration::from_millis(200)).await;
    }
    let before = server.cpu();
    let (begun, lines) = (Instant::now(), runs * (((boundary - first) / MINUTE) as usize + 1));
    let mut written = None;
    while begun.elapsed() < LIMIT && (written.is_none() || heard.load(Ordering::Relaxed) < expected) {
        if written.is_none() && segment::Entity::find().count(&*db).await.unwrap() as usize >= lines {
            written = Some(begun.elapsed());
        }
        progress(&format!("{} of {expected} phases were heard", heard.load(Ordering::Relaxed)));
        sleep(Duration::from_millis(100)).await;
    }
    let took = server.cpu() - before;
    let memory = server.peak();
    listening.iter().for_each(tokio::task::JoinHandle::abort);
    progress("");

    let mut lateness =
        LATENESS.lock().unwrap().iter().filter_map(|(at, text)| late(&foretold, *at, text)).collect::<Vec<_>>();
    lateness.sort_unstable();
    println!(
        "{runs} runs in {rooms} rooms, {} sockets: {} of {expected} phases heard",
        rooms * WATCHERS,
        lateness.len()
    );
    if let Some(max) = lateness.last() {
        let at = |share: usize| lateness[(lateness.len() * share / 100).min(lateness.len() - 1)];
        println!("lateness in ms: p50 {}, p90 {}, p99 {}, max {max}", at(50), at(90), at(99));
        histogram(&lateness);
    }
    println!("server: {took:.2} s of CPU around the boundary, {memory} KiB at most");
    match written {
        Some(written) => println!("ledger: all {runs} lines {} ms after the first boundary", written.as_millis()),
        None => println!("ledger: not written within {LIMIT:?}"),
    }
}

/// What was heard, as it came.
static LATENESS: std::sync::Mutex<Vec<(i64, String)>> = std::sync::Mutex::new(Vec::new());

/// Everybody's run, begun within one second from `from` on: a minute of work, a minute of break, and so on.
async fn begin(db: &Db, from: i64) {
    let accounts = account::Entity::find().order_by_asc(account::Column::Id).all(&**db).await.unwrap();
    for accounts in accounts.chunks(1000) {
        let rows = (0_i64..).zip(accounts).map(|(number, account)| run::ActiveModel {
            account_id: Set(account.id),
            // With an end: without one, nothing is written while it is open whether its owner will be back.
            total_time: Set(1440),
            work_time: Set(1),
            break_time: Set(1),
            started_at: Set(Millis(from + number)),
            settled_to: Set(Millis(from + number)),
            due_at: Set(Some(Millis(from + number + MINUTE))),
            seen_at: Set(Millis(now())),
            ..Default::default()
        });
        let tx = db.begin().await.unwrap();
        run::Entity::insert_many(rows).exec_without_returning(&*tx).await.unwrap();
        tx.commit().await.unwrap();
    }
}

type Socket = WebSocketStream<TcpStream>;

/// A socket, and what it was told of the phases to come.
async fn connect(address: &str, token: &str) -> (Socket, Vec<((i64, i64), i64)>) {
    let mut request = format!("ws://{address}/ws").into_client_request().unwrap();
    let authorization = HeaderValue::from_str(&format!("JWT {token}")).unwrap();
    request.headers_mut().insert("authorization", authorization);
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("solgik.v1"));
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut socket, _) = client_async(request, stream).await.unwrap();
    let hello = loop {
        let Message::Text(text) = socket.next().await.unwrap().unwrap() else { continue };
        let message: Value = serde_json::from_str(&text).unwrap();
        if message["ev"] == "hello" {
            break message;
        }
    };
    let mut foretold = Vec::new();
    for member in hello["d"]["room"]["members"].as_array().unwrap() {
        for next in member["run"]["next"].as_array().into_iter().flatten() {
            let place = (member["id"].as_i64().unwrap(), next["index"].as_i64().unwrap());
            foretold.push((place, next["at"].as_i64().unwrap()));
        }
    }
    (socket, foretold)
}

/// Notes when phases of the room come; what they say is read later.
async fn listen(mut socket: Socket, heard: Arc<AtomicUsize>) {
    while let Some(Ok(message)) = socket.next().await {
        let at = now();
        let Message::Text(text) = message else { continue };
        if text.as_str() == "{}" {
            let _ = socket.send(Message::text("{}")).await;
        } else if text.contains("timer.phase") && text.contains("\"room:") {
            LATENESS.lock().unwrap().push((at, text.as_str().to_owned()));
            heard.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// How late the phase in `text` came.
fn late(foretold: &Foretold, at: i64, text: &str) -> Option<i64> {
    let message: Value = serde_json::from_str(text).unwrap();
    let d = &message["d"];
    Some(at - foretold.get(&(d["user"].as_i64()?, d["index"].as_i64()?))?)
}

fn histogram(lateness: &[i64]) {
    let edges = [0, 5, 10, 25, 50, 100, 150, 200, 250, 500, 1000, 2500, i64::MAX];
    for pair in edges.windows(2) {
        let count = lateness.iter().filter(|late| (pair[0]..pair[1]).contains(late)).count();
        if count > 0 {
            let to = if pair[1] == i64::MAX { "more".to_owned() } else { pair[1].to_string() };
            println!("{:>5}–{to:<5} {count:>6} {}", pair[0], "█".repeat(count * 50 / lateness.len()));
        }
    }
}
