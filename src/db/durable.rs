//! How commits to SQLite come to the disk: many with one write.
//!
//! SQLite would wait for the disk within every commit, its one writer place taken: nobody could write meanwhile. Here a
//! commit ends in the write-ahead log (`synchronous = NORMAL`), where the end of the process can't harm it any more, and
//! whoever committed waits outside: the first to wait has the log written to the disk for everybody who has committed by
//! then (group commit: DeWitt et al., Implementation Techniques for Main Memory Database Systems, SIGMOD 1984).
//!
//! Promises that nobody is answered before the change would outlive a loss of power. Others may have seen it by then: what
//! is read of a database is committed, and not yet for ever.

use std::{
    fs::File,
    io::{self, ErrorKind},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering::SeqCst},
};

use anyhow::Context;
use tokio::{sync::Mutex, task::spawn_blocking};

/// The log of one database.
#[derive(Debug)]
pub(super) struct Log {
    file: PathBuf,
    committed: AtomicU64,
    synced: Mutex<Synced>,
}

/// What is on the disk.
#[derive(Debug, Default)]
struct Synced {
    /// So many commits.
    commits: u64,
    /// The log's entry in its folder, by the number of the file that it leads to.
    entry: Option<u64>,
}

impl Log {
    /// The write-ahead log of the database in `file`.
    pub(super) fn of(file: PathBuf) -> Self {
        let mut file = file.into_os_string();
        file.push("-wal");
        Self { file: file.into(), committed: AtomicU64::new(0), synced: Mutex::default() }
    }

    /// Waits until what the caller has committed is on the disk.
    pub(super) async fn sync(&self) -> anyhow::Result<()> {
        let mine = self.committed.fetch_add(1, SeqCst) + 1;
        let mut synced = self.synced.lock().await;
        if synced.commits < mine {
            let all = self.committed.load(SeqCst);
            let (file, entry) = (self.file.clone(), synced.entry);
            let written = spawn_blocking(move || write(&file, entry)).await?;
            *synced = Synced { commits: all, entry: written.context("writing the database's log to the disk")? };
        }
        Ok(())
    }
}

/// Writes the log to the disk, and its entry if that is not `entry`. Answers which it is.
fn write(path: &Path, entry: Option<u64>) -> io::Result<Option<u64>> {
    // Opened anew each time: the last connection to close takes the file along, when it has written all of it to the
    // database, and to the disk; so does a database in memory, which has none.
    let log = match File::open(path) {
        Ok(log) => log,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    log.sync_data()?;
    let found = Some(log.metadata()?.ino());
    // A file that no folder leads to is lost with the power, whatever is in it.
    if found != entry {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;
    use crate::{
        config::{Config, Flags},
        db::Db,
    };

    #[tokio::test]
    async fn a_transaction_ends_when_it_is_on_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let environment = [("SOLGIK__DATA_DIR".to_owned(), folder.path().display().to_string())];
        let config = Config::load(&Flags::default(), environment).unwrap();
        let db = Db::connect(&config).await.unwrap();
        let log = db.log.as_ref().unwrap();
        assert!(log.file.exists(), "{}", log.file.display());
        db.begin().await.unwrap().commit().await.unwrap();
        assert_eq!(log.synced.lock().await.commits, 1);
        db.begin().await.unwrap().commit_quietly().await.unwrap();
        assert_eq!(log.synced.lock().await.commits, 2);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn everybody_who_committed_waits_for_a_write_that_began_later() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::of(folder.path().join("a.db"));
        log.sync().await.unwrap();
        assert_eq!(log.synced.lock().await.commits, 1, "without a log, everything is in the database");
        assert_eq!(log.synced.lock().await.entry, None);
        std::fs::write(folder.path().join("a.db-wal"), "frames").unwrap();
        // While the place is taken, everybody commits; then one write is enough.
        let taken = log.synced.lock().await;
        let all = join_all((0..50).map(|_| log.sync()));
        let (ends, ()) = tokio::join!(all, async {
            while log.committed.load(SeqCst) < 51 {
                tokio::task::yield_now().await;
            }
            drop(taken);
        });
        ends.into_iter().collect::<anyhow::Result<Vec<_>>>().unwrap();
        assert_eq!(log.synced.lock().await.commits, 51);
        // The log that was there, and the one that follows it.
        let first = log.synced.lock().await.entry;
        assert!(first.is_some());
        std::fs::write(folder.path().join("next"), "frames").unwrap();
        std::fs::rename(folder.path().join("next"), folder.path().join("a.db-wal")).unwrap();
        log.sync().await.unwrap();
        assert_ne!(log.synced.lock().await.entry, first);
    }

    #[tokio::test]
    async fn a_log_that_cannot_be_written_is_no_success() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::of(folder.path().join("file"));
        std::fs::write(folder.path().join("file"), "").unwrap();
        let below = Log::of(folder.path().join("file/a.db"));
        log.sync().await.unwrap();
        assert!(below.sync().await.is_err());
        assert_eq!(below.synced.lock().await.commits, 0);
    }
}
