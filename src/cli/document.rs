//! `solgik openapi` and `solgik asyncapi`: print the document of a door, for programs.

use super::say;
use crate::{server, ws};

/// The REST door's.
pub(super) fn openapi() -> anyhow::Result<()> {
    say(format_args!("{:#}", server::openapi()?))
}

/// The socket's.
pub(super) fn asyncapi() -> anyhow::Result<()> {
    say(format_args!("{:#}", ws::document::asyncapi()?))
}
