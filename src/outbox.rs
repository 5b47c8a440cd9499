//! What was committed and is still to be said.
//!
//! Promises that an event or a letter written in a transaction is said after its commit, at least once to the broker
//! and, by its key, exactly once to everybody else; and that a channel's events are said in the order of their commits,
//! provided that whoever says something holds the lock of the channel's row. A crash delays, it does not lose: of several
//! instances each says what it has committed itself, and what has waited for so long that its own instance must be gone.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use entity::{Millis, OutboxId, outbox};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::{self, Clock},
    db::{self, Db, Tx},
    error::{Error, ErrorCode, Result},
    realtime::{Channel, Event, Hub, broker::Message},
};

/// Rows that are said before they are removed, and channels that are looked for at once.
const BATCH: u64 = 256;

/// How often the relay looks for what others have left unsaid.
const LOOK: Duration = Duration::from_secs(1);

/// How long others may take to say what they have committed.
const PATIENCE: Duration = Duration::from_secs(2);

/// Says `event` in `channel` once `tx` is committed. The row that the channel belongs to must be locked by `tx`.
pub async fn say(tx: &Tx, channel: Channel, at: Millis, event: &Event) -> Result<()> {
    say_each(tx, at, [(channel, event)]).await
}

/// The same with several events, in their order.
pub async fn say_each<'a>(tx: &Tx, at: Millis, events: impl IntoIterator<Item = (Channel, &'a Event)>) -> Result<()> {
    let mut rows = Vec::new();
    for (channel, event) in events {
        let message = Message::new(event)?;
        let body = serde_json::to_string(&message).map_err(anyhow::Error::from)?;
        tx.note(channel.to_string());
        rows.push(row(Some(channel.to_string()), at, body));
    }
    outbox::Entity::insert_many(rows).exec_without_returning(&**tx).await?;
    Ok(())
}

/// Posts a letter, already spelled, once `tx` is committed.
pub async fn post(tx: &Tx, at: Millis, letter: String) -> Result<()> {
    outbox::Entity::insert(row(None, at, letter)).exec_without_returning(&**tx).await?;
    Ok(())
}

fn row(channel: Option<String>, at: Millis, body: String) -> outbox::ActiveModel {
    outbox::ActiveModel {
        channel: Set(channel),
        body: Set(body),
        at: Set(at),
        due_at: Set(at),
        attempts: Set(0),
        ..Default::default()
    }
}

/// Says what is still unsaid in `channels`, if anything may be.
pub async fn catch_up(db: &Db, hub: &Hub, channels: &[Channel]) -> Result<()> {
    if db.is_said() || channels.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = channels.iter().map(Channel::to_string).collect();
    all_of(&names, &db.unsaid().ask(names.clone(), |names| flush_each(&**db, hub, names)).await?)
}

/// What waits.
#[derive(Debug)]
pub struct Backlog {
    /// Events to be said.
    pub events: u64,
    /// Since when the oldest of them waits.
    pub oldest: Option<Millis>,
    /// Letters to be sent.
    pub letters: u64,
}

/// What waits now.
pub async fn backlog(connection: &impl ConnectionTrait) -> Result<Backlog> {
    let events = outbox::Entity::find().filter(outbox::Column::Channel.is_not_null());
    let oldest = events.clone().select_only().column(outbox::Column::At).order_by_asc(outbox::Column::Id);
    let oldest = oldest.into_tuple::<Millis>().one(connection).await?;
    let letters = outbox::Entity::find().filter(outbox::Column::Channel.is_null()).count(connection).await?;
    Ok(Backlog { events: events.count(connection).await?, oldest, letters })
}

/// Says now what is still unsaid in `channels`. The relay finds the rows said already and only removes them.
pub async fn flush(connection: &impl ConnectionTrait, hub: &Hub, channels: &[Channel]) -> Result<()> {
    let names: Vec<_> = channels.iter().map(Channel::to_string).collect();
    all_of(&names, &flush_each(connection, hub, names.clone()).await?)
}

/// Whether everything is said in all channels; why not, the log knows.
fn all_of(channels: &[String], said: &HashMap<String, ()>) -> Result<()> {
    if channels.iter().all(|channel| said.contains_key(channel)) { Ok(()) } else { Err(ErrorCode::Unavailable.into()) }
}

/// Answers in which of `channels` everything is said: one that can't be reached is no fault of the others.
async fn flush_each(
    connection: &impl ConnectionTrait,
    hub: &Hub,
    channels: Vec<String>,
) -> Result<HashMap<String, ()>> {
    let mut said: HashMap<_, _> = channels.iter().cloned().map(|channel| (channel, ())).collect();
    if channels.is_empty() {
        return Ok(said);
    }
    let rows = outbox::Entity::find()
        .filter(db::among(connection, outbox::Column::Channel, channels))
        .order_by_asc(outbox::Column::Id)
        .all(connection)
        .await?;
    for row in rows {
        let channel = row.channel.clone().unwrap_or_default();
        // What follows one that could not be said would overtake it.
        if said.contains_key(&channel)
            && let Err(error) = publish(hub, row).await
        {
            match &error {
                Error::Refused(_) => tracing::debug!(%error, channel, "what is committed is not said yet"),
                Error::Internal(_) => tracing::error!(%error, channel, "what is committed can't be said"),
            }
            said.remove(&channel);
        }
    }
    Ok(said)
}

