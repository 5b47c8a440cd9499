//! The database: one connection pool, transactions, and whose verdict on uniqueness counts.
//!
//! Promises that SQLite and PostgreSQL behave alike: a write transaction holds SQLite's one writer place from its
//! first statement, so nobody fails half-way because somebody else wrote. Migrations are applied on connecting.
//! Queries live in the features' `store.rs`.

mod durable;
mod readers;
mod tx;

use std::{
    collections::BTreeSet,
    mem,
    ops::Deref,
    str::FromStr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use anyhow::Context;
use futures_util::TryFutureExt;
use migration::{Migrator, MigratorTrait, applied};
use sea_orm::{
    ColumnTrait, ConnectOptions, ConnectionTrait, Database, DbBackend, DbErr, EntityTrait, RuntimeErr, SqlErr,
    SqlxError, Value,
    sea_query::{Expr, postgres_array::NotU8},
    sqlx::{Executor, sqlite::SqliteConnectOptions},
};
use tokio::sync::{Semaphore, watch};

use self::readers::Readers;
pub use self::tx::{Alone, Tx};
use crate::{
    config::Config,
    error::{Error, ErrorCode, Result},
    together::Together,
};

/// Connections to SQLite: one writes at a time, and the others read the same pages from the system's cache. More would
/// only take memory, each with a thread, pages and statements of its own.
const FILE_CONNECTIONS: u32 = 4;

/// A pool of connections, cheap to clone.
#[derive(Clone, Debug)]
pub struct Db {
    readers: Readers,
    /// SQLite has one writer; queueing for it here is fair and never busy-waits.
    writer: Option<Arc<Semaphore>>,
    log: Option<Arc<durable::Log>>,
    commits: watch::Sender<()>,
    notes: Notes,
    spoken: Option<Arc<Spoken>>,
    unsaid: Arc<Together<String, ()>>,
}

/// Commits with something to say, as long as nobody else writes to this database.
#[derive(Debug)]
struct Spoken {
    begun: AtomicU64,
    ended: AtomicU64,
    /// Everything of so many is said.
    said: AtomicU64,
}

impl Spoken {
    /// Nobody has looked yet what an earlier life left.
    fn new() -> Self {
        Self { begun: AtomicU64::new(1), ended: AtomicU64::new(1), said: AtomicU64::new(0) }
    }
}

/// What transactions leave for whoever looks after it once they are committed.
type Notes = Arc<Mutex<BTreeSet<String>>>;

/// What a page costs that is read out of order: PostgreSQL takes a disk for one with a head that moves, and for fifty
/// accounts by their keys would rather read five thousand. And how long a transaction may stand still: its locks hold
/// others, and whoever has stopped in it may never go on.
const SESSION: &str = "SET random_page_cost = 1.1; SET idle_in_transaction_session_timeout = '10s'";

impl Db {
    /// Opens the configured database and brings its schema up to date.
    pub async fn connect(config: &Config) -> anyhow::Result<Self> {
        let db = Self::open(config).await?;
        Migrator::up(db.readers.pool(), None).await.context("applying migrations")?;
        Ok(db)
    }

    /// Opens the configured database as it is.
    pub async fn open(config: &Config) -> anyhow::Result<Self> {
        let url = config.database_url();
        let sqlite = url.expose().starts_with("sqlite:");
        if sqlite && config.database.url.expose().is_empty() {
            std::fs::create_dir_all(&config.data_dir)
                .with_context(|| format!("creating {}", config.data_dir.display()))?;
        }
        let most = config.database.max_connections;
        let connections = if sqlite { most.min(FILE_CONNECTIONS) } else { most };
        let mut options = ConnectOptions::new(url.expose());
        options
            .max_connections(connections)
            .acquire_timeout(config.database.acquire)
            .sqlx_logging(false)
            .test_before_acquire(false)
            .map_sqlx_postgres_pool_opts(|pool| {
                pool.after_connect(|connection, _| Box::pin(connection.execute(SESSION).map_ok(|_| ())))
            })
            .map_sqlx_sqlite_opts(|sqlite| {
                sqlite
                    .pragma("journal_mode", "WAL")
                    // Each commit is written to the disk by `durable`.
                    .pragma("synchronous", "NORMAL")
                    .pragma("foreign_keys", "ON")
                    // What is deleted is gone from the file as well.
                    .pragma("secure_delete", "ON")
                    .pragma("busy_timeout", "5000")
                    // KiB, for each connection of the pool: the system's own cache of the file is shared by all of them.
                    .pragma("cache_size", "-256")
            });
        // The driver's own error can repeat the address, and with it the password.
        let pool = Database::connect(options).await.map_err(|error| {
            anyhow::anyhow!(
                "the database can't be opened: {}",
                error.to_string().replace(url.expose(), "(its address)")
            )
        })?;
        let writer = sqlite.then(|| Arc::new(Semaphore::new(1)));
        let log = if sqlite {
            let file = SqliteConnectOptions::from_str(url.expose()).context("the database's address")?;
            Some(Arc::new(durable::Log::of(file.get_filename().to_owned())))
        } else {
            None
        };
        // What one instance alone has not said, it knows; among several, only the rows know.
        let spoken = config.is_alone().then(|| Arc::new(Spoken::new()));
        let readers = Readers::new(pool, connections);
        Ok(Self {
            readers,
            writer,
            log,
            commits: watch::Sender::new(()),
            notes: Notes::default(),
            spoken,
            unsaid: Arc::default(),
        })
    }

    /// Whether everything that was committed before now is said, as far as this is known without asking. What another
    /// process writes beside a single instance, a command of its operator, is said within three seconds and not known
    /// here.
    pub fn is_said(&self) -> bool {
        self.spoken.as_ref().is_some_and(|spoken| spoken.said.load(SeqCst) == spoken.begun.load(SeqCst))
    }

    /// How many commits there were, if none is under way: to be asked before taking their notes or looking for what is
    /// unsaid.
    pub fn committed(&self) -> Option<u64> {
        let spoken = self.spoken.as_ref()?;
        let ended = spoken.ended.load(SeqCst);
        (spoken.begun.load(SeqCst) == ended).then_some(ended)
    }

    /// Everything of the first `commits` is said.
    pub fn note_said(&self, commits: u64) {
        if let Some(spoken) = &self.spoken {
            spoken.said.fetch_max(commits, SeqCst);
        }
    }

    /// Channels that are looked through for what is unsaid.
    pub fn unsaid(&self) -> &Together<String, ()> {
        &self.unsaid
    }

    /// Changes after commits; several may be told as one.
    pub fn commits(&self) -> watch::Receiver<()> {
        self.commits.subscribe()
    }

    /// Takes the notes of what was committed.
    pub fn take_notes(&self) -> BTreeSet<String> {
        mem::take(&mut *self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the database answers, and knows every step that this program knows. It may know more: while instances
    /// are replaced one after another, the old ones go on with the new schema.
    pub async fn check(&self) -> Result<()> {
        let applied = applied::Entity::find().all(&self.readers).await?;
        let knows = |name: &str| applied.iter().any(|step| step.version == name);
        match Migrator::migrations().iter().find(|step| !knows(step.name())) {
            None => Ok(()),
            Some(step) => Err(anyhow::anyhow!("the database lacks {}", step.name()).into()),
        }
    }

    /// Open connections of the pool, and those that nobody uses.
    pub fn connections(&self) -> (u32, usize) {
        let pool = self.readers.pool();
        let (size, idle) = if is_postgres(pool) {
            let pool = pool.get_postgres_connection_pool();
            (pool.size(), pool.num_idle())
        } else {
            let pool = pool.get_sqlite_connection_pool();
            (pool.size(), pool.num_idle())
        };
        (size, idle + self.readers.idle())
    }
}

/// Reads need no transaction: `&*db` is a connection.
impl Deref for Db {
    type Target = Readers;

    fn deref(&self) -> &Readers {
        &self.readers
    }
}

/// `code` if the database refused a duplicate, else the failure itself.
pub fn unique(error: DbErr, code: ErrorCode) -> Error {
    match error.sql_err() {
        Some(SqlErr::UniqueConstraintViolation(_)) => code.into(),
        _ => error.into(),
    }
}

/// The database can't be reached: the caller may try again. Anything else is a mistake of ours.
impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        if is_out_of_reach(&error) {
            tracing::warn!(%error, "the database can't be reached");
            return Self::retry(ErrorCode::Unavailable, std::time::Duration::from_secs(2));
        }
        Self::Internal(error.into())
    }
}

/// Whether the connection is at fault and not the statement: there was none, or it broke off while the statement was
/// under way, or PostgreSQL says that it is about to; or another process holds SQLite's one writer place for longer than
/// we wait.
fn is_out_of_reach(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) = error else {
        return matches!(error, DbErr::Conn(_) | DbErr::ConnectionAcquire(_));
    };
    match &**error {
        SqlxError::Io(_) | SqlxError::PoolTimedOut | SqlxError::PoolClosed | SqlxError::WorkerCrashed => true,
        // Stopped by an operator, stopped by a crash, not started yet, stood still for too long; busy.
        SqlxError::Database(error) => {
            error.code().is_some_and(|code| ["57P01", "57P02", "57P03", "25P03", "5"].contains(&&*code))
        }
        _ => false,
    }
}

