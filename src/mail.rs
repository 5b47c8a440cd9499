//! Letters.
use crate::app::App;
use tokio_util::sync::CancellationToken;
/// Delivers until `stop`.
pub async fn deliver(_app: App, stop: CancellationToken) {
    stop.cancelled().await;
}
