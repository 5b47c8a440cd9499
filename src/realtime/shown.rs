//! Where a client takes itself to sit, by what it was told last.
//!
//! Promises what follows from words and pictures in their order, as every client does: a word of a move elsewhere makes it
//! forget the room's picture, and no word brings one.

use entity::RoomId;

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    seat: Option<RoomId>,
    pictured: bool,
}

impl Shown {
    /// The picture of a room was the last word; without one, of no room.
    pub fn picture(room: Option<RoomId>) -> Self {
        Self { seat: room, pictured: room.is_some() }
    }

    /// The room, with or without its picture.
    pub fn seat(self) -> Option<RoomId> {
        self.seat
    }

    /// Whether the client sits in `room` and has its picture.
    pub fn has(self, room: RoomId) -> bool {
        self.pictured && self.seat == Some(room)
    }

    /// What becomes of it by the word of a move to `room`.
    pub fn moved(self, room: Option<RoomId>) -> Self {
        if self.seat == room { self } else { Self { seat: room, pictured: false } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_a_move_forgets_the_picture_and_brings_none() {
        let (here, there) = (RoomId(8), RoomId(9));
        let shown = Shown::picture(Some(here));
        assert!(shown.has(here) && !shown.has(there));
        assert_eq!(shown.moved(Some(here)), shown);
        let back = shown.moved(None).moved(Some(here));
        assert!(!back.has(here) && back.seat() == Some(here));
        assert_eq!(Shown::picture(None), Shown::default());
    }
}
