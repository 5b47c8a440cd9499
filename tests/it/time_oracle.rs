//! Time without a server: the arithmetic of runs against somebody who counts every second, and the ledger against itself.
//!
//! The naive side steps second by second and counts on its fingers: what is active, which phase it is, when a phase is
//! over. It is slow and too simple to be wrong. The ledger's side checks that nothing depends on when one settles.

use std::collections::BTreeMap;

use entity::{AccountId, Millis, RunId};
use jiff::{Timestamp, tz::TimeZone};
use proptest::{prelude::*, sample::Index};
use solgik::{
    runs::{
        Plan,
        engine::{Kind, Pause, Piece, Standing, Timeline},
    },
    study::{
        Stretch,
        ledger::{Line, cut},
        period, totals,
    },
};

const SECOND: i64 = 1000;
const MINUTE: i64 = 60;
const DAY: i64 = 86_400;

/// Seconds that are stepped through.
const HORIZON: i64 = 8 * 3600;

/// Zones whose days are not all alike: half-hour steps, midnights that are skipped or repeated, a day that never was.
const ZONES: [&str; 4] = ["Asia/Seoul", "America/Sao_Paulo", "Australia/Lord_Howe", "Pacific/Apia"];

/// What somebody does with a timer, in seconds from its start.
#[derive(Clone, Debug)]
struct Script {
    plan: Plan,
    started_at: i64,
    pauses: Vec<(i64, Option<i64>)>,
    stop: Option<i64>,
}

impl Script {
    /// What is known of it at `second`: later pauses haven't begun, and one that lasts may last for ever.
    fn known(&self, second: i64) -> Self {
        let begun = self.pauses.iter().filter(|(from, _)| *from <= second);
        Self {
            pauses: begun.map(|(from, to)| (*from, to.filter(|to| *to <= second))).collect(),
            stop: self.stop.filter(|stop| *stop <= second),
            ..self.clone()
        }
    }

    fn wall(&self, second: i64) -> Millis {
        Millis(self.started_at + second * SECOND)
    }

    fn timeline(&self) -> Timeline {
        let pause = |(from, to): &(i64, Option<i64>)| Pause { from: self.wall(*from), to: to.map(|to| self.wall(to)) };
        Timeline {
            plan: self.plan,
            started_at: Millis(self.started_at),
            pauses: self.pauses.iter().map(pause).collect(),
            ended_at: self.stop.map(|stop| self.wall(stop)),
        }
    }
}

/// What the one who counts sees in a second.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Seen {
    Running { index: i64, kind: Kind, active: i64, within: i64 },
    Paused { index: i64, kind: Kind, active: i64, since: i64 },
    Ended { at: i64, completed: bool },
}

/// Every second until the horizon, counted.
fn count(script: &Script) -> Vec<Seen> {
    let minutes = |minutes: i32| i64::from(minutes) * MINUTE;
    let (total, work, rest) =
        (minutes(script.plan.total_time()), minutes(script.plan.work_time()), minutes(script.plan.break_time()));
    let (mut index, mut kind, mut active, mut within, mut ended) = (0, Kind::Work, 0, 0, None);
    let mut seconds = Vec::new();
    for second in 0..=HORIZON {
        if ended.is_none() && total > 0 && active == total {
            ended = Some(Seen::Ended { at: second, completed: true });
        }
        if ended.is_none() && script.stop == Some(second) {
            ended = Some(Seen::Ended { at: second, completed: false });
        }
        let pause = script.pauses.iter().find(|(from, to)| *from <= second && to.is_none_or(|to| second < to));
        seconds.push(match (ended, pause) {
            (Some(ended), _) => ended,
            (None, Some((since, _))) => Seen::Paused { index, kind, active, since: *since },
            (None, None) => Seen::Running { index, kind, active, within },
        });
        if ended.is_some() || pause.is_some() {
            continue;
        }
        active += 1;
        within += 1;
        if work > 0 && within == if kind == Kind::Work { work } else { rest } {
            (index, within) = (index + 1, 0);
            kind = if kind == Kind::Work && rest > 0 { Kind::Break } else { Kind::Work };
        }
    }
    seconds
}

