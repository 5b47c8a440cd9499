//! What tests stand on: a server of their own, people who act, and their sockets.

// Features bring their tests with them; until the last has come, some of this has no caller.
#![allow(dead_code, unused_imports)]

mod app;
mod database;
mod device;
mod door;
mod person;
mod picture;
mod seed;
mod socket;

pub use app::TestApp;
pub use database::Scratch;
pub use device::{Device, Gone};
pub use door::{Door, Reply};
pub use person::{PASSWORD, Person};
pub use picture::Picture;
pub use seed::{pick, seed};
pub use socket::WsClient;
