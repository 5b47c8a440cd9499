//! Passwords: argon2id (RFC 9106) in a pool of its own.
//!
//! Promises that at most cores − 1 hashes are under way, whatever the callers do: the place is owned by the hash, not
//! by the request that waits for it. Whoever finds the queue full, or waits too long, is told to come back.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
};
use aws_lc_rs::constant_time;
use tokio::sync::Semaphore;

use crate::{
    config,
    error::{Error, ErrorCode, Result},
};

/// Bytes of a hash.
const OUTPUT: usize = 32;

/// What whoever is turned away is told to wait.
const RETRY: Duration = Duration::from_secs(2);

/// The pool, cheap to clone.
#[derive(Clone)]
pub struct Passwords(Arc<Inner>);

struct Inner {
    params: Params,
    places: Arc<Semaphore>,
    most: usize,
    waiting: AtomicUsize,
    queue: usize,
    wait: Duration,
    /// Memory of past hashes, used again: 19 MiB are not asked from the system for each sign-in.
    arenas: Mutex<Vec<Vec<Block>>>,
    /// Verified for an unknown account, so that it costs the same.
    dummy: String,
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").field("free", &self.0.places.available_permits()).finish_non_exhaustive()
    }
}

impl Passwords {
    /// A pool with the configured cost.
    pub fn new(config: &config::Auth) -> anyhow::Result<Self> {
        let params = Params::new(config.hash_memory_kib, config.hash_passes, config.hash_lanes, Some(OUTPUT))
            .map_err(|error| anyhow::anyhow!("auth.hash_*: {error}"))?;
        let places = std::thread::available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1));
        let dummy = hash(&params, "nobody's password", &mut Vec::new())?;
        Ok(Self(Arc::new(Inner {
            params,
            places: Arc::new(Semaphore::new(places)),
            most: places,
            waiting: AtomicUsize::new(0),
            queue: config.hash_queue,
            wait: config.hash_wait,
            arenas: Mutex::default(),
            dummy,
        })))
    }

    /// Hashes that are under way, and callers who wait for one.
    pub fn load(&self) -> (usize, usize) {
        let running = self.0.most.saturating_sub(self.0.places.available_permits());
        (running, self.0.waiting.load(Ordering::Relaxed))
    }

    /// A new hash in PHC form.
    pub async fn hash(&self, password: String) -> Result<String> {
        let params = self.0.params.clone();
        self.run(move |arena| hash(&params, &password, arena)).await
    }

    /// Whether `password` belongs to `phc`. Without a hash the answer is no, at the same cost.
    pub async fn verify(&self, password: String, phc: Option<String>) -> Result<bool> {
        let known = phc.is_some();
        let phc = phc.unwrap_or_else(|| self.0.dummy.clone());
        let same = self.run(move |arena| verify(&phc, &password, arena)).await?;
        Ok(same && known)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Vec<Block>) -> anyhow::Result<T> + Send + 'static,
    ) -> Result<T> {
        let place = self.place().await?;
        let pool = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            // A caller who went away leaves the hash running: the place is free when the processor is.
            let _place = place;
            let mut arena = pool.arenas().pop().unwrap_or_default();
            let result = work(&mut arena);
            pool.arenas().push(arena);
            result
        });
        Ok(done.await.map_err(anyhow::Error::from)??)
    }

    async fn place(&self) -> Result<tokio::sync::OwnedSemaphorePermit> {
        let _turn = Turn::take(&self.0)?;
        let place = tokio::time::timeout(self.0.wait, Arc::clone(&self.0.places).acquire_owned()).await;
        Ok(place.map_err(|_| Error::retry(ErrorCode::Overloaded, RETRY))?.map_err(anyhow::Error::from)?)
    }

    fn arenas(&self) -> std::sync::MutexGuard<'_, Vec<Vec<Block>>> {
        self.0.arenas.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the queue, given back also by a caller who goes away.
struct Turn<'a>(&'a Inner);

impl<'a> Turn<'a> {
    fn take(pool: &'a Inner) -> Result<Self> {
        let turn = Self(pool);
        if pool.waiting.fetch_add(1, Ordering::Relaxed) >= pool.queue {
            return Err(Error::retry(ErrorCode::Overloaded, RETRY));
        }
        Ok(turn)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

fn hash(params: &Params, password: &str, arena: &mut Vec<Block>) -> anyhow::Result<String> {
    let salt = rand::random::<[u8; 16]>();
    let output = derive(params, password, &salt, arena)?;
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(params).map_err(|error| anyhow::anyhow!("{error}"))?,
        salt: Some(Salt::new(&salt).map_err(|error| anyhow::anyhow!("{error}"))?),
        hash: Some(Output::new(&output).map_err(|error| anyhow::anyhow!("{error}"))?),
    };
    Ok(hash.to_string())
}

fn verify(phc: &str, password: &str, arena: &mut Vec<Block>) -> anyhow::Result<bool> {
    let known = PasswordHash::new(phc).map_err(|error| anyhow::anyhow!("a stored hash: {error}"))?;
    let params = Params::try_from(&known).map_err(|error| anyhow::anyhow!("a stored hash: {error}"))?;
    let (Some(salt), Some(expected)) = (known.salt, known.hash) else { anyhow::bail!("a stored hash is incomplete") };
    let output = derive(&params, password, salt.as_ref(), arena)?;
    Ok(constant_time::verify_slices_are_equal(&output, expected.as_bytes()).is_ok())
}

fn derive(params: &Params, password: &str, salt: &[u8], arena: &mut Vec<Block>) -> anyhow::Result<[u8; OUTPUT]> {
    arena.resize(params.block_count(), Block::default());
    let mut output = [0; OUTPUT];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone())
        .hash_password_into_with_memory(password.as_bytes(), salt, &mut output, arena)
        .map_err(|error| anyhow::anyhow!("hashing: {error}"))?;
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Flags};

    fn pool(settings: &[(&str, &str)]) -> Passwords {
        let environment = settings.iter().map(|(k, v)| (format!("SOLGIK__AUTH__{k}"), (*v).to_owned()));
        Passwords::new(&Config::load(&Flags::default(), environment).unwrap().auth).unwrap()
    }

    #[tokio::test]
    async fn a_password_is_recognised_and_nothing_else() {
        let pool = pool(&[("HASH_MEMORY_KIB", "64")]);
        let phc = pool.hash("correct horse".into()).await.unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=64,t=2,p=1$"), "{phc}");
        assert!(pool.verify("correct horse".into(), Some(phc.clone())).await.unwrap());
        assert!(!pool.verify("wrong horse".into(), Some(phc)).await.unwrap());
        assert!(!pool.verify("nobody's password".into(), None).await.unwrap());
        assert!(pool.verify("x".into(), Some("nonsense".into())).await.is_err());
    }

    #[tokio::test]
    async fn threat_1_a_full_queue_turns_away_and_lost_callers_leave_no_trace() {
        let pool = pool(&[("HASH_QUEUE", "1"), ("HASH_WAIT_MS", "60000")]);
        let taken = Arc::clone(&pool.0.places).acquire_many_owned(pool.0.places.available_permits() as u32);
        let taken = taken.await.unwrap();
        let waiting = tokio::spawn({
            let pool = pool.clone();
            async move { pool.hash("x".into()).await }
        });
        while pool.0.waiting.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        let error = pool.hash("y".into()).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::Overloaded);
        waiting.abort();
        assert!(waiting.await.unwrap_err().is_cancelled());
        assert_eq!(pool.0.waiting.load(Ordering::Relaxed), 0);
        drop(taken);
        pool.hash("z".into()).await.unwrap();
    }
}
