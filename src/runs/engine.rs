//! Where a run stands: pure arithmetic over its plan, its start, its pauses and an instant.
//!
//! Promises that phases partition active time without gap or overlap, that the answer for an instant never depends on
//! when or how often one asks, and that asking costs the same after a year as after a minute. No clock, no counter, no
//! state; no loop over past cycles.

use entity::Millis;

use super::Plan;

const MINUTE: i64 = 60_000;

/// What one does in a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Studying.
    Work,
    /// Having a break.
    Break,
}

/// A stretch of wall time during which a run does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Since when.
    pub from: Millis,
    /// Until when; `None` while it lasts.
    pub to: Option<Millis>,
}

/// Everything that decides where a run stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// The plan that it was started with.
    pub plan: Plan,
    /// When it was started.
    pub started_at: Millis,
    /// In order, without overlap, none before the start.
    pub pauses: Vec<Pause>,
    /// When it was stopped, if it was.
    pub ended_at: Option<Millis>,
}

/// One phase in active time, which stands still during pauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase {
    /// From 0, counting every phase.
    pub index: i64,
    /// What one does.
    pub kind: Kind,
    /// Active milliseconds from the run's start to the phase's.
    pub from: i64,
    /// Active milliseconds from the run's start to the phase's end; `None` without an end.
    pub to: Option<i64>,
}

/// Where a run stands at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It goes on.
    Running {
        /// The phase it is in.
        phase: Phase,
        /// Active milliseconds so far.
        elapsed: i64,
    },
    /// It stands still.
    Paused {
        /// The phase it is in.
        phase: Phase,
        /// Active milliseconds so far.
        elapsed: i64,
        /// Since when.
        since: Millis,
    },
    /// It is over.
    Ended {
        /// Since when.
        at: Millis,
        /// Whether its plan was fulfilled, not stopped before.
        completed: bool,
    },
}

/// A stretch of one phase in wall time, uninterrupted by a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Which phase.
    pub phase: i64,
    /// What one does in it.
    pub kind: Kind,
    /// Since when.
    pub from: Millis,
    /// Until when.
    pub to: Millis,
    /// Active milliseconds of the phase before this piece.
    pub offset: i64,
}

impl Timeline {
    fn total(&self) -> Option<i64> {
        Some(i64::from(self.plan.total_time()) * MINUTE).filter(|total| *total > 0)
    }

    /// The phase that the active instant `active` lies in. A phase owns its beginning, not its end.
    fn phase_at(&self, active: i64) -> Phase {
        let work = i64::from(self.plan.work_time()) * MINUTE;
        let rest = i64::from(self.plan.break_time()) * MINUTE;
        let clip = |to: i64| Some(self.total().map_or(to, |total| to.min(total)));
        if work == 0 {
            return Phase { index: 0, kind: Kind::Work, from: 0, to: self.total() };
        }
        let cycle = work + rest;
        let (round, within) = (active.div_euclid(cycle), active.rem_euclid(cycle));
        let begins = round * cycle;
        // Without breaks every cycle is one phase, otherwise two.
        let phases = if rest == 0 { 1 } else { 2 };
        if within < work {
            Phase { index: round * phases, kind: Kind::Work, from: begins, to: clip(begins + work) }
        } else {
            Phase { index: round * phases + 1, kind: Kind::Break, from: begins + work, to: clip(begins + cycle) }
        }
    }

    /// Active milliseconds at the instant `now`.
    pub fn elapsed(&self, now: Millis) -> i64 {
        let paused: i64 = self
            .pauses
            .iter()
            .filter(|pause| pause.from < now)
            .map(|pause| pause.to.map_or(now, |to| to.min(now)).0 - pause.from.0)
            .sum();
        (now.0 - self.started_at.0 - paused).max(0)
    }

    /// The wall instant at which `active` milliseconds are reached: before a pause that begins just then. `None` if a
    /// pause that lasts comes before.
    pub fn wall(&self, active: i64) -> Option<Millis> {
        let mut at = self.started_at.0 + active;
        for pause in &self.pauses {
            if pause.from.0 >= at {
                break;
            }
            at += pause.to?.0 - pause.from.0;
        }
        Some(Millis(at))
    }

    /// When the plan is or will be fulfilled, as far as that is known.
    fn completes_at(&self) -> Option<Millis> {
        self.wall(self.total()?)
    }

    /// When the run is or will be over, as far as that is known.
    pub fn ends_at(&self) -> Option<Millis> {
        match (self.ended_at, self.completes_at()) {
            (Some(stopped), Some(completed)) => Some(stopped.min(completed)),
            (stopped, completed) => stopped.or(completed),
        }
    }

    /// Where the run stands at `now`.
    pub fn at(&self, now: Millis) -> Standing {
        if let Some(at) = self.ends_at().filter(|at| *at <= now) {
            return Standing::Ended { at, completed: self.completes_at() == Some(at) };
        }
        let elapsed = self.elapsed(now);
        let phase = self.phase_at(elapsed);
        let lasting = |pause: &&Pause| pause.from <= now && pause.to.is_none_or(|to| now < to);
        match self.pauses.iter().find(lasting) {
            Some(pause) => Standing::Paused { phase, elapsed, since: pause.from },
            None => Standing::Running { phase, elapsed },
        }
    }

