//! The socket door: upgrade and admission, one task a connection, and the operations that features offer.
//!
//! Promises that every close is preceded by `bye` and that a connection's task is the only one that reads its socket;
//! what leaves goes through its outlet. What is said, to whom and in which order is realtime's business; what it means is the features'.

mod authenticate;
mod channels;
mod connection;
mod dispatch;
pub mod document;
pub mod drain;
mod hello;
mod inbox;
mod life;
mod lobby;
mod picture;
pub mod presence;
mod rate;
pub mod recheck;
pub mod routes;
mod socket;
mod times;
