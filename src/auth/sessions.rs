//! Sessions: a row each, and a cache in front that an end reaches at once.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use dashmap::DashMap;
use entity::{AccountId, Millis, SessionId, account, session};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait, JoinType, QueryFilter, QuerySelect, Select,
    sea_query::{Expr, IntoCondition},
};

use crate::{
    db::{self, Db, Tx},
    error::{ErrorCode, Result},
    realtime::broker::Which,
    together::Together,
};

/// How long a cached answer counts: the longest that an instance cut off from the others can be wrong.
const TTL: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug)]
enum Known {
    Alive { account: AccountId, staff: bool, ends: Millis },
    // Stays in the cache: a look-up under way must not bring the session back to life.
    Ended,
}

/// What is known of sessions, without asking the database each time, and since when. Each connection has a session, and
/// whatever keeps its entries in an order as well takes several times the room. Nobody fills it from outside: who comes here
/// has a token that we signed, and what is too old is swept away.
#[derive(Debug, Default)]
pub(super) struct Cache {
    known: DashMap<SessionId, (Known, Instant)>,
    asked: Together<SessionId, Known>,
}

impl Cache {
    /// Whether the session's account is staff; refuses if the session has ended.
    pub(super) async fn staff(&self, db: &Db, account: AccountId, session: SessionId, now: Millis) -> Result<bool> {
        let known = self.known.get(&session).filter(|known| counts(known)).map(|known| known.0);
        let known = match known {
            Some(known) => known,
            None => {
                let found = self.asked.ask(vec![session], |ids| list(&**db, ids)).await?;
                let found = (found.get(&session).copied().unwrap_or(Known::Ended), Instant::now());
                let mut known = self.known.entry(session).or_insert(found);
                if !counts(&known) {
                    *known = found;
                }
                known.0
            }
        };
        match known {
            Known::Alive { account: owner, staff, ends } if owner == account && now < ends => Ok(staff),
            _ => Err(ErrorCode::SessionEnded.into()),
        }
    }

    pub(super) fn sweep(&self) {
        self.known.retain(|_, known| counts(known));
    }

    pub(super) fn end(&self, account: AccountId, which: Which) {
        let ended = (Known::Ended, Instant::now());
        match which {
            Which::One(session) => drop(self.known.insert(session, ended)),
            Which::All | Which::AllBut(_) => self.known.iter_mut().for_each(|mut known| {
                let is_theirs = matches!(known.0, Known::Alive { account: owner, .. } if owner == account);
                if is_theirs && which.includes(*known.key()) {
                    *known = ended;
                }
            }),
        }
    }
}

/// Whether what was known then still counts.
fn counts((_, since): &(Known, Instant)) -> bool {
    since.elapsed() < TTL
}

/// Sessions that nobody has ended, each with its account. Whether their time is over, who asks looks.
fn living() -> Select<session::Entity> {
    let owner = session::Entity::belongs_to(account::Entity)
        .from(session::Column::AccountId)
        .to(account::Column::Id)
        .on_condition(|session, account| {
            let epoch = Expr::col((session, session::Column::Epoch));
            epoch.equals((account, account::Column::Epoch)).into_condition()
        });
    session::Entity::find()
        .select_only()
        .join(JoinType::InnerJoin, owner.into())
        .filter(account::Column::DeletedAt.is_null())
}

/// What is known of those of `ids` that nobody has ended.
async fn list(connection: &impl ConnectionTrait, ids: Vec<SessionId>) -> Result<HashMap<SessionId, Known>> {
    let alive = living()
        .columns([session::Column::Id, session::Column::AccountId])
        .column(account::Column::Staff)
        .column(session::Column::ExpiresAt)
        .filter(db::among(connection, session::Column::Id, ids))
        .into_tuple::<(SessionId, AccountId, bool, Millis)>()
        .all(connection)
        .await?;
    Ok(alive.into_iter().map(|(id, account, staff, ends)| (id, Known::Alive { account, staff, ends })).collect())
}

/// Which of `ids` have not ended.
pub async fn alive(
    connection: &impl ConnectionTrait,
    ids: impl IntoIterator<Item = SessionId>,
    now: Millis,
) -> Result<HashSet<SessionId>> {
    let alive = living()
        .column(session::Column::Id)
        .filter(db::among(connection, session::Column::Id, ids))
        .filter(session::Column::ExpiresAt.gt(now))
        .into_tuple::<SessionId>()
        .all(connection)
        .await?;
    Ok(alive.into_iter().collect())
}

/// Begins a session of `account` in its present epoch. The account's row must be locked by `tx`.
pub async fn begin(tx: &Tx, account: &account::Model, now: Millis, ends: Millis) -> Result<session::Model> {
    let row = session::ActiveModel {
        account_id: Set(account.id),
        epoch: Set(account.epoch),
        created_at: Set(now),
        expires_at: Set(ends),
        ..Default::default()
    };
    Ok(session::Entity::insert(row).exec_with_returning(&**tx).await?)
}

/// The session's row.
pub async fn get(connection: &impl ConnectionTrait, id: SessionId) -> Result<session::Model> {
    Ok(session::Entity::find_by_id(id).one(connection).await?.ok_or(ErrorCode::SessionEnded)?)
}

/// Whether `account` is signed in anywhere.
pub async fn exist(connection: &impl ConnectionTrait, account: AccountId) -> Result<bool> {
    Ok(session::Entity::find().filter(session::Column::AccountId.eq(account)).one(connection).await?.is_some())
}

/// Removes sessions' rows. Ending all raises the account's epoch, so that a sign-in under way can't outlive it.
pub async fn end(tx: &Tx, account: AccountId, which: Which) -> Result<()> {
    let mut doomed = session::Entity::delete_many().filter(session::Column::AccountId.eq(account));
    match which {
        Which::One(id) => doomed = doomed.filter(session::Column::Id.eq(id)),
        Which::AllBut(id) => doomed = doomed.filter(session::Column::Id.ne(id)),
        Which::All => {}
    }
    doomed.exec(&**tx).await?;
    if which == Which::All {
        account::Entity::update_many()
            .col_expr(account::Column::Epoch, Expr::col(account::Column::Epoch).add(1))
            .filter(account::Column::Id.eq(account))
            .exec(&**tx)
            .await?;
    }
    Ok(())
}

/// Removes sessions that have reached their greatest age.
pub async fn remove_expired(db: &Db, now: Millis) -> Result<u64> {
    let old = session::Entity::delete_many().filter(session::Column::ExpiresAt.lte(now));
    Ok(old.exec(&*db.alone().await?).await?.rows_affected)
}
