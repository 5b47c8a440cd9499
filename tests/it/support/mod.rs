//! What tests stand on: a server of their own, people who act, and their sockets.

mod app;
mod database;
mod device;
mod door;
pub mod fold;
#[allow(dead_code, reason = "for tests/chaos")]
pub mod link;
mod pair;
mod person;
mod picture;
mod process;
mod raw;
mod redis;
mod room_picture;
mod script;
mod seed;
mod socket;

pub use app::TestApp;
pub use database::Scratch;
pub use device::{Device, Gone};
pub use door::{Door, Reply};
pub use pair::Pair;
pub use person::{PASSWORD, Person};
#[allow(unused_imports, reason = "for tests/chaos")]
pub use process::signal;
pub use process::{End, Server, binary, run_binary, seed_people};
pub use raw::{CLOSE, FIN, PING, Raw, TEXT, frame};
pub use redis::{RedisCluster, RedisServer, pass, prefix, redis};
pub use room_picture::RoomPicture;
pub use script::{Actor, Script};
pub use seed::{pick, seed};
pub use socket::WsClient;
