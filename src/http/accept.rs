//! Takes connections and serves HTTP on them.
//!
//! Promises that whoever dawdles over a request's head is sent away, that a socket which is upgraded can be taken out of
//! HTTP whole, and that it ends once every request under way is answered.

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, time::Duration};

use axum::{
    body::Body,
    extract::{ConnectInfo, Request},
    response::Response,
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service;

/// How long the head of a request may take, and how long a connection may wait for the next.
const HEAD: Duration = Duration::from_secs(30);

/// How long to wait when nobody can be accepted: there is no descriptor left, or no memory.
const FULL: Duration = Duration::from_millis(100);

/// Serves on `listener` until `stop`.
pub async fn serve<S>(listener: TcpListener, service: S, stop: CancellationToken)
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let connections = TaskTracker::new();
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, peer)) => {
                connections.spawn(one(stream, peer, service.clone(), stop.clone()));
            }
            Err(error) if is_the_peers(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "nobody can be accepted");
                tokio::time::sleep(FULL).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// It came and went.
fn is_the_peers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn one<S>(stream: TcpStream, peer: SocketAddr, service: S, stop: CancellationToken)
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    // Frames are gathered before they are written: the kernel has nothing to wait for.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::trace!(%error, "a connection is gone already");
        return;
    }
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        service.clone().call(request.map(Body::new))
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service).with_upgrades());
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::trace!(%error, "a connection ended");
    }
}
