//! Everything that a feature may need, built in one function.
//!
//! Promises that two apps can live in one process: nothing here is static.

use std::{ops::Deref, sync::Arc};

use axum::extract::FromRef;
use jiff::tz::TimeZone;
use tokio_util::sync::CancellationToken;

use crate::{auth::Auth, clock::Clock, config::Config, db::Db, http::throttle::Throttle, realtime::Hub};

/// The service's parts, cheap to clone.
#[derive(Clone, Debug)]
pub struct App(Arc<Parts>);

/// See [`App`].
#[derive(Debug)]
pub struct Parts {
    /// The settings.
    pub config: Arc<Config>,
    /// What time it is.
    pub clock: Clock,
    /// The database.
    pub db: Db,
    /// Who is calling.
    pub auth: Auth,
    /// Who is connected.
    pub hub: Hub,
    /// Who tries too often.
    pub throttle: Throttle,
    /// Cancelled once this instance accepts nobody new.
    pub drain: CancellationToken,
    /// The zone whose midnight begins a day.
    pub zone: TimeZone,
}

impl App {
    /// Connects, migrates and puts everything together. No task runs yet.
    pub async fn build(config: Config, clock: Clock) -> anyhow::Result<Self> {
        let db = Db::connect(&config).await?;
        let auth = Auth::new(&config, db.clone(), clock.clone())?;
        let forget = auth.clone();
        let hub = Hub::new(&config, clock.clone(), Box::new(move |account, which| forget.forget(account, which)));
        let throttle = Throttle::new(clock.clone(), config.limits.exempt_loopback);
        let zone = TimeZone::get(&config.board.zone)?;
        Ok(Self(Arc::new(Parts {
            config: Arc::new(config),
            clock,
            db,
            auth,
            hub,
            throttle,
            drain: CancellationToken::new(),
            zone,
        })))
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl FromRef<App> for Auth {
    fn from_ref(app: &App) -> Self {
        app.auth.clone()
    }
}

impl FromRef<App> for Arc<Config> {
    fn from_ref(app: &App) -> Self {
        Arc::clone(&app.config)
    }
}