/// Says everything that is unsaid, in order; returns how many rows are done with. It does not wait for the moment at which
/// nothing is: while other instances go on, there may be none.
pub async fn drain(db: &Db, hub: &Hub) -> Result<usize> {
    let mut done = 0;
    loop {
        let committed = db.committed();
        let rows = outbox::Entity::find()
            .filter(outbox::Column::Channel.is_not_null())
            .order_by_asc(outbox::Column::Id)
            .limit(BATCH)
            .all(&**db)
            .await?;
        let found = rows.len();
        say_all(db, hub, rows).await?;
        done += found;
        if (found as u64) < BATCH {
            committed.into_iter().for_each(|committed| db.note_said(committed));
            return Ok(done);
        }
    }
}

async fn say_all(db: &Db, hub: &Hub, rows: Vec<outbox::Model>) -> Result<()> {
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    for row in rows {
        publish(hub, row).await?;
    }
    if !ids.is_empty() {
        remove(db, ids).await?;
    }
    Ok(())
}

/// Says everything that is unsaid in `channels`, whoever has committed it: none of a channel's events may be left out.
async fn drain_some(db: &Db, hub: &Hub, channels: &BTreeSet<String>) -> Result<()> {
    let channels: Vec<_> = channels.iter().collect();
    for channels in channels.chunks(BATCH as usize) {
        let rows = outbox::Entity::find()
            .filter(db::among(&**db, outbox::Column::Channel, channels.iter().map(ToString::to_string)))
            .order_by_asc(outbox::Column::Id)
            .all(&**db)
            .await?;
        say_all(db, hub, rows).await?;
    }
    Ok(())
}

/// Channels in which something has waited since before `since`.
async fn left_unsaid(db: &Db, since: Millis) -> Result<Vec<String>> {
    let found = outbox::Entity::find()
        .select_only()
        .column(outbox::Column::Channel)
        .distinct()
        .filter(outbox::Column::Channel.is_not_null())
        .filter(outbox::Column::At.lt(since))
        .limit(BATCH)
        .into_tuple()
        .all(&**db)
        .await?;
    Ok(found)
}

/// Forgets rows that are said.
pub async fn remove(db: &Db, ids: Vec<OutboxId>) -> Result<()> {
    let alone = db.alone().await?;
    outbox::Entity::delete_many().filter(db::among(&*alone, outbox::Column::Id, ids)).exec(&*alone).await?;
    Ok(())
}

async fn publish(hub: &Hub, row: outbox::Model) -> Result<()> {
    let channel = row.channel.as_deref().unwrap_or_default().parse::<Channel>();
    let message = serde_json::from_str::<Message>(&row.body);
    match (channel, message) {
        (Ok(channel), Ok(message)) => hub.publish(channel, row.id, row.at, message).await,
        // A row that nobody can read must not stop those behind it.
        (channel, message) => {
            let reason = channel.err().map(str::to_owned).or(message.err().map(|error| error.to_string()));
            tracing::error!(id = %row.id, reason, "an outbox row can't be read and is dropped");
            Ok(())
        }
    }
}

/// Relays until `stop`, then says what is left.
pub async fn relay(db: Db, hub: Hub, clock: Clock, stop: CancellationToken) {
    let mut commits = db.commits();
    let (mut channels, mut look_at, mut pause) = (BTreeSet::new(), Instant::now(), Duration::ZERO);
    // What an earlier life left has no notes.
    let mut began = false;
    loop {
        let stopping = tokio::select! {
            () = stop.cancelled() => true,
            _ = commits.changed(), if pause.is_zero() => false,
            () = tokio::time::sleep_until(look_at), if pause.is_zero() => false,
            () = tokio::time::sleep(pause), if !pause.is_zero() => false,
        };
        let committed = db.committed();
        channels.append(&mut db.take_notes());
        let turn = async {
            if stopping || !began {
                drain(&db, &hub).await?;
                channels.clear();
                began = true;
                return Ok::<(), Error>(());
            }
            if look_at <= Instant::now() {
                let left = left_unsaid(&db, clock::before(clock.now(), PATIENCE)).await?;
                // So many that there are more.
                look_at = Instant::now() + if left.len() as u64 == BATCH { Duration::ZERO } else { LOOK };
                channels.extend(left);
            }
            drain_some(&db, &hub, &channels).await?;
            channels.clear();
            committed.into_iter().for_each(|committed| db.note_said(committed));
            Ok(())
        };
        match turn.await {
            Ok(()) => pause = Duration::ZERO,
            Err(error) => {
                pause = (pause * 2).clamp(Duration::from_millis(100), Duration::from_secs(5));
                tracing::warn!(%error, ?pause, "the relay waits");
            }
        }
        if stopping {
            return;
        }
    }
}
