//! Two instances of one service.

use super::{
    app::TestApp,
    redis::{prefix, redis},
};

/// Two instances on one database and one Redis.
pub struct Pair {
    // The second stands on what the first owns: it goes first.
    pub two: TestApp,
    pub one: TestApp,
    settings: Vec<(String, String)>,
}

impl Pair {
    /// On the run's Redis; none, where the run has none.
    pub async fn start(settings: &[(&str, &str)]) -> Option<Self> {
        Some(Self::at(&redis()?, settings).await)
    }

    /// On a Redis of one's own.
    pub async fn at(url: &str, settings: &[(&str, &str)]) -> Self {
        Self::on(url, url, settings).await
    }

    /// On a Redis to which each has its own way.
    pub async fn on(way: &str, other: &str, settings: &[(&str, &str)]) -> Self {
        let prefix = prefix();
        let by = |url| {
            let shared = [("broker.redis_url", url), ("broker.prefix", &*prefix)];
            shared.into_iter().chain(settings.iter().copied()).collect::<Vec<_>>()
        };
        let one = TestApp::with(&by(way)).await;
        let settings = by(other);
        let two = one.beside(&settings).await;
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Self { two, one, settings: settings.iter().map(owned).collect() }
    }

    /// Stops the second instance, and starts another in its place.
    pub async fn replace_two(&mut self) {
        let settings: Vec<_> = self.settings.iter().map(|(key, value)| (&**key, &**value)).collect();
        let next = self.one.beside(&settings).await;
        std::mem::replace(&mut self.two, next).stop().await;
    }

    pub async fn stop(self) {
        self.two.stop().await;
        self.one.stop().await;
    }
}
