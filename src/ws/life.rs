//! The task of one connection, from the upgrade to its last word.
//!
//! Promises that it takes no more room than the connection while that waits, and that it ends with the connection.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::upgrade::OnUpgrade;

use super::{
    authenticate::{Opening, authenticate},
    connection::Connection,
    drain,
    socket::Socket,
};
use crate::{
    app::App,
    realtime::{CloseReason, admission::Admitted, outlet::Closing},
};

/// See the module. While it waits, all that it holds is the connection; what it does is boxed, and takes no room in
/// between. Two words are what fits into the smallest task that the runtime makes.
enum Life {
    /// Until there is something to do; taken out only to do it.
    Waiting(Option<Box<Connection>>),
    Doing(Pin<Box<dyn Future<Output = Done> + Send>>),
}

/// What has become of a connection: it goes on, or is to end for a reason; nothing, if there is none any more.
pub(super) type Done = Option<(Box<Connection>, Result<(), CloseReason>)>;

impl Future for Life {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let next = match &mut *self {
                Self::Doing(doing) => match ready!(doing.as_mut().poll(context)) {
                    Some((mut connection, Ok(()))) => {
                        connection.set_alarm();
                        Self::Waiting(Some(connection))
                    }
                    Some((connection, Err(reason))) => Self::Doing(Box::pin(connection.end(reason))),
                    None => return Poll::Ready(()),
                },
                Self::Waiting(waiting) => {
                    let Some(mut connection) = waiting.take() else { return Poll::Ready(()) };
                    match connection.poll_next(context) {
                        Poll::Ready(Ok(next)) => Self::Doing(Box::pin(connection.act(next))),
                        Poll::Ready(Err(reason)) => Self::Doing(Box::pin(connection.end(reason))),
                        Poll::Pending => {
                            *waiting = Some(connection);
                            return Poll::Pending;
                        }
                    }
                }
            };
            *self = next;
        }
    }
}

/// Serves one connection until it ends, and holds its place until then.
pub(super) fn spawn(app: &App, upgraded: OnUpgrade, opening: Opening, admitted: Admitted) {
    app.tasks.spawn(Life::Doing(Box::pin(begin(app.clone(), upgraded, opening, admitted))));
}

/// From the upgrade to the open gates; nothing, if the peer is nobody.
async fn begin(app: App, upgraded: OnUpgrade, opening: Opening, admitted: Admitted) -> Done {
    // A peer that goes away between the answer and here was never connected.
    let mut socket = Socket::new(upgraded.await.ok()?)?;
    let known = async {
        let known = authenticate(&app, &mut socket, &opening).await?;
        Ok((known, app.hub.admission().turn().await))
    };
    let closing = match app.drain.run_until_cancelled(known).await {
        // Where thousands come at once, some have given up before it is their turn.
        Some(Ok(_)) if socket.is_gone() => return None,
        Some(Ok((known, _turn))) => {
            let mut connection = Box::new(Connection::new(app, socket, &opening, &known, admitted));
            let begun = connection.begin(known).await;
            return Some((connection, begun));
        }
        Some(Err(reason)) => Closing { reason, reconnect_ms: None },
        None => drain::goodbye(),
    };
    close(&app, socket, closing, Bytes::new(), None).await;
    None
}

/// Says goodbye, and why.
pub(super) async fn close(app: &App, socket: Socket, closing: Closing, torn: Bytes, answer: Option<u16>) {
    app.metrics.closed(closing.reason.as_str());
    socket.close(closing, torn, answer, app.config.socket.max_frame).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_small() {
        assert_eq!(size_of::<Life>(), 2 * size_of::<usize>());
        assert!(size_of::<Connection>() <= 232, "{}", size_of::<Connection>());
    }
}
