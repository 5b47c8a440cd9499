//! A link between two parts of the service, which can be refused, cut, held up and slowed down.
//!
//! What is held up is not lost: like packets of a network that heals, it arrives late, the end of the connection too.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
    task::JoinSet,
};
use tokio_util::task::AbortOnDropHandle;

/// How it is on a link.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Weather {
    /// Nobody gets through who isn't yet.
    pub refuses: bool,
    /// Nothing arrives at the far end.
    pub holds_up: bool,
    /// Nothing comes back.
    pub holds_down: bool,
    /// Nothing comes back to those who subscribed to something; others notice nothing.
    pub holds_subscriptions: bool,
    /// How much later everything arrives.
    pub delay: Duration,
}

/// Where a link leads.
#[derive(Clone, Debug)]
pub enum End {
    Tcp(String),
    Unix(PathBuf),
}

/// See the module.
pub struct Link {
    /// `127.0.0.1:port`
    pub address: String,
    pub weather: watch::Sender<Weather>,
    end: watch::Sender<End>,
    cuts: watch::Sender<u64>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Clone)]
struct Inside {
    weather: watch::Receiver<Weather>,
    /// Whether this connection subscribed to something.
    subscribes: Arc<AtomicBool>,
}

impl Link {
    pub async fn new(end: End) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (weather, end, cuts) = (watch::Sender::default(), watch::Sender::new(end), watch::Sender::new(0));
        let task = tokio::spawn(serve(listener, weather.subscribe(), end.subscribe(), cuts.subscribe()));
        Self { address, weather, end, cuts, _task: AbortOnDropHandle::new(task) }
    }

    /// Leads elsewhere from now on; connections stay where they are.
    pub fn lead(&self, end: End) {
        self.end.send_replace(end);
    }

    /// Ends every connection.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

async fn serve(
    listener: TcpListener,
    weather: watch::Receiver<Weather>,
    end: watch::Receiver<End>,
    cuts: watch::Receiver<u64>,
) {
    let mut connections = JoinSet::new();
    loop {
        let (near, _) = listener.accept().await.unwrap();
        while connections.try_join_next().is_some() {}
        if weather.borrow().refuses {
            continue;
        }
        let (end, mut cuts) = (end.borrow().clone(), cuts.clone());
        let inside = Inside { weather: weather.clone(), subscribes: Arc::default() };
        cuts.mark_unchanged();
        connections.spawn(async move {
            tokio::select! {
                () = connect(near, end, inside) => {}
                _ = cuts.changed() => {}
            }
        });
    }
}

async fn connect(near: TcpStream, end: End, inside: Inside) {
    near.set_nodelay(true).unwrap();
    let (back, forth) = near.into_split();
    // Whoever can't be reached hangs up.
    match end {
        End::Tcp(address) => {
            let Ok(far) = TcpStream::connect(address).await else { return };
            far.set_nodelay(true).unwrap();
            let (from, to) = far.into_split();
            both(back, to, from, forth, inside).await;
        }
        End::Unix(path) => {
            let Ok(far) = UnixStream::connect(path).await else { return };
            let (from, to) = far.into_split();
            both(back, to, from, forth, inside).await;
        }
    }
}

async fn both(
    near: impl AsyncRead + Unpin,
    to_far: impl AsyncWrite + Unpin,
    far: impl AsyncRead + Unpin,
    to_near: impl AsyncWrite + Unpin,
    inside: Inside,
) {
    // Who goes away takes the other one along.
    let _ = tokio::try_join!(carry(near, to_far, inside.clone(), true), carry(far, to_near, inside, false));
}

/// Carries one direction until its end.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut inside: Inside,
    is_up: bool,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await;
        let holds = |weather: &Weather| match is_up {
            true => weather.holds_up,
            false => weather.holds_down || (weather.holds_subscriptions && inside.subscribes.load(Ordering::Relaxed)),
        };
        let delay = inside.weather.wait_for(|weather| !holds(weather)).await.map_or(Duration::ZERO, |w| w.delay);
        let length = read?;
        if length == 0 {
            return to.shutdown().await;
        }
        let bytes = &buffer[..length];
        if is_up && bytes.windows(9).any(|word| word.eq_ignore_ascii_case(b"subscribe")) {
            inside.subscribes.store(true, Ordering::Relaxed);
        }
        if !delay.is_zero() {
            let _ = tokio::time::timeout(delay, std::future::pending::<()>()).await;
        }
        to.write_all(bytes).await?;
    }
}
