//! Friends: asking, answering, parting, and who is one.
//!
//! Promises that two people are in one relation, whoever of them acts first: every change locks both accounts, in the
//! order of their ids. What changes is told to both, on all their devices. Who may do what is `relation`'s.

pub mod relation;
pub mod routes;
mod store;

use std::collections::{BTreeSet, HashMap};

use entity::{AccountId, Millis, account};
use sea_orm::ConnectionTrait;

pub use self::store::Direction;
use self::{
    relation::{Action, Change, Relation},
    store::{get_relation, list_around, list_friends, list_requests},
};
use crate::{
    app::App,
    db::Tx,
    error::{ErrorCode, Result},
    http::page::Span,
    outbox,
    people::{self, person},
    realtime::{
        Channel, Event,
        protocol::events::{FriendView, RequestView},
    },
    runs::{self, Standings, State},
};

/// Carries out `action` of `me` towards `other`.
pub async fn act(app: &App, me: AccountId, other: AccountId, action: Action) -> Result<Change> {
    if me == other {
        return Err(match action {
            Action::Toggle | Action::Request | Action::Cancel => ErrorCode::RequestToOneself.into(),
            Action::Accept | Action::Reject => ErrorCode::RequestNotFound.into(),
            Action::Remove => ErrorCode::NotFriends.into(),
        });
    }
    let tx = app.db.begin().await?;
    let accounts = people::lock(&tx, [me, other]).await?;
    let my_account = accounts.get(&me).ok_or(ErrorCode::SessionEnded)?;
    let other_account = accounts.get(&other).ok_or(ErrorCode::AccountNotFound)?;
    let change = relation::next(get_relation(&*tx, me, other).await?, action)?;
    let now = app.clock.now();
    let standings = runs::standings(&*tx, now, [me, other]).await?;
    carry_out(&tx, change, my_account, other_account, &standings, now).await?;
    tx.commit().await?;
    Ok(change)
}

async fn carry_out(
    tx: &Tx,
    change: Change,
    me: &account::Model,
    other: &account::Model,
    standings: &Standings,
    now: Millis,
) -> Result<()> {
    let (my_id, other_id) = (me.id, other.id);
    match change {
        Change::Nothing { .. } => Ok(()),
        Change::Ask => {
            store::insert_request(tx, my_id, other_id, now).await?;
            let event =
                Event::FriendRequested { user: my_id.0, person: person(me.into(), standings.state(my_id)), at: now.0 };
            outbox::say(tx, Channel::User(other_id), now, &event).await
        }
        Change::TakeBack => {
            store::delete_request(tx, my_id, other_id).await?;
            say_to_both(tx, my_id, other_id, now, |user| Event::FriendCancelled { user: user.0 }).await
        }
        Change::TurnDown => {
            store::delete_request(tx, other_id, my_id).await?;
            say_to_both(tx, my_id, other_id, now, |user| Event::FriendRejected { user: user.0 }).await
        }
        Change::Befriend => {
            store::delete_request(tx, other_id, my_id).await?;
            store::insert_friendship(tx, my_id, other_id, now).await?;
            say_to_both(tx, my_id, other_id, now, |user| {
                let friend = if user == my_id { me } else { other };
                Event::FriendAccepted { user: user.0, friend: friend_view(friend, standings) }
            })
            .await
        }
        Change::Part => {
            store::delete_friendship(tx, my_id, other_id).await?;
            say_to_both(tx, my_id, other_id, now, |user| Event::FriendRemoved { user: user.0 }).await
        }
    }
}

/// Tells each of the two what has become of the other.
async fn say_to_both(
    tx: &Tx,
    a: AccountId,
    b: AccountId,
    at: Millis,
    event_about: impl Fn(AccountId) -> Event,
) -> Result<()> {
    let (to_a, to_b) = (event_about(b), event_about(a));
    outbox::say_each(tx, at, [(Channel::User(a), &to_a), (Channel::User(b), &to_b)]).await
}

/// A friend as nobody is online; the hub fills in who is.
fn friend_view(account: &account::Model, standings: &Standings) -> FriendView {
    FriendView {
        person: person(account.into(), standings.state(account.id)),
        online: false,
        since: account.seen_at.map(|at| at.0),
    }
}

/// The ids of the account's friends.
pub async fn ids(connection: &impl ConnectionTrait, account: AccountId) -> Result<Vec<AccountId>> {
    Ok(list_friends(connection, account).await?.into_iter().map(|(id, _)| id).collect())
}

