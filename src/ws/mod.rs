//! The socket door.
pub mod routes {
    use crate::app::App;
    use axum::Router;
    pub fn router() -> Router<App> {
        Router::new()
    }
}
pub mod presence {
    use crate::app::App;
    pub async fn watch(_app: App, stop: tokio_util::sync::CancellationToken) {
        stop.cancelled().await;
    }
}
pub mod drain {
    use crate::app::App;
    pub async fn run(app: &App) {
        app.drain.cancel();
    }
}
