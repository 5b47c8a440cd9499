//! Rows and nothing else: typed ids and one table a file.
//!
//! No query, no rule and no serialisation lives here: a column must not reach a client by accident.

pub mod account;
pub mod answer;
pub mod day_total;
pub mod friend_request;
pub mod friendship;
pub mod id;
pub mod membership;
pub mod outbox;
pub mod password_reset;
pub mod pause;
pub mod plan;
pub mod product_key;
pub mod room;
pub mod run;
pub mod score;
pub mod segment;
pub mod session;
pub mod tally;
pub mod tally_change;

pub use id::{AccountId, Millis, OutboxId, ProductKeyId, RoomId, RunId, SegmentId, SessionId};
