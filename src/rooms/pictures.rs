//! Rooms as those see them who sit there, before presence is known: drawn anew, or brought up to date.
//!
//! Everything in a picture changes only by what is said in the room, but for where runs stand and when those who are away
//! were last seen.

use std::collections::{BTreeSet, HashMap};

use entity::{AccountId, Millis, RoomId, room};
use sea_orm::ConnectionTrait;

use super::store::{self, Member};
use crate::{
    app::{App, Change, Seated},
    error::Result,
    people::{self, Face, person},
    realtime::protocol::events::{MemberView, RoomView},
    runs::{self, Standings, State},
};

/// A member as nobody is online; the hub fills in who is.
pub(super) fn member_view(face: Face, goal: Option<String>, standings: &Standings) -> MemberView {
    let (id, since) = (face.id, face.seen_at.map(|at| at.0));
    let person = person(face, standings.state(id));
    MemberView { person, online: false, since, goal, run: standings.view(id).map(Box::new) }
}

/// The whole pictures of those of `rooms` that are open, before presence is known.
pub async fn draw(
    connection: &impl ConnectionTrait,
    rooms: Vec<RoomId>,
    now: Millis,
) -> Result<HashMap<RoomId, RoomView>> {
    let open = store::list_open(connection, &rooms).await?;
    let members = store::list_faces(connection, &rooms).await?;
    let standings = runs::standings(connection, now, members.iter().map(|member| member.face.id)).await?;
    let mut by_room: HashMap<_, Vec<_>> = HashMap::new();
    for member in members {
        by_room.entry(member.room_id).or_default().push(member_view(member.face, member.goal, &standings));
    }
    let picture = |room: room::Model| {
        let members = by_room.remove(&room.id).unwrap_or_default();
        let has_password = room.password_hash.is_some();
        let view = RoomView { id: room.id.0, name: room.name, description: room.description, has_password, members };
        (room.id, view)
    };
    Ok(open.into_iter().map(picture).collect())
}

/// Brings a picture up to what has become of some members since it was drawn: of `changed`, the rows are read again, and
/// those among them who have `left` may be back, behind all others.
pub async fn reseat(
    app: &App,
    mut view: RoomView,
    left: &BTreeSet<AccountId>,
    changed: BTreeSet<AccountId>,
) -> Result<RoomView> {
    let find = |ids| seated_members(&*app.db, ids, app.clock.now());
    let mut found = app.seated.ask(changed.iter().copied().collect(), find).await?;
    found.retain(|_, seated| seated.room.0 == view.id);
    view.members.retain_mut(|member| {
        let id = AccountId(member.person.id);
        if !changed.contains(&id) {
            return true;
        }
        let stayed = if left.contains(&id) { None } else { found.remove(&id) };
        let stays = stayed.is_some();
        stayed.into_iter().for_each(|seated| *member = seated.member);
        stays
    });
    let mut come: Vec<_> = found.into_values().collect();
    come.sort_unstable_by_key(|seated| (seated.entered_at, seated.member.person.id));
    view.members.extend(come.into_iter().map(|seated| seated.member));
    Ok(view)
}

/// Each of `accounts` that sits anywhere, as the room sees it.
async fn seated_members(
    connection: &impl ConnectionTrait,
    accounts: Vec<AccountId>,
    now: Millis,
) -> Result<HashMap<AccountId, Seated>> {
    let standings = runs::standings(connection, now, accounts.iter().copied()).await?;
    let seated = |row: Member| {
        let (id, room, entered_at) = (row.face.id, row.room_id, row.entered_at);
        (id, Seated { room, entered_at, member: member_view(row.face, row.goal, &standings) })
    };
    Ok(store::list_faces_of(connection, accounts).await?.into_iter().map(seated).collect())
}

/// Brings a picture that was drawn before to `now`: where its runs stand, and when those who are `away` were last seen.
/// Everything else in it changes only by what is said in the room.
pub async fn redraw(app: &App, mut view: RoomView, away: Vec<AccountId>) -> Result<RoomView> {
    let running = view.members.iter().filter(|member| member.run.is_some());
    let changing: BTreeSet<_> = running.map(|member| AccountId(member.person.id)).chain(away.iter().copied()).collect();
    if changing.is_empty() {
        return Ok(view);
    }
    let found = app.changes.ask(changing.into_iter().collect(), |ids| changes(&*app.db, ids)).await?;
    let now = app.clock.now();
    for member in &mut view.members {
        let id = AccountId(member.person.id);
        let change = found.get(&id);
        if member.run.is_some() {
            let run = change.and_then(|change| change.run.as_ref());
            let state = run.map_or(State::Idle, |run| run.state(now));
            (member.person.current_state, member.person.state) = (state.code(), state.as_str());
            member.run = run.filter(|_| state != State::Idle).map(|run| Box::new(run.view(now)));
        }
        if away.contains(&id) {
            member.since = change.and_then(|change| change.seen).map(|at| at.0).or(member.since);
        }
    }
    Ok(view)
}

async fn changes(connection: &impl ConnectionTrait, ids: Vec<AccountId>) -> Result<HashMap<AccountId, Change>> {
    let mut changes: HashMap<_, Change> = HashMap::new();
    for run in runs::list_open(connection, ids.iter().copied()).await? {
        let id = run.row.account_id;
        changes.entry(id).or_default().run = Some(run);
    }
    for (id, seen) in people::list_seen(connection, ids).await? {
        changes.entry(id).or_default().seen = Some(seen);
    }
    Ok(changes)
}
