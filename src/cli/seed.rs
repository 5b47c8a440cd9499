//! `solgik user seed`: many people at once.
//!
//! Promises the same order everywhere: user i is `load-<i>@load.invalid`, sits in room i mod R, and has the i-th token.
//! It writes rows in bulk and tells nobody: whoever watches a room while it is being filled hears nothing of it.
//! Numbers go on where an earlier seeding ended.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{File, OpenOptions},
    io::{BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Args;
use entity::{AccountId, Millis, RoomId, SessionId, account, membership, room, session};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, sea_query::LikeExpr,
};

use super::say;
use crate::{
    accounts,
    app::App,
    auth::secret::random_token,
    clock,
    db::{self, Tx},
    people::search_name,
    rooms,
};

/// Rows of one statement. The widest row has 15 values, and SQLite takes 32766 in a statement, PostgreSQL 65535.
const BATCH: usize = 1000;

const LAST_NAME: &str = "부하";

#[derive(Debug, Args)]
pub(super) struct Seed {
    /// How many users
    users: usize,
    /// How many rooms to seat them in
    #[arg(long, default_value_t = 0)]
    rooms: usize,
    /// File for the tokens, one a line in the users' order
    #[arg(long, value_name = "FILE")]
    tokens: Option<PathBuf>,
    /// File for the rooms' ids, one a line
    #[arg(long, value_name = "FILE")]
    rooms_file: Option<PathBuf>,
}

/// Somebody with a session.
type Seat = (AccountId, SessionId);

/// What all the users of one seeding share.
struct Mould {
    /// The first user's number.
    first: usize,
    password_hash: String,
    now: Millis,
    ends: Millis,
}

pub(super) async fn run(app: &App, seed: &Seed) -> anyhow::Result<()> {
    let now = app.clock.now();
    let password = random_token();
    let mould = Mould {
        first: next_number(app).await?,
        password_hash: app.auth.passwords().hash(password.clone()).await?,
        now,
        ends: clock::after(now, app.config.auth.session_ttl),
    };
    let mut tokens = Lines::open(seed.tokens.as_deref())?;
    let mut ids = Lines::open(seed.rooms_file.as_deref())?;
    let rooms = insert_rooms(app, seed.rooms, now).await?;
    rooms.iter().try_for_each(|room| ids.write(room))?;
    let numbers: Vec<usize> = (mould.first..mould.first + seed.users).collect();
    for batch in numbers.chunks(BATCH) {
        for (account, session) in insert_users(app, &mould, batch, &rooms).await? {
            tokens.write(app.auth.issue(account, session, mould.ends)?.token)?;
        }
    }
    tokens.close()?;
    ids.close()?;
    if db::is_postgres(&*app.db) {
        // It plans for what it last counted, and would count by itself only a minute after so much has come.
        app.db.execute_unprepared("ANALYZE").await?;
    }
    let (users, from) = (seed.users, email(mould.first));
    say(format_args!("{users} users from {from} on, {} rooms; everybody's password is {password}", rooms.len()))
}

fn email(number: usize) -> String {
    format!("load-{number}@load.invalid")
}

fn number(email: &str) -> Option<usize> {
    email.strip_prefix("load-")?.strip_suffix("@load.invalid")?.parse().ok()
}

async fn next_number(app: &App) -> anyhow::Result<usize> {
    let last = account::Entity::find()
        .filter(account::Column::EmailKey.like(LikeExpr::new("load-%@load.invalid")))
        .order_by_desc(account::Column::Id)
        .one(&*app.db)
        .await?;
    Ok(last.and_then(|last| number(last.email_key.as_deref()?)).map_or(0, |last| last + 1))
}

async fn insert_rooms(app: &App, count: usize, now: Millis) -> anyhow::Result<Vec<RoomId>> {
    let mut ids = Vec::with_capacity(count);
    while ids.len() < count {
        let names = (ids.len()..count).take(BATCH).map(|index| format!("load {index}"));
        let rows = names.map(|name| room::ActiveModel {
            name: Set(name.clone()),
            search_name: Set(name),
            description: Set(String::new()),
            password_hash: Set(None),
            created_at: Set(now),
            closed_at: Set(None),
            ..Default::default()
        });
        let tx = app.db.begin().await?;
        let inserted = room::Entity::insert_many(rows).exec_with_returning(&*tx).await?;
        rooms::open(&tx, &inserted).await?;
        tx.commit_quietly().await?;
        ids.extend(inserted.into_iter().map(|row| row.id));
    }
    ids.sort_unstable();
    Ok(ids)
}

