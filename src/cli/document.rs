//! `solgik openapi`: prints the document of a door, for programs.

use super::say;
use crate::server;

/// The REST door's.
pub(super) fn openapi() -> anyhow::Result<()> {
    say(format_args!("{:#}", server::openapi()?))
}
