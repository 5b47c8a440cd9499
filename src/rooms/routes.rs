//! The REST door.

use axum::Router;

use crate::app::App;

/// Paths of this feature.
pub fn router() -> Router<App> {
    Router::new()
}