/// Each of `accounts` with each friend of theirs.
pub async fn pairs(
    connection: &impl ConnectionTrait,
    accounts: impl IntoIterator<Item = AccountId>,
) -> Result<Vec<(AccountId, AccountId)>> {
    Ok(store::list_pairs(connection, accounts.into_iter().collect()).await?)
}

/// Whether two accounts are friends.
pub async fn are_friends(connection: &impl ConnectionTrait, a: AccountId, b: AccountId) -> Result<bool> {
    Ok(get_relation(connection, a, b).await? == Relation::Friends)
}

/// Friends, and everyone with a request in either direction.
pub async fn circle(connection: &impl ConnectionTrait, account: AccountId) -> Result<Vec<AccountId>> {
    let mut circle = ids(connection, account).await?;
    for direction in [Direction::Received, Direction::Sent] {
        let (requests, _) = list_requests(connection, account, direction, None).await?;
        circle.extend(requests.into_iter().map(|(id, _)| id));
    }
    circle.sort_unstable();
    circle.dedup();
    Ok(circle)
}

/// Ends every friendship and request of an account that goes. `tx` holds the locks of its whole circle.
pub async fn remove_all_in(tx: &Tx, account: AccountId, at: Millis) -> Result<()> {
    for other in circle(&**tx, account).await? {
        let event = match get_relation(&**tx, account, other).await? {
            Relation::Strangers => continue,
            Relation::Friends => Event::FriendRemoved { user: account.0 },
            Relation::Asking => Event::FriendCancelled { user: account.0 },
            Relation::Asked => Event::FriendRejected { user: account.0 },
        };
        store::delete_friendship(tx, account, other).await?;
        store::delete_request(tx, account, other).await?;
        store::delete_request(tx, other, account).await?;
        outbox::say(tx, Channel::User(other), at, &event).await?;
    }
    Ok(())
}

/// Those around an account.
pub type Around = (Vec<FriendView>, Vec<RequestView>);

/// Of each of `accounts` that has any: friends, as the socket shows them before presence is known, and requests that wait
/// for an answer; and where all of them and the accounts themselves stand.
pub async fn around(
    connection: &impl ConnectionTrait,
    accounts: &[AccountId],
    now: Millis,
) -> Result<(HashMap<AccountId, Around>, Standings)> {
    let found = list_around(connection, accounts).await?;
    let others: BTreeSet<_> =
        found.values().flat_map(|of| of.friends.iter().chain(&of.asking)).map(|(id, _)| *id).collect();
    let standings = runs::standings(connection, now, others.iter().chain(accounts).copied()).await?;
    let people = people::list(connection, others).await?;
    let request = |(id, at): &(AccountId, Millis)| {
        let person = person(people.get(id)?.into(), standings.state(*id));
        Some(RequestView { user: id.0, person, at: at.0 })
    };
    let around = |of: store::Around| {
        let friends = of.friends.iter().filter_map(|(id, _)| Some(friend_view(people.get(id)?, &standings)));
        (friends.collect(), of.asking.iter().filter_map(request).collect())
    };
    let around = found.into_iter().map(|(account, of)| (account, around(of))).collect();
    Ok((around, standings))
}

/// Somebody in a list of friends or requests.
#[derive(Debug)]
pub struct Acquaintance {
    /// Who.
    pub account: account::Model,
    /// What the person does.
    pub state: State,
    /// Since when the person is online.
    pub online: Option<Millis>,
    /// When it began: the friendship, or the waiting.
    pub since: Millis,
}

/// The account's friends.
pub async fn list(app: &App, account: AccountId) -> Result<Vec<Acquaintance>> {
    acquaintances(app, list_friends(&*app.db, account).await?).await
}

/// One page of requests, and how many there are.
pub async fn requests(
    app: &App,
    account: AccountId,
    direction: Direction,
    page: Span,
) -> Result<(Vec<Acquaintance>, u64)> {
    let (requests, total) = list_requests(&*app.db, account, direction, Some(page)).await?;
    Ok((acquaintances(app, requests).await?, total))
}

async fn acquaintances(app: &App, found: Vec<(AccountId, Millis)>) -> Result<Vec<Acquaintance>> {
    let ids: Vec<_> = found.iter().map(|(id, _)| *id).collect();
    let standings = runs::standings(&*app.db, app.clock.now(), ids.iter().copied()).await?;
    let mut accounts = people::list(&*app.db, ids.iter().copied()).await?;
    let online = app.hub.seen(&ids).await;
    let all = found.into_iter().zip(online).filter_map(|((id, since), online)| {
        Some(Acquaintance { account: accounts.remove(&id)?, state: standings.state(id), online, since })
    });
    Ok(all.collect())
}