/// One transaction a batch: a running server gets its turn in between.
async fn insert_users(app: &App, mould: &Mould, numbers: &[usize], rooms: &[RoomId]) -> anyhow::Result<Vec<Seat>> {
    let tx = app.db.begin().await?;
    let rows = numbers.iter().map(|number| mould.account(*number));
    let inserted = account::Entity::insert_many(rows).exec_with_returning(&*tx).await?;
    accounts::enter(&tx, &inserted).await?;
    // The database may answer in another order than it was given.
    let accounts: BTreeMap<usize, AccountId> =
        inserted.into_iter().filter_map(|row| Some((number(row.email_key.as_deref()?)?, row.id))).collect();
    let sessions = session::Entity::insert_many(accounts.values().map(|id| mould.session(*id)));
    let sessions: HashMap<AccountId, SessionId> =
        sessions.exec_with_returning(&*tx).await?.into_iter().map(|row| (row.account_id, row.id)).collect();
    seat(&tx, mould, &accounts, rooms).await?;
    tx.commit_quietly().await?;
    Ok(accounts.into_values().filter_map(|id| Some((id, *sessions.get(&id)?))).collect())
}

async fn seat(tx: &Tx, mould: &Mould, accounts: &BTreeMap<usize, AccountId>, rooms: &[RoomId]) -> anyhow::Result<()> {
    let seats = accounts.iter().filter_map(|(number, id)| {
        // The remainder of nothing is none: without rooms nobody sits.
        let room = rooms.get((number - mould.first).checked_rem(rooms.len())?)?;
        Some(membership::ActiveModel {
            account_id: Set(*id),
            room_id: Set(*room),
            goal: Set(None),
            entered_at: Set(mould.now),
        })
    });
    let seats: Vec<_> = seats.collect();
    if !seats.is_empty() {
        membership::Entity::insert_many(seats).exec_without_returning(&**tx).await?;
    }
    Ok(())
}

impl Mould {
    fn account(&self, number: usize) -> account::ActiveModel {
        let (email, first_name) = (email(number), number.to_string());
        account::ActiveModel {
            email: Set(Some(email.clone())),
            email_key: Set(Some(email)),
            password_hash: Set(Some(self.password_hash.clone())),
            last_name: Set(LAST_NAME.to_owned()),
            search_name: Set(search_name(LAST_NAME, &first_name)),
            first_name: Set(first_name),
            gender: Set(0),
            birth_date: Set("2000-01-01".to_owned()),
            image: Set(None),
            staff: Set(false),
            hidden: Set(false),
            epoch: Set(0),
            seen_at: Set(None),
            created_at: Set(self.now),
            deleted_at: Set(None),
            ..Default::default()
        }
    }

    fn session(&self, account: AccountId) -> session::ActiveModel {
        session::ActiveModel {
            account_id: Set(account),
            epoch: Set(0),
            created_at: Set(self.now),
            expires_at: Set(self.ends),
            ..Default::default()
        }
    }
}

/// Lines of a file, or of none.
struct Lines(Option<BufWriter<File>>);

impl Lines {
    fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let open = |path: &Path| {
            // Tokens are secrets: nobody but the operator reads them.
            let mut options = OpenOptions::new();
            let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
            file.map(BufWriter::new).with_context(|| format!("writing {}", path.display()))
        };
        Ok(Self(path.map(open).transpose()?))
    }

    fn write(&mut self, line: impl std::fmt::Display) -> anyhow::Result<()> {
        self.0.as_mut().map_or(Ok(()), |file| writeln!(file, "{line}")).context("writing a line")
    }

    fn close(self) -> anyhow::Result<()> {
        self.0.map_or(Ok(()), |mut file| file.flush()).context("writing the last line")
    }
}
