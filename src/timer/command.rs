//! What a command does in which state: a pure function.

use crate::{
    error::{ErrorCode, Result},
    runs::State,
};

/// What somebody wants of their timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Begin.
    Start,
    /// Stand still.
    Pause,
    /// Go on.
    Resume,
    /// End.
    Stop,
}

/// Whether `command` can be carried out in `state`.
pub fn check(state: State, command: Command) -> Result<()> {
    use State::{Break, Idle, Paused, Studying};
    match (command, state) {
        (Command::Start, Idle)
        | (Command::Pause, Studying | Break)
        | (Command::Resume, Paused)
        | (Command::Stop, Studying | Break | Paused) => Ok(()),
        (Command::Start, Studying | Break | Paused) => Err(ErrorCode::TimerRunning.into()),
        (Command::Pause, Paused) => Err(ErrorCode::TimerPaused.into()),
        (Command::Resume, Studying | Break) => Err(ErrorCode::TimerNotPaused.into()),
        (Command::Pause | Command::Resume | Command::Stop, Idle) => Err(ErrorCode::NoTimer.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_in_every_state() {
        for (command, expected) in [
            (Command::Start, ["", "timer_running", "timer_running", "timer_running"]),
            (Command::Pause, ["no_timer", "", "", "timer_paused"]),
            (Command::Resume, ["no_timer", "timer_not_paused", "timer_not_paused", ""]),
            (Command::Stop, ["no_timer", "", "", ""]),
        ] {
            for (state, expected) in
                [State::Idle, State::Studying, State::Break, State::Paused].into_iter().zip(expected)
            {
                let refused = check(state, command).err().map_or("", |error| error.code().as_str());
                assert_eq!(refused, expected, "{command:?} while {state:?}");
            }
        }
    }
}
