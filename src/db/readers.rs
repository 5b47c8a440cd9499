//! Connections that read, kept at hand between statements.
//!
//! The pool asks each connection that comes back whether it is still there: for a single statement that is a second way
//! to the database and a task of its own. Here a connection that has done what it was asked is kept for the next
//! statement. One that failed, or that nobody waited for, goes back to the pool, which looks at it. At most half of the
//! pool is kept: whoever wants a transaction finds the rest there.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, DbErr, ExecResult, QueryResult, RuntimeErr, SqlxError, Statement,
    Values,
    sqlx::{AssertSqlSafe, Postgres, Sqlite, pool::PoolConnection, query_with},
};
use sea_query_sqlx::SqlxValues;

use super::is_postgres;

/// See the module. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Readers {
    pool: DatabaseConnection,
    kept: Arc<Mutex<Vec<Reader>>>,
    most: usize,
}

#[derive(Debug)]
enum Reader {
    Postgres(PoolConnection<Postgres>),
    Sqlite(PoolConnection<Sqlite>),
}

impl Readers {
    pub(super) fn new(pool: DatabaseConnection, connections: u32) -> Self {
        Self { pool, kept: Arc::default(), most: usize::try_from(connections / 2).unwrap_or(0) }
    }

    /// The pool, for transactions that only read and for migrations.
    pub fn pool(&self) -> &DatabaseConnection {
        &self.pool
    }

    /// How many wait for a statement.
    pub(super) fn idle(&self) -> usize {
        self.kept().len()
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Reader>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), DbErr> {
        self.pool.ping().await
    }

    /// Closes every connection; nothing can be asked any more.
    pub async fn close(&self) {
        // From the call on, before it is waited for, nobody keeps another one.
        match is_postgres(&self.pool) {
            true => self.let_go(self.pool.get_postgres_connection_pool().close()).await,
            false => self.let_go(self.pool.get_sqlite_connection_pool().close()).await,
        }
    }

    async fn let_go(&self, closed: impl Future<Output = ()>) {
        self.kept().clear();
        closed.await;
    }

    async fn take(&self) -> Result<Reader, SqlxError> {
        let kept = self.kept().pop();
        match kept {
            Some(reader) => Ok(reader),
            None if is_postgres(&self.pool) => {
                Ok(Reader::Postgres(self.pool.get_postgres_connection_pool().acquire().await?))
            }
            None => Ok(Reader::Sqlite(self.pool.get_sqlite_connection_pool().acquire().await?)),
        }
    }

    fn keep(&self, reader: Reader) {
        let mut kept = self.kept();
        let closed = match &reader {
            Reader::Postgres(_) => self.pool.get_postgres_connection_pool().is_closed(),
            Reader::Sqlite(_) => self.pool.get_sqlite_connection_pool().is_closed(),
        };
        if !closed && kept.len() < self.most {
            kept.push(reader);
        }
    }

    async fn rows(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let failed = |error| RuntimeErr::SqlxError(Arc::new(error));
        let mut reader = self.take().await.map_err(|error| DbErr::Conn(failed(error)))?;
        // Whole answers only: of what is read to its end, nothing is left behind.
        let rows = reader.rows(statement).await.map_err(|error| DbErr::Query(failed(error)))?;
        self.keep(reader);
        Ok(rows)
    }
}

impl Reader {
    async fn rows(&mut self, statement: Statement) -> Result<Vec<QueryResult>, SqlxError> {
        let values = SqlxValues(statement.values.unwrap_or(Values(Vec::new())));
        let sql = AssertSqlSafe(statement.sql);
        match self {
            Self::Postgres(connection) => {
                let rows = query_with(sql, values).fetch_all(&mut **connection).await?;
                Ok(rows.into_iter().map(QueryResult::from).collect())
            }
            Self::Sqlite(connection) => {
                let rows = query_with(sql, values).fetch_all(&mut **connection).await?;
                Ok(rows.into_iter().map(QueryResult::from).collect())
            }
        }
    }
}

/// What is written outside a transaction goes to the pool.
#[async_trait]
impl ConnectionTrait for Readers {
    fn get_database_backend(&self) -> DbBackend {
        self.pool.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.pool.execute_raw(statement).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.pool.execute_unprepared(sql).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        Ok(self.rows(statement).await?.into_iter().next())
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.rows(statement).await
    }
}
