//! What two people are to each other, and what one of them may do about it: a pure function.

use crate::error::{ErrorCode, Result};

/// How things stand, seen from the one who acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// Nothing.
    Strangers,
    /// I have asked, and there is no answer yet.
    Asking,
    /// The other has asked me.
    Asked,
    /// Friends.
    Friends,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The original API's one button: ask, or take the question back.
    Toggle,
    /// Ask; asking twice is asking once.
    Request,
    /// Take the question back; there may be none.
    Cancel,
    /// Say yes.
    Accept,
    /// Say no.
    Reject,
    /// End the friendship.
    Remove,
}

/// What changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A request begins to wait.
    Ask,
    /// My request goes.
    TakeBack,
    /// The other's request becomes a friendship.
    Befriend,
    /// The other's request goes.
    TurnDown,
    /// The friendship goes.
    Part,
    /// It is so already.
    Nothing {
        /// Whether a request of mine waits.
        asking: bool,
    },
}

/// What `action` changes, or why it may not.
pub fn next(relation: Relation, action: Action) -> Result<Change> {
    use Relation::{Asked, Asking, Friends, Strangers};
    let change = match (action, relation) {
        (Action::Toggle | Action::Request | Action::Cancel, Friends) => return Err(ErrorCode::AlreadyFriends.into()),
        (Action::Toggle | Action::Request, Strangers) => Change::Ask,
        // Both want it: asking back is saying yes.
        (Action::Toggle | Action::Request, Asked) => Change::Befriend,
        (Action::Toggle | Action::Cancel, Asking) => Change::TakeBack,
        (Action::Request, Asking) => Change::Nothing { asking: true },
        (Action::Cancel, Strangers | Asked) => Change::Nothing { asking: false },
        (Action::Accept, Asked) => Change::Befriend,
        (Action::Reject, Asked) => Change::TurnDown,
        (Action::Accept | Action::Reject, Strangers | Asking | Friends) => {
            return Err(ErrorCode::RequestNotFound.into());
        }
        (Action::Remove, Friends) => Change::Part,
        (Action::Remove, Strangers | Asking | Asked) => return Err(ErrorCode::NotFriends.into()),
    };
    Ok(change)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_in_every_relation() {
        use Relation::{Asked, Asking, Friends, Strangers};
        let asking = |asking| Ok(Change::Nothing { asking });
        for (action, expected) in [
            (Action::Toggle, [Ok(Change::Ask), Ok(Change::TakeBack), Ok(Change::Befriend), Err("already_friends")]),
            (Action::Request, [Ok(Change::Ask), asking(true), Ok(Change::Befriend), Err("already_friends")]),
            (Action::Cancel, [asking(false), Ok(Change::TakeBack), asking(false), Err("already_friends")]),
            (
                Action::Accept,
                [Err("request_not_found"), Err("request_not_found"), Ok(Change::Befriend), Err("request_not_found")],
            ),
            (
                Action::Reject,
                [Err("request_not_found"), Err("request_not_found"), Ok(Change::TurnDown), Err("request_not_found")],
            ),
            (Action::Remove, [Err("not_friends"), Err("not_friends"), Err("not_friends"), Ok(Change::Part)]),
        ] {
            for (relation, expected) in [Strangers, Asking, Asked, Friends].into_iter().zip(expected) {
                let found = next(relation, action).map_err(|error| error.code().as_str());
                assert_eq!(found, expected, "{action:?} as {relation:?}");
            }
        }
    }
}
