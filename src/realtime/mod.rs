//! Moves addressed messages to those who are connected.
//!
//! Promises the order and the places of channels, one presence a user, and that a slow reader harms only itself. It
//! knows no feature: who may see what is decided by those who publish and subscribe.

pub mod admission;
pub mod broker;
pub mod duty;
pub mod edges;
pub mod faults;
pub mod gates;
pub mod hub;
mod listeners;
pub mod merge;
pub mod outflow;
mod outitem;
pub mod outlet;
pub mod outqueue;
pub mod presence;
pub mod protocol;
pub mod registry;
pub mod round_trip;
pub mod shown;
pub mod touched;
pub mod writers;

pub use hub::Hub;
pub use protocol::{Channel, CloseReason, Event, Place};
