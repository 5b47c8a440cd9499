//! What tests stand on: a server of their own, people who act, and their sockets.

mod app;
mod database;
mod door;
mod person;
mod picture;
mod raw;
mod socket;

pub use app::TestApp;
pub use door::{Door, Reply};
pub use person::{PASSWORD, Person};
pub use picture::Picture;
pub use raw::{FIN, PING, Raw, TEXT, frame};
pub use socket::WsClient;