    /// The next `most` phase beginnings after `now`, while nobody pauses: the phase, and when it begins. The end of the
    /// plan is not among them.
    pub fn next_phases(&self, now: Millis, most: usize) -> Vec<(Phase, Millis)> {
        let Standing::Running { mut phase, .. } = self.at(now) else { return Vec::new() };
        let mut next = Vec::with_capacity(most);
        while next.len() < most {
            let Some(to) = phase.to.filter(|to| self.total() != Some(*to)) else { break };
            let Some(at) = self.wall(to) else { break };
            phase = self.phase_at(to);
            next.push((phase, at));
        }
        next
    }

    /// When the phase that lasts at `now` ends, while nobody pauses.
    pub fn phase_ends_at(&self, now: Millis) -> Option<Millis> {
        match self.at(now) {
            Standing::Running { phase, .. } => self.wall(phase.to?),
            Standing::Paused { .. } | Standing::Ended { .. } => None,
        }
    }

    /// Everything between two instants, cut at phase ends and at pauses, in order.
    pub fn pieces(&self, from: Millis, to: Millis) -> Vec<Piece> {
        let to = self.ends_at().map_or(to, |end| end.min(to));
        let mut pieces = Vec::new();
        let mut cursor = from.max(self.started_at);
        while cursor < to {
            if let Some(pause) = self.pause_at(cursor) {
                // A pause that lasts is the end.
                cursor = pause.to.unwrap_or(to);
                continue;
            }
            let active = self.elapsed(cursor);
            let phase = self.phase_at(active);
            let until_phase_end = phase.to.map_or(to, |end| Millis(cursor.0 + end - active));
            let until_pause = self.pauses.iter().map(|pause| pause.from).find(|from| *from > cursor);
            let end = until_pause.map_or(to, |pause| pause.min(to)).min(until_phase_end);
            let offset = active - phase.from;
            pieces.push(Piece { phase: phase.index, kind: phase.kind, from: cursor, to: end, offset });
            cursor = end;
        }
        pieces
    }

    fn pause_at(&self, at: Millis) -> Option<&Pause> {
        self.pauses.iter().find(|pause| pause.from <= at && pause.to.is_none_or(|to| at < to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline(total: i64, work: i64, rest: i64) -> Timeline {
        Timeline {
            plan: Plan::new(total, work, rest).unwrap(),
            started_at: Millis(1_000_000),
            pauses: Vec::new(),
            ended_at: None,
        }
    }

    fn minutes(minutes: i64) -> Millis {
        Millis(1_000_000 + minutes * MINUTE)
    }

    #[test]
    fn phases_follow_each_other() {
        let run = timeline(0, 25, 5);
        for (at, index, kind, ends) in [
            (0, 0, Kind::Work, 25),
            (24, 0, Kind::Work, 25),
            (25, 1, Kind::Break, 30),
            (30, 2, Kind::Work, 55),
            (60 * 24 * 365, 35_040, Kind::Work, 60 * 24 * 365 + 25),
        ] {
            let Standing::Running { phase, .. } = run.at(minutes(at)) else { panic!() };
            assert_eq!((phase.index, phase.kind), (index, kind), "minute {at}");
            assert_eq!(run.phase_ends_at(minutes(at)), Some(minutes(ends)));
        }
    }

    #[test]
    fn a_plan_with_an_end_ends() {
        let run = timeline(40, 25, 5);
        assert_eq!(run.ends_at(), Some(minutes(40)));
        assert_eq!(run.at(minutes(40)), Standing::Ended { at: minutes(40), completed: true });
        let next: Vec<_> = run.next_phases(minutes(0), 9).iter().map(|(phase, at)| (phase.index, *at)).collect();
        assert_eq!(next, [(1, minutes(25)), (2, minutes(30))]);
    }

    #[test]
    fn without_a_cycle_there_is_one_long_phase() {
        let open = timeline(0, 0, 0);
        assert_eq!(open.phase_ends_at(minutes(1000)), None);
        let closed = timeline(90, 0, 0);
        assert_eq!(closed.phase_ends_at(minutes(10)), Some(minutes(90)));
        let no_breaks = timeline(0, 25, 0);
        let Standing::Running { phase, .. } = no_breaks.at(minutes(51)) else { panic!() };
        assert_eq!((phase.index, phase.kind), (2, Kind::Work));
    }

    #[test]
    fn pauses_move_everything_behind_them() {
        let mut run = timeline(60, 25, 5);
        run.pauses = vec![Pause { from: minutes(10), to: Some(minutes(17)) }, Pause { from: minutes(40), to: None }];
        assert_eq!(run.elapsed(minutes(12)), 10 * MINUTE);
        assert_eq!(run.phase_ends_at(minutes(20)), Some(minutes(32)));
        let Standing::Paused { phase, elapsed, since } = run.at(minutes(50)) else { panic!() };
        assert_eq!((phase.index, elapsed, since), (2, 33 * MINUTE, minutes(40)));
        assert_eq!(run.ends_at(), None, "nobody knows when it goes on");
        let pieces: Vec<_> = run
            .pieces(minutes(0), minutes(100))
            .iter()
            .map(|piece| (piece.phase, piece.from, piece.to, piece.offset / MINUTE))
            .collect();
        assert_eq!(
            pieces,
            [
                (0, minutes(0), minutes(10), 0),
                (0, minutes(17), minutes(32), 10),
                (1, minutes(32), minutes(37), 0),
                (2, minutes(37), minutes(40), 0),
            ]
        );
    }
}
