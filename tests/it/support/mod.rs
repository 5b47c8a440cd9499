//! What tests stand on: a server of their own, people who act, and their sockets.

// Features bring their tests with them; until the last has come, some of this has no caller.
#![allow(dead_code, unused_imports)]

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
pub use raw::{CLOSE, FIN, PING, Raw, TEXT, frame};
pub use socket::WsClient;
