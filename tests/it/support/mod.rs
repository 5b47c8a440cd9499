//! What tests stand on: a server of their own, people who act, and their sockets.

mod app;
mod database;
mod door;
mod person;
mod socket;

pub use app::TestApp;
pub use door::{Door, Reply};
pub use person::{PASSWORD, Person};
pub use socket::WsClient;
