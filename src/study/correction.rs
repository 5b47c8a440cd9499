//! Taking time off a run that is over: pure arithmetic over its lines.
//!
//! Promises that corrections are lines of their own, that no instant is taken off twice, and that what remains has the
//! points which it would have had if nothing else had been written.

use std::collections::HashMap;

use entity::{Millis, segment};

use super::ledger::{Line, Stretch};

/// What a run wrote and what was taken off it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    lines: Vec<Line>,
    /// Since when nothing counts.
    end: Option<Millis>,
}

impl Written {
    /// From all segments of one run.
    pub fn new(mut segments: Vec<segment::Model>) -> Self {
        segments.sort_unstable_by_key(|segment| segment.from_at);
        let end = segments.iter().filter(|segment| segment.source != 0).map(|segment| segment.from_at).min();
        // Where in its minute a line begins is where the phase's lines before it ended.
        let mut offsets: HashMap<i64, i64> = HashMap::new();
        let lines = segments.iter().filter(|segment| segment.source == 0).map(|segment| {
            let offset = offsets.entry(segment.phase).or_default();
            let stretch = Stretch {
                run: segment.run_id,
                account: segment.account_id,
                room: segment.room_id,
                phase: segment.phase,
                is_work: segment.kind == 0,
                from: segment.from_at,
                to: segment.to_at,
                offset: *offset,
            };
            *offset += stretch.length();
            Line { stretch, day: segment.day, points: segment.points }
        });
        Self { lines: lines.collect(), end }
    }

    /// What is to be taken off so that nothing after `until` counts.
    pub fn after(&self, until: Millis) -> Vec<Line> {
        self.lines.iter().filter_map(|line| part(line, until.max(line.stretch.from), self.clipped(line))).collect()
    }

    /// What counts, in work: milliseconds and points.
    pub fn remaining(&self) -> (i64, i64) {
        let left = self.lines.iter().filter_map(|line| part(line, line.stretch.from, self.clipped(line)));
        left.filter(|line| line.stretch.is_work)
            .fold((0, 0), |(ms, points), line| (ms + line.stretch.length(), points + i64::from(line.points)))
    }

    /// This with `lines` taken off as well.
    pub fn without(mut self, lines: &[Line]) -> Self {
        self.end = lines.iter().map(|line| line.stretch.from).chain(self.end).min();
        self
    }

    fn clipped(&self, line: &Line) -> Millis {
        self.end.map_or(line.stretch.to, |end| end.min(line.stretch.to))
    }
}

fn part(line: &Line, from: Millis, to: Millis) -> Option<Line> {
    let stretch = line.stretch.part(from, to);
    (from < to).then(|| Line { stretch, day: line.day, points: stretch.points() })
}

#[cfg(test)]
mod tests {
    use entity::{AccountId, RunId, SegmentId};
    use proptest::prelude::*;

    use super::*;

    fn segment(from: i64, to: i64, points: i32) -> segment::Model {
        segment::Model {
            id: SegmentId(from),
            run_id: RunId(1),
            account_id: AccountId(1),
            room_id: None,
            phase: 0,
            kind: 0,
            source: 0,
            from_at: Millis(from),
            to_at: Millis(to),
            day: 0,
            points,
        }
    }

    fn segments(lengths: &[(i64, i64)]) -> Vec<segment::Model> {
        let (mut cursor, mut active) = (0, 0);
        let one = |(length, pause): &(i64, i64)| {
            let points = (active + length) / 60_000 - active / 60_000;
            let segment = segment(cursor, cursor + length, i32::try_from(points).unwrap());
            active += length;
            cursor += length + pause;
            segment
        };
        lengths.iter().map(one).collect()
    }

    proptest! {
        #[test]
        fn what_is_cut_off_once_stays_off(lengths in prop::collection::vec((1_i64..200_000, 0_i64..90_000), 1..9),
            untils in prop::collection::vec(-1_000_i64..2_000_000, 1..5)) {
            let mut written = Written::new(segments(&lengths));
            let (mut ms, mut points) = written.remaining();
            prop_assert_eq!((ms, points), (lengths.iter().map(|(length, _)| length).sum::<i64>(), ms / 60_000));
            for until in untils {
                let off = written.after(Millis(until));
                written = written.without(&off);
                ms -= off.iter().map(|line| line.stretch.length()).sum::<i64>();
                points -= off.iter().map(|line| i64::from(line.points)).sum::<i64>();
                prop_assert_eq!(written.remaining(), (ms, points));
                prop_assert_eq!(points, ms / 60_000);
                prop_assert!(written.after(Millis(until)).is_empty(), "repeating takes nothing off");
            }
        }
    }
}
