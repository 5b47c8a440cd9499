//! Who may take a seat: a pure function.

use entity::RoomId;

use crate::error::{Error, ErrorCode, Result};

/// What is known when somebody wants to enter `room`.
#[derive(Clone, Copy, Debug)]
pub struct Door {
    /// The room.
    pub room: RoomId,
    /// Where the person sits now.
    pub sits_in: Option<RoomId>,
    /// How many sit in the room.
    pub seated: u64,
    /// How many may.
    pub capacity: u64,
}

/// What entering comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A seat is taken.
    Enters,
    /// The person sits there already.
    SitsThere,
}

/// Whether the person may enter.
pub fn enter(door: Door) -> Result<Entry> {
    match door.sits_in {
        Some(room) if room == door.room => Ok(Entry::SitsThere),
        Some(room) => Err(Error::from(ErrorCode::AlreadyInRoom).with("room", room.0)),
        None if door.seated >= door.capacity => Err(ErrorCode::RoomFull.into()),
        None => Ok(Entry::Enters),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_is_taken_where_there_is_one() {
        let door =
            |sits_in: Option<i64>, seated| Door { room: RoomId(7), sits_in: sits_in.map(RoomId), seated, capacity: 2 };
        assert_eq!(enter(door(None, 1)).unwrap(), Entry::Enters);
        assert_eq!(enter(door(None, 2)).unwrap_err().code(), ErrorCode::RoomFull);
        assert_eq!(enter(door(Some(7), 2)).unwrap(), Entry::SitsThere);
        let Err(Error::Refused(refusal)) = enter(door(Some(8), 0)) else { panic!() };
        assert_eq!((refusal.code, refusal.status), (ErrorCode::AlreadyInRoom, 409));
        assert_eq!(refusal.params["room"], 8);
    }
}