/// Phases' beginnings and the end after `second`, as far as they were counted.
fn ahead(seen: &[Seen], second: i64) -> (Vec<(i64, i64)>, Option<i64>) {
    let (mut phases, mut last) = (Vec::new(), None);
    for (at, seen) in (0..).zip(seen) {
        match seen {
            Seen::Ended { at, .. } => return (phases, Some(*at)),
            Seen::Running { index, .. } | Seen::Paused { index, .. } => {
                if at > second && last.is_some_and(|last| last != *index) {
                    phases.push((*index, at));
                }
                last = Some(*index);
            }
        }
    }
    (phases, None)
}

/// Counted seconds as stretches.
fn counted_pieces(script: &Script, seen: &[Seen]) -> Vec<Piece> {
    let seconds = (0..HORIZON).zip(seen).filter_map(|(second, seen)| match seen {
        Seen::Running { index, kind, within, .. } => Some(Piece {
            phase: *index,
            kind: *kind,
            from: script.wall(second),
            to: script.wall(second + 1),
            offset: within * SECOND,
        }),
        Seen::Paused { .. } | Seen::Ended { .. } => None,
    });
    merged(seconds)
}

/// Stretches that continue each other are one.
fn merged(pieces: impl IntoIterator<Item = Piece>) -> Vec<Piece> {
    let mut merged: Vec<Piece> = Vec::new();
    for piece in pieces {
        match merged.last_mut().filter(|last| last.phase == piece.phase && last.to == piece.from) {
            Some(last) => {
                assert_eq!(last.offset + last.to.0 - last.from.0, piece.offset, "offsets add up");
                last.to = piece.to;
            }
            None => merged.push(piece),
        }
    }
    merged
}

/// Seconds between two commands: none at all, a few, or exactly so many minutes that they fall onto a boundary.
fn gaps() -> impl Strategy<Value = i64> {
    prop_oneof![2 => Just(0), 3 => 1_i64..900, 3 => (1_i64..60).prop_map(|minutes| minutes * MINUTE)]
}

fn plans() -> impl Strategy<Value = Plan> {
    let total = prop_oneof![2 => Just(0_i64), 3 => 1_i64..120, 1 => 120_i64..1441];
    let cycle = prop_oneof![
        1 => Just((0_i64, 0_i64)),
        1 => (1_i64..60).prop_map(|work| (work, 0)),
        4 => (1_i64..12, 1_i64..8),
        2 => (12_i64..60, 1_i64..30),
        1 => (60_i64..481, 1_i64..481),
    ];
    (total, cycle).prop_map(|(total, (work, rest))| Plan::new(total, work, rest).unwrap())
}

fn scripts() -> impl Strategy<Value = Script> {
    let pauses = prop::collection::vec((gaps(), gaps()), 0..7);
    // Nothing more, a pause that lasts, a stop, or a stop while paused.
    let end = (0..4, gaps(), gaps());
    (plans(), 0_i64..2_000_000_000_000, pauses, end).prop_map(|(plan, started_at, gaps, (end, gap, later))| {
        let (mut second, mut pauses) = (0, Vec::new());
        for (gap, length) in gaps {
            pauses.push((second + gap, Some(second + gap + length)));
            second += gap + length;
        }
        second += gap;
        if end == 1 || end == 3 {
            pauses.push((second, None));
        }
        let stop = (end >= 2).then_some(if end == 3 { second + later } else { second });
        Script { plan, started_at, pauses, stop }
    })
}

