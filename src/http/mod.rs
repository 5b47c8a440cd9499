//! What every REST door shares: bodies in, pages, answers out, who calls from where, how often.
//!
//! Promises that an answer has one of three shapes: success, failure, or the bare objects of `/rest-auth/*`. It knows
//! no feature.

pub mod accept;
pub mod answer;
pub mod body;
pub mod context;
pub mod document;
pub mod failure;
pub mod measure;
pub mod page;
pub mod path;
pub mod throttle;

pub use answer::Answer;
pub use body::{Body, Fields};
pub use context::Context;
pub use page::Paging;
pub use path::PathId;
