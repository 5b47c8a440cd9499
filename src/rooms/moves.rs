//! Who enters and who leaves: all who do so at the same time, in one transaction.
//!
//! Promises that each is answered as if they had come one after another.

use std::collections::HashMap;

use entity::{AccountId, Millis, RoomId, account, room};

use super::{
    pictures,
    policy::{self, Door, Entry},
    store,
};
use crate::{
    app::{App, Move, Wish},
    db::Tx,
    error::{ErrorCode, Result},
    outbox, people,
    realtime::{Channel, Event, protocol::events::ExitReason},
    runs,
};

/// Makes a move, with those that others want to make. Answers which room it was about.
pub(super) async fn make(app: &App, one: Move) -> Result<RoomId> {
    let of = app.clone();
    let make = move |moves| {
        let app = of.clone();
        async move { make_all(&app, moves).await }
    };
    app.moves.make(&app.tasks, one.who, one, make).await
}

async fn make_all(app: &App, moves: Vec<Move>) -> Result<Vec<Result<RoomId>>> {
    let tx = app.db.begin().await?;
    let accounts = people::lock(&tx, moves.iter().map(|one| one.who)).await?;
    let mut floor = Floor::lock(&tx, &moves, app.config.rooms.capacity).await?;
    let make = |one: &Move| match accounts.get(&one.who) {
        Some(_) => floor.make(one),
        None => Err(ErrorCode::AccountNotFound.into()),
    };
    let answers = moves.iter().map(make).collect();
    if !floor.steps.is_empty() {
        write(&tx, &accounts, floor.steps, app.clock.now()).await?;
        tx.commit().await?;
    }
    Ok(answers)
}

/// Everything that decides about moves, locked.
pub(super) struct Floor {
    seats: HashMap<AccountId, RoomId>,
    open: HashMap<RoomId, room::Model>,
    /// How many sit in each room that is open.
    sizes: HashMap<RoomId, i64>,
    capacity: u64,
    pub(super) steps: Vec<Step>,
}

/// What has changed.
pub(super) enum Step {
    Entered { who: AccountId, room: RoomId },
    Left { who: AccountId, room: RoomId, reason: ExitReason, closed: Option<room::Model> },
}

impl Floor {
    /// Locks the rooms that `moves` are about, in ascending order, so that no two can wait for each other. `tx` holds the
    /// locks of the accounts.
    pub(super) async fn lock(tx: &Tx, moves: &[Move], capacity: u64) -> Result<Self> {
        let seats = store::list_seats_of(&**tx, moves.iter().map(|one| one.who).collect()).await?;
        let about = |one: &Move| match one.wish {
            Wish::Enter { room, .. } | Wish::Leave { room: Some(room), .. } => Some(room),
            Wish::Leave { room: None, .. } => seats.get(&one.who).copied(),
        };
        let open = store::lock_rooms(tx, moves.iter().filter_map(about)).await?;
        let sizes = store::count_seats(&**tx, open.keys().copied()).await?;
        Ok(Self { seats, open, sizes, capacity, steps: Vec::new() })
    }

    /// Makes one move, if it may be made. Answers which room it was about.
    pub(super) fn make(&mut self, one: &Move) -> Result<RoomId> {
        let sits_in = self.seats.get(&one.who).copied();
        match &one.wish {
            Wish::Enter { room, proven } => self.enter(one.who, sits_in, *room, proven.as_ref()),
            Wish::Leave { room, reason } => self.leave(one.who, sits_in, *room, *reason),
        }
    }

    fn enter(
        &mut self,
        who: AccountId,
        sits_in: Option<RoomId>,
        room: RoomId,
        proven: Option<&String>,
    ) -> Result<RoomId> {
        let open = self.open.get(&room).ok_or(ErrorCode::RoomNotFound)?;
        if open.password_hash.is_some() && open.password_hash.as_ref() != proven && sits_in != Some(room) {
            return Err(ErrorCode::WrongPassword.into());
        }
        let size = self.sizes.entry(room).or_default();
        let door = Door { room, sits_in, seated: u64::try_from(*size).unwrap_or(0), capacity: self.capacity };
        if policy::enter(door)? == Entry::Enters {
            *size += 1;
            self.seats.insert(who, room);
            self.steps.push(Step::Entered { who, room });
        }
        Ok(room)
    }

    /// The last one out closes the room.
    fn leave(
        &mut self,
        who: AccountId,
        sits_in: Option<RoomId>,
        room: Option<RoomId>,
        reason: ExitReason,
    ) -> Result<RoomId> {
        // A room that isn't there is another answer than one in which somebody else sits.
        if room.is_some_and(|room| sits_in != Some(room) && !self.open.contains_key(&room)) {
            return Err(ErrorCode::RoomNotFound.into());
        }
        let left = sits_in.filter(|sits_in| room.is_none_or(|room| room == *sits_in)).ok_or(ErrorCode::NotAMember)?;
        self.seats.remove(&who);
        let size = self.sizes.entry(left).or_default();
        *size -= 1;
        let closed = if *size > 0 { None } else { self.open.remove(&left) };
        self.steps.push(Step::Left { who, room: left, reason, closed });
        Ok(left)
    }
}

