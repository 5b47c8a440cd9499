//! What writes: transactions, and statements that need none.
//!
//! Promises that SQLite's one writer place is held from the first statement to the last, that a commit is on the disk when
//! it ends, and that whoever says what was committed is woken by the commit and finds its notes.

use std::{
    mem,
    ops::Deref,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering::SeqCst},
};

use anyhow::Context;
use sea_orm::{DatabaseConnection, DatabaseTransaction, SqliteTransactionMode, TransactionOptions, TransactionTrait};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::{Db, Notes, Spoken, durable::Log};
use crate::error::Result;

impl Db {
    async fn writer(&self) -> Result<Option<OwnedSemaphorePermit>> {
        match &self.writer {
            Some(writer) => Ok(Some(Arc::clone(writer).acquire_owned().await.context("the writer's place is gone")?)),
            None => Ok(None),
        }
    }

    /// Begins a transaction that writes. Dropping it undoes it.
    pub async fn begin(&self) -> Result<Tx> {
        let writer = self.writer().await?;
        let options = TransactionOptions {
            sqlite_transaction_mode: writer.is_some().then_some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let inner = self.readers.pool().begin_with_options(options).await?;
        let (notes, commits, spoken) = (Mutex::default(), self.commits.clone(), self.spoken.clone());
        Ok(Tx { inner, writer, log: self.log.clone(), notes, left: Arc::clone(&self.notes), commits, spoken })
    }

    /// For one statement that writes, says nothing and needs no other: it is a transaction by itself, and is spared two
    /// ways to the database. SQLite's is on the disk with the next transaction: a loss of power may undo it until then.
    /// `&*alone` is its connection.
    pub async fn alone(&self) -> Result<Alone> {
        Ok(Alone { _writer: self.writer().await?, pool: self.readers.pool().clone() })
    }
}

/// The place of one statement that writes.
#[derive(Debug)]
pub struct Alone {
    pool: DatabaseConnection,
    _writer: Option<OwnedSemaphorePermit>,
}

impl Deref for Alone {
    type Target = DatabaseConnection;

    fn deref(&self) -> &DatabaseConnection {
        &self.pool
    }
}

/// A commit under way: it ends whatever becomes of it, and then leaves its notes.
struct Committing {
    notes: Vec<String>,
    left: Notes,
    spoken: Option<Arc<Spoken>>,
}

impl Committing {
    fn begin(notes: Vec<String>, left: Notes, spoken: Option<Arc<Spoken>>) -> Self {
        if let Some(spoken) = &spoken {
            spoken.begun.fetch_add(1, SeqCst);
        }
        Self { notes, left, spoken }
    }
}

impl Drop for Committing {
    fn drop(&mut self) {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).extend(mem::take(&mut self.notes));
        if let Some(spoken) = &self.spoken {
            spoken.ended.fetch_add(1, SeqCst);
        }
    }
}

/// A transaction that writes. `&*tx` is its connection.
#[derive(Debug)]
pub struct Tx {
    inner: DatabaseTransaction,
    // After `inner`: the place is free once the transaction has ended.
    writer: Option<OwnedSemaphorePermit>,
    log: Option<Arc<Log>>,
    notes: Mutex<Vec<String>>,
    left: Notes,
    commits: watch::Sender<()>,
    spoken: Option<Arc<Spoken>>,
}

impl Tx {
    /// Leaves a note for [`Db::take_notes`], to be found once this is committed.
    pub fn note(&self, note: String) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).push(note);
    }

    /// Makes it last, and wakes whoever relays what was said in it.
    pub async fn commit(self) -> Result<()> {
        let notes = self.notes.into_inner().unwrap_or_else(PoisonError::into_inner);
        let committing = Committing::begin(notes, self.left, self.spoken);
        end(self.inner, self.writer, self.log).await?;
        drop(committing);
        self.commits.send_replace(());
        Ok(())
    }

    /// Makes it last without waking the relay: nothing was said in it.
    pub async fn commit_quietly(self) -> Result<()> {
        end(self.inner, self.writer, self.log).await
    }
}

async fn end(inner: DatabaseTransaction, writer: Option<OwnedSemaphorePermit>, log: Option<Arc<Log>>) -> Result<()> {
    inner.commit().await?;
    // The next one writes while this one waits for the disk.
    drop(writer);
    if let Some(log) = log {
        log.sync().await?;
    }
    Ok(())
}

impl Deref for Tx {
    type Target = DatabaseTransaction;

    fn deref(&self) -> &DatabaseTransaction {
        &self.inner
    }
}