/// Escapes what `LIKE` would read as a wildcard; goes with `ESCAPE '\'`.
pub fn like_contains(keyword: &str) -> String {
    let mut pattern = String::with_capacity(keyword.len() + 2);
    pattern.push('%');
    for character in keyword.chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

/// An account, or the two between whom something happens.
const FEW: usize = 2;

/// As many as are asked about together. Longer lists are rare, and SQLite binds only so many values.
const MANY: usize = 256;

/// Whether `column` is one of `values`. To PostgreSQL they are one array: however many they are, it is the same statement,
/// which is prepared once and has one plan, and no plan looks at each value anew for each row. Only a few are said one by
/// one: for an array that is shorter than it expects, PostgreSQL plans each time anew, which takes longer than looking.
/// SQLite keeps each statement for each connection, and has no arrays: the last of up to 256 values is repeated
/// until they are a power of two, so that there are few statements.
pub fn among<V: Into<Value> + NotU8 + Clone>(
    connection: &impl ConnectionTrait,
    column: impl ColumnTrait,
    values: impl IntoIterator<Item = V>,
) -> Expr {
    let mut values = Vec::from_iter(values);
    if values.len() > FEW && is_postgres(connection) {
        return column.eq_any(values);
    }
    if let Some(last) = values.last().filter(|_| values.len() <= MANY).cloned() {
        values.resize(values.len().next_power_of_two(), last);
    }
    column.is_in(values)
}

/// Whether the connection is PostgreSQL, for the few statements that differ.
pub fn is_postgres(connection: &impl ConnectionTrait) -> bool {
    connection.get_database_backend() == DbBackend::Postgres
}

#[cfg(test)]
mod tests {
    use entity::{OutboxId, outbox};
    use sea_orm::{QueryFilter, QueryTrait, Statement};

    use super::*;

    #[tokio::test]
    async fn sqlite_plans_a_statement_once_and_not_for_each_value() {
        // Every look-up of one row binds a limit.
        let memory = Database::connect("sqlite::memory:").await.unwrap();
        let used = "SELECT sqlite_compileoption_used('ENABLE_QPSG')";
        let row = memory.query_one_raw(Statement::from_string(DbBackend::Sqlite, used)).await.unwrap();
        assert!(row.unwrap().try_get_by_index::<bool>(0).unwrap());
    }

    #[tokio::test]
    async fn sqlites_lists_have_few_lengths_and_long_ones_their_own() {
        let memory = Database::connect("sqlite::memory:").await.unwrap();
        for (given, bound) in [(1, 1), (3, 4), (200, 256), (256, 256), (257, 257), (32_000, 32_000)] {
            let ids = (0..given).map(OutboxId);
            let query = outbox::Entity::find().filter(among(&memory, outbox::Column::Id, ids));
            assert_eq!(query.build(DbBackend::Sqlite).values.unwrap().0.len(), bound);
        }
    }

    #[test]
    fn wildcards_in_a_keyword_are_literal() {
        assert_eq!(like_contains(r"50%_\x"), r"%50\%\_\\x%");
    }
}