fn few(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Compares what the arithmetic says at `second` with what was counted.
fn check_standing(script: &Script, seen: &[Seen], second: i64, beyond: i64) {
    let timeline = script.timeline();
    let now = Millis(script.wall(second).0 + beyond);
    let standing = timeline.at(now);
    assert_eq!(standing, timeline.at(now), "asking changes nothing");
    assert_eq!(standing, script.known(second).timeline().at(now), "what comes later changes nothing");
    match (standing, seen[second as usize]) {
        (Standing::Running { phase, elapsed }, Seen::Running { index, kind, active, within }) => {
            assert_eq!((phase.index, phase.kind, elapsed), (index, kind, active * SECOND + beyond));
            assert_eq!(elapsed - phase.from, within * SECOND + beyond);
            assert!(phase.to.is_none_or(|to| elapsed < to), "a phase doesn't own its end");
            assert_eq!(timeline.elapsed(now), elapsed);
        }
        (Standing::Paused { phase, elapsed, since }, Seen::Paused { index, kind, active, since: from }) => {
            assert_eq!((phase.index, phase.kind, elapsed), (index, kind, active * SECOND));
            assert_eq!((since, timeline.elapsed(now)), (script.wall(from), elapsed));
        }
        (Standing::Ended { at, completed: is }, Seen::Ended { at: second, completed }) => {
            assert_eq!((at, is), (script.wall(second), completed));
        }
        (said, counted) => panic!("second {second}: said {said:?}, counted {counted:?}"),
    }
}

/// Compares what the arithmetic foretells at `second` with what is counted if nobody does anything more.
fn check_future(script: &Script, second: i64) {
    let known = script.known(second);
    let timeline = known.timeline();
    let now = script.wall(second);
    let seen = count(&known);
    let (phases, end) = ahead(&seen, second);
    let told = timeline.next_phases(now, 5);
    assert!(told.windows(2).all(|pair| pair[0].1 < pair[1].1 && pair[0].0.index + 1 == pair[1].0.index));
    let within = |at: &Millis| *at <= script.wall(HORIZON);
    match seen[second as usize] {
        Seen::Running { .. } => {
            let phases: Vec<_> = phases.iter().map(|(index, at)| (*index, script.wall(*at))).collect();
            let told: Vec<_> = told.iter().map(|(phase, at)| (phase.index, *at)).filter(|(_, at)| within(at)).collect();
            assert_eq!(told, phases[..phases.len().min(5)]);
            let over = phases.first().map(|(_, at)| *at).or(end.map(|end| script.wall(end)));
            assert_eq!(timeline.phase_ends_at(now).filter(within), over);
            assert_eq!(timeline.ends_at().filter(within), end.map(|end| script.wall(end)));
        }
        Seen::Paused { .. } => {
            assert_eq!((told.len(), timeline.phase_ends_at(now), timeline.ends_at()), (0, None, None));
        }
        Seen::Ended { at, .. } => {
            assert_eq!((told.len(), timeline.phase_ends_at(now)), (0, None));
            assert_eq!(timeline.ends_at(), Some(script.wall(at)));
        }
    }
}

proptest! {
    #![proptest_config(few(160))]

    #[test]
    fn arithmetic_agrees_with_whoever_counts_every_second(
        script in scripts(), seconds in prop::collection::vec((0..HORIZON, 0..SECOND), 12), ask in prop::collection::vec(any::<Index>(), 3),
    ) {
        let seen = count(&script);
        // Random moments, and every edge with its neighbours.
        let edges = script.pauses.iter().flat_map(|(from, to)| [Some(*from), *to]).flatten().chain(script.stop);
        let (phases, end) = ahead(&seen, 0);
        let edges = edges.chain(phases.iter().take(20).map(|(_, at)| *at)).chain(end);
        let edges: Vec<_> = edges.flat_map(|at| [at - 1, at, at + 1]).filter(|at| (0..=HORIZON).contains(at)).collect();
        for second in &edges {
            check_standing(&script, &seen, *second, 0);
        }
        for (second, beyond) in &seconds {
            check_standing(&script, &seen, *second, *beyond);
        }
        let moments: Vec<_> = edges.into_iter().chain(seconds.iter().map(|(second, _)| *second)).collect();
        for ask in ask {
            check_future(&script, *ask.get(&moments));
        }
    }

    #[test]
    fn phases_partition_active_time(script in scripts(), cuts in prop::collection::vec(0..HORIZON * SECOND, 3)) {
        let timeline = script.timeline();
        let (from, to) = (script.wall(0), script.wall(HORIZON));
        let pieces = timeline.pieces(from, to);
        prop_assert!(pieces.iter().all(|piece| piece.from < piece.to && from <= piece.from && piece.to <= to));
        prop_assert!(pieces.windows(2).all(|pair| pair[0].to <= pair[1].from));
        let seen = count(&script);
        prop_assert_eq!(merged(pieces.clone()), counted_pieces(&script, &seen));
        // Phases follow each other, each from its beginning, none longer than planned.
        let mut active: BTreeMap<i64, i64> = BTreeMap::new();
        for piece in &pieces {
            let before = active.entry(piece.phase).or_default();
            prop_assert_eq!(piece.offset, *before);
            *before += piece.to.0 - piece.from.0;
        }
        prop_assert!(active.keys().copied().eq(0..active.len() as i64));
        let until = timeline.ends_at().map_or(to, |end| end.min(to));
        prop_assert_eq!(active.values().sum::<i64>(), timeline.elapsed(until));
        // Asking for parts gives the whole, cut anywhere.
        let mut cuts: Vec<_> = cuts.iter().map(|cut| Millis(from.0 + cut)).collect();
        cuts.extend([from, to]);
        cuts.sort_unstable();
        let parts = cuts.windows(2).flat_map(|pair| timeline.pieces(pair[0], pair[1]));
        prop_assert_eq!(merged(parts), merged(pieces));
    }
}

#[test]
fn a_year_costs_what_a_minute_costs_and_is_as_exact() {
    let script = Script { plan: Plan::new(0, 25, 5).unwrap(), started_at: 7, pauses: vec![(90, Some(95))], stop: None };
    let now = script.wall(365 * DAY);
    let Standing::Running { phase, elapsed } = script.timeline().at(now) else { panic!() };
    let mut left = elapsed;
    let mut index = 0;
    while left >= if index % 2 == 0 { 25 } else { 5 } * MINUTE * SECOND {
        left -= if index % 2 == 0 { 25 } else { 5 } * MINUTE * SECOND;
        index += 1;
    }
    assert_eq!((phase.index, elapsed - phase.from), (index, left));
}

fn at(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_millisecond()
}

/// Anywhere in five decades, and near the days on which these zones changed their clocks.
fn instants() -> impl Strategy<Value = i64> {
    let near = |text: &str| at(text) - 3 * DAY * SECOND..at(text) + DAY * SECOND;
    prop_oneof![
        at("1987-01-01T00:00:00Z")..at("2037-01-01T00:00:00Z"),
        // Seoul had summer time in 1987 and 1988.
        near("1988-05-07T17:00:00Z"),
        near("1988-10-08T17:00:00Z"),
        near("2018-11-04T03:00:00Z"),
        near("2018-02-18T02:00:00Z"),
        near("2026-04-04T15:00:00Z"),
        near("2026-10-03T15:30:00Z"),
        near("2011-12-30T10:00:00Z"),
    ]
}

/// A run with everything that decides where it stands, over some days.
#[derive(Clone, Debug)]
struct Past {
    plan: Plan,
    pauses: Vec<(i64, i64)>,
    length: i64,
    cuts: Vec<Index>,
}

fn pasts() -> impl Strategy<Value = Past> {
    let pauses = prop::collection::vec((1_i64..10 * 3_600_000, 0_i64..6 * 3_600_000), 0..8);
    let long = prop_oneof![1_i64..3_600_000, 3_600_000_i64..4 * 86_400_000];
    (plans(), pauses, long, prop::collection::vec(any::<Index>(), 0..12))
        .prop_map(|(plan, pauses, length, cuts)| Past { plan, pauses, length, cuts })
}

impl Past {
    fn timeline(&self, started_at: i64) -> Timeline {
        let (mut cursor, mut pauses) = (started_at, Vec::new());
        for (gap, length) in &self.pauses {
            let from = cursor + gap;
            cursor = from + length;
            pauses.push(Pause { from: Millis(from), to: Some(Millis(cursor)) });
        }
        let ended_at = Some(Millis(started_at + self.length));
        pauses.retain(|pause| pause.to < ended_at);
        Timeline { plan: self.plan, started_at: Millis(started_at), pauses, ended_at }
    }
}

/// The ledger of a run that is settled at each of `moments`.
fn settled(run: i64, timeline: &Timeline, moments: &[Millis], zone: &TimeZone) -> Vec<Line> {
    let (mut from, mut lines) = (timeline.started_at, Vec::new());
    for moment in moments {
        for piece in timeline.pieces(from, *moment) {
            let stretch = Stretch {
                run: RunId(run),
                account: AccountId(1),
                room: None,
                phase: piece.phase,
                is_work: piece.kind == Kind::Work,
                from: piece.from,
                to: piece.to,
                offset: piece.offset,
            };
            lines.extend(cut(&stretch, zone).unwrap());
        }
        from = *moment;
    }
    lines
}

/// Lines that continue each other are one.
fn joined(lines: &[Line]) -> Vec<Line> {
    let mut joined: Vec<Line> = Vec::new();
    for line in lines {
        let (phase, from) = (line.stretch.phase, line.stretch.from);
        let continues =
            |last: &&mut Line| last.stretch.phase == phase && last.stretch.to == from && last.day == line.day;
        match joined.last_mut().filter(continues) {
            Some(last) => {
                last.stretch.to = line.stretch.to;
                last.points += line.points;
            }
            None => joined.push(*line),
        }
    }
    joined
}

proptest! {
    #![proptest_config(few(160))]

    #[test]
    fn the_ledger_does_not_depend_on_when_it_is_settled(past in pasts(), from in instants(), zone in 0..ZONES.len()) {
        let zone = TimeZone::get(ZONES[zone]).unwrap();
        let timeline = past.timeline(from);
        let end = timeline.ends_at().unwrap();
        let mut moments: Vec<_> = past.cuts.iter().map(|cut| Millis(from + cut.index(past.length as usize) as i64)).collect();
        moments.push(end);
        moments.sort_unstable();
        let lines = joined(&settled(1, &timeline, &moments, &zone));
        prop_assert_eq!(&lines, &joined(&settled(1, &timeline, &[end], &zone)));
        // Lines partition the run's stretches, and each lies within its day.
        let stretches = lines.iter().map(|line| Piece {
            phase: line.stretch.phase,
            kind: if line.stretch.is_work { Kind::Work } else { Kind::Break },
            from: line.stretch.from,
            to: line.stretch.to,
            offset: line.stretch.offset,
        });
        prop_assert_eq!(merged(stretches), merged(timeline.pieces(timeline.started_at, end)));
        let mut phases: BTreeMap<i64, (bool, i64, i64)> = BTreeMap::new();
        for line in &lines {
            let (_, active, points) = phases.entry(line.stretch.phase).or_insert((line.stretch.is_work, 0, 0));
            *active += line.stretch.length();
            *points += i64::from(line.points);
            let day = period::date_of(line.day).unwrap();
            prop_assert!(period::begins_at(day, &zone).unwrap() <= line.stretch.from);
            prop_assert!(line.stretch.to <= period::begins_at(day.tomorrow().unwrap(), &zone).unwrap());
        }
        // A point is a whole minute of a work phase, wherever midnight, a pause or a settling cut it.
        for (phase, (is_work, active, points)) in phases {
            prop_assert_eq!(points, if is_work { active / (MINUTE * SECOND) } else { 0 }, "phase {}", phase);
        }
    }

    #[test]
    fn no_day_holds_more_than_itself(pasts in prop::collection::vec((pasts(), 0_i64..7_200_000), 1..6),
        from in instants(), zone in 0..ZONES.len()) {
        let zone = TimeZone::get(ZONES[zone]).unwrap();
        let (mut cursor, mut lines) = (from, Vec::new());
        for (run, (past, gap)) in (1..).zip(&pasts) {
            let timeline = past.timeline(cursor);
            let end = timeline.ends_at().unwrap();
            lines.extend(settled(run, &timeline, &[end], &zone));
            cursor = end.0 + gap;
        }
        let (days, mut changes) = (totals::days_of(&lines), Vec::new());
        for ((account, day), sum) in &days {
            let date = period::date_of(*day).unwrap();
            let (begins, ends) = (period::begins_at(date, &zone).unwrap(), period::begins_at(date.tomorrow().unwrap(), &zone).unwrap());
            prop_assert!(sum.work_ms <= ends.0 - begins.0, "{date}");
            // A minute begun yesterday may end today, no more than that.
            prop_assert!(sum.points * MINUTE * SECOND < sum.work_ms + MINUTE * SECOND, "{date}");
            prop_assert!((0..=960).contains(&totals::capped(sum.points)));
            changes.push(((*account, *day), totals::capped(sum.points)));
        }
        let all: i64 = changes.iter().map(|(_, points)| points).sum();
        for ((_, (period, _)), points) in totals::scores_of(changes).unwrap() {
            prop_assert!(points <= [960, 7 * 960, 31 * 960, all][period as usize]);
        }
    }
}
