//! Solgik: a realtime, WebSocket-first study-room service.
//!
//! # The map, in reading order
//! ```text
//! main → cli → server → { ws, web, admin, features } → app → { realtime, auth, http, db, grams, tally, outbox, mail }
//!      → { config, error, clock, locale, telemetry, together, jointly } → entity
//! ```
//! Beside the server, `client` (the check of promises, the demo) and `loadtest` are clients of it and know the wire alone.
//!
//! Features are rooms, the platform is the floor they stand on. No arrow runs back up and none runs in a circle; a
//! repository test checks it. Features call a neighbour only through its operations, along
//! `accounts → { product_keys, timer } → study → rooms → friends → people → runs`, leaving out any in between. A feature
//! has the same three files: `mod.rs` (operations), `routes.rs` (its REST door), `store.rs` (its private queries), and
//! pure files named for their idea.
//!
//! # How one request goes
//! A handler proves by its types that somebody is signed in and that the input is well-formed, and calls an operation.
//! The operation opens a transaction, locks the rows whose channels it will speak in (accounts by ascending id, then
//! the room), asks a pure function what is allowed, writes, says its events into the outbox of the same transaction,
//! and commits. The relay publishes what was said through the broker; every instance encodes once and hands the same
//! bytes to each local queue. The socket's operations are one match that calls the same functions.
//! What many read at the same moment is read once (`together`); those who enter and leave at the same moment share a
//! transaction (`jointly`).
//!
//! # Words
//! *account* (the wire says `user`), *session, product key, room, member* (durable) and *presence* (connected),
//! *enter/exit, request/accept/reject/remove, plan* (the time setting), *run* (a started timer), *phase, segment, point,
//! instance, connection, channel, offset, epoch*.
//! An *edge* is a change between online and offline; an *outlet* is the hub's end of a connection.
//!
//! # How time goes
//! A run is a row: its plan, its start, its pauses. `runs::engine` says where it stands at an instant, for whoever shows a
//! person, rings a phase or writes a segment; nothing counts. `timer::ticker` rings the phases of runs that somebody here
//! watches, `timer::settle` writes ended phases into the ledger of `study`, the same lines whoever comes by and however
//! late. Points are sums of the ledger, and their caches can be rebuilt from it.
//!
//! # What can be lost
//! Nothing that was committed: its events are in the outbox of the same transaction. A cheer, and what a friend does
//! (`friend.state`), are told by an instance that lives, and die with it. So does a presence edge of one instance alone;
//! among several, another tells it. Whatever Redis loses begins a new epoch, and the snapshot that follows makes up for
//! it.

pub mod config;
pub mod error;

pub mod clock;
pub mod jointly;
pub mod locale;
pub mod telemetry;
pub mod together;

pub mod db;
pub mod grams;
pub mod mail;
pub mod outbox;
pub mod tally;

pub mod auth;
pub mod http;
pub mod realtime;

pub mod app;
pub mod once;

pub mod accounts;
pub mod friends;
pub mod people;
pub mod product_keys;
pub mod rooms;
pub mod runs;
pub mod study;
pub mod timer;

pub mod admin;
pub mod web;
pub mod ws;

pub mod client;
pub mod loadtest;

pub mod cli;
pub mod server;