/// Writes `steps` down and says them, in their order. `accounts` are those who enter, and perhaps others.
pub(super) async fn write(
    tx: &Tx,
    accounts: &HashMap<AccountId, account::Model>,
    steps: Vec<Step>,
    at: Millis,
) -> Result<()> {
    let (mut come, mut gone) = (Vec::new(), Vec::new());
    for step in &steps {
        match step {
            Step::Entered { who, room } => come.push((*who, *room)),
            Step::Left { who, .. } => gone.push(*who),
        }
    }
    store::delete_memberships(tx, gone).await?;
    store::insert_memberships(tx, &come, at).await?;
    let standings = runs::standings(&**tx, at, come.into_iter().map(|(who, _)| who)).await?;
    let mut events = Vec::new();
    for step in steps {
        match step {
            Step::Entered { who, room } => {
                let account = accounts.get(&who).ok_or(ErrorCode::AccountNotFound)?;
                let member = pictures::member_view(account.into(), None, &standings);
                events.push((Channel::Room(room), Event::RoomEntered { member }));
                events.push((Channel::User(who), Event::RoomMoved { room: Some(room.0) }));
            }
            Step::Left { who, room, reason, closed } => {
                events.push((Channel::Room(room), Event::RoomExited { user: who.0, at: at.0, reason }));
                events.push((Channel::User(who), Event::RoomMoved { room: None }));
                if let Some(closed) = closed {
                    store::update_closed(tx, &closed, at).await?;
                    events.push((Channel::Room(room), Event::RoomClosed { room: room.0 }));
                }
            }
        }
    }
    outbox::say_each(tx, at, events.iter().map(|(channel, event)| (*channel, event))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(id: i64, password_hash: Option<&str>) -> room::Model {
        room::Model {
            id: RoomId(id),
            name: "방".to_owned(),
            search_name: "방".to_owned(),
            description: String::new(),
            password_hash: password_hash.map(str::to_owned),
            created_at: Millis(0),
            closed_at: None,
        }
    }

    /// Room 1 has one member, 10, and two seats; room 2 a password and nobody.
    fn floor() -> Floor {
        Floor {
            seats: HashMap::from([(AccountId(10), RoomId(1))]),
            open: HashMap::from([(RoomId(1), open(1, None)), (RoomId(2), open(2, Some("hash")))]),
            sizes: HashMap::from([(RoomId(1), 1)]),
            capacity: 2,
            steps: Vec::new(),
        }
    }

    fn enters(who: i64, room: i64, proven: Option<&str>) -> Move {
        Move { who: AccountId(who), wish: Wish::Enter { room: RoomId(room), proven: proven.map(str::to_owned) } }
    }

    fn leaves(who: i64, room: Option<i64>) -> Move {
        Move { who: AccountId(who), wish: Wish::Leave { room: room.map(RoomId), reason: ExitReason::Left } }
    }

    fn answers(floor: &mut Floor, moves: &[Move]) -> Vec<Result<i64, ErrorCode>> {
        moves.iter().map(|one| floor.make(one).map(|room| room.0).map_err(|error| error.code())).collect()
    }

    #[test]
    fn each_finds_the_room_as_those_before_have_left_it() {
        use ErrorCode::{AlreadyInRoom, RoomFull};
        let moves = [enters(11, 1, None), enters(12, 1, None), leaves(10, Some(1)), enters(13, 1, None)];
        let mut floor = floor();
        assert_eq!(answers(&mut floor, &moves), [Ok(1), Err(RoomFull), Ok(1), Ok(1)]);
        assert_eq!(floor.steps.len(), 3);
        assert_eq!(
            answers(&mut floor, &[enters(11, 1, None), enters(11, 2, Some("hash"))]),
            [Ok(1), Err(AlreadyInRoom)]
        );
        assert_eq!(floor.steps.len(), 3, "who sits there stays");
    }

    #[test]
    fn the_last_one_out_closes_the_room_for_those_behind() {
        use ErrorCode::RoomNotFound;
        let mut floor = floor();
        let moves = [leaves(10, None), enters(11, 1, None), leaves(12, Some(1))];
        assert_eq!(answers(&mut floor, &moves), [Ok(1), Err(RoomNotFound), Err(RoomNotFound)]);
        assert!(matches!(&floor.steps[..], [Step::Left { closed: Some(closed), .. }] if closed.id == RoomId(1)));
    }

    #[test]
    fn nobody_enters_without_the_password_or_leaves_where_they_do_not_sit() {
        use ErrorCode::{NotAMember, RoomNotFound, WrongPassword};
        let moves = [
            enters(11, 2, None),
            enters(11, 2, Some("another")),
            enters(11, 3, None),
            leaves(11, None),
            leaves(11, Some(2)),
            leaves(10, Some(2)),
            leaves(11, Some(3)),
            enters(11, 2, Some("hash")),
        ];
        let refused = [WrongPassword, WrongPassword, RoomNotFound, NotAMember, NotAMember, NotAMember, RoomNotFound];
        let mut floor = floor();
        let expected: Vec<_> = refused.into_iter().map(Err).chain([Ok(2)]).collect();
        assert_eq!(answers(&mut floor, &moves), expected);
        assert_eq!(floor.steps.len(), 1);
    }
}
