//! What the ledger must hold, folded from what somebody did with a timer and nothing else.
//!
//! Walks from cut to cut with sums of its own; it shares no line with the service, and knows one zone, Seoul's nine hours.

use std::collections::BTreeMap;

use entity::{day_total, pause, run, score, segment};
use jiff::Timestamp;
use sea_orm::{ConnectionTrait, EntityTrait, QueryOrder};
use serde_json::Value;

const MINUTE: i64 = 60_000;
const DAY: i64 = 86_400_000;
const SEOUL: i64 = 9 * 3_600_000;

/// What somebody wants of their timer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Command {
    Start,
    Pause,
    Resume,
    Stop,
}

impl Command {
    pub const ALL: [Self; 4] = [Self::Start, Self::Pause, Self::Resume, Self::Stop];

    pub fn path(self) -> &'static str {
        match self {
            Self::Start => "/accounts/timer/start/",
            Self::Pause => "/accounts/timer/pause/",
            Self::Resume => "/accounts/timer/restart/",
            Self::Stop => "/accounts/timer/stop/",
        }
    }

    pub fn op(self) -> &'static str {
        match self {
            Self::Start => "timer.start",
            Self::Pause => "timer.pause",
            Self::Resume => "timer.resume",
            Self::Stop => "timer.stop",
        }
    }
}

/// What a person is at, as the accepted commands say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Doing {
    Nothing,
    Going,
    Pausing,
}

/// Milliseconds, as the socket says them or as REST writes them.
pub fn instant(told: &Value) -> Option<i64> {
    told.as_i64().or_else(|| Some(told.as_str()?.parse::<Timestamp>().unwrap().as_millisecond()))
}

/// A run as its commands left it, in milliseconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    pub id: i64,
    /// Minutes in all, of work, and of a break.
    pub plan: (i64, i64, i64),
    pub started_at: i64,
    pub pauses: Vec<(i64, i64)>,
    pub paused_at: Option<i64>,
    pub stopped_at: Option<i64>,
}

/// Where a run stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    pub phase: i64,
    pub is_work: bool,
    pub elapsed: i64,
}

/// A line of the ledger.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub run: i64,
    pub phase: i64,
    pub is_work: bool,
    pub from: i64,
    pub to: i64,
    pub day: i64,
    pub points: i64,
}

impl Told {
    /// The run in the database.
    pub fn of(row: &run::Model, pauses: &[pause::Model]) -> Self {
        let mine = pauses.iter().filter(|pause| pause.run_id == row.id);
        Self {
            id: row.id.0,
            plan: (row.total_time.into(), row.work_time.into(), row.break_time.into()),
            started_at: row.started_at.0,
            pauses: mine.map(|pause| (pause.from_at.0, pause.to_at.0)).collect(),
            paused_at: row.paused_at.map(|at| at.0),
            stopped_at: row.ended_at.map(|at| at.0),
        }
    }

    /// The stretches in which it went on, until `until` at the latest and whatever its plan says.
    fn active(&self, until: i64) -> Vec<(i64, i64)> {
        let end = self.stopped_at.unwrap_or(until).min(self.paused_at.unwrap_or(until)).min(until);
        let (mut from, mut active) = (self.started_at, Vec::new());
        for (pause, resume) in &self.pauses {
            active.push((from, (*pause).min(end)));
            from = *resume;
        }
        active.push((from, end));
        active.retain(|(from, to)| from < to);
        active
    }

    /// The lines that it leaves until `until`, and where it stands then.
    pub fn walk(&self, until: i64) -> (Vec<Entry>, Place) {
        let (total, work, rest) = (self.plan.0 * MINUTE, self.plan.1 * MINUTE, self.plan.2 * MINUTE);
        let mut place = Place { phase: 0, is_work: true, elapsed: 0 };
        let (mut within, mut entries) = (0, Vec::new());
        for (mut at, to) in self.active(until) {
            while at < to && (total == 0 || place.elapsed < total) {
                let mut step = to - at;
                if work > 0 {
                    step = step.min(if place.is_work { work } else { rest } - within);
                }
                if total > 0 {
                    step = step.min(total - place.elapsed);
                }
                step = step.min(DAY - (at + SEOUL).rem_euclid(DAY));
                let minutes = (within + step) / MINUTE - within / MINUTE;
                entries.push(Entry {
                    run: self.id,
                    phase: place.phase,
                    is_work: place.is_work,
                    from: at,
                    to: at + step,
                    day: (at + SEOUL).div_euclid(DAY),
                    points: if place.is_work { minutes } else { 0 },
                });
                at += step;
                within += step;
                place.elapsed += step;
                if work > 0 && within == if place.is_work { work } else { rest } {
                    within = 0;
                    place.phase += 1;
                    place.is_work = !place.is_work || rest == 0;
                }
            }
        }
        (joined(entries), place)
    }

    /// When its plan is fulfilled, if that is before anything else.
    pub fn completed_at(&self, until: i64) -> Option<i64> {
        let (entries, place) = self.walk(until);
        let is = self.plan.0 > 0 && place.elapsed == self.plan.0 * MINUTE;
        entries.last().filter(|_| is).map(|entry| entry.to)
    }

    /// When it is over, if it is by `until`.
    pub fn ended_at(&self, until: i64) -> Option<i64> {
        self.completed_at(until).or(self.stopped_at.filter(|at| *at <= until))
    }
}

/// What somebody is at who has these runs, oldest first.
pub fn doing(runs: &[Told], now: i64) -> Doing {
    match runs.last() {
        Some(run) if run.ended_at(now).is_some() => Doing::Nothing,
        Some(run) if run.paused_at.is_some() => Doing::Pausing,
        Some(_) => Doing::Going,
        None => Doing::Nothing,
    }
}

/// Whether `command` can be carried out.
pub fn allows(doing: Doing, command: Command) -> bool {
    matches!(
        (command, doing),
        (Command::Start, Doing::Nothing)
            | (Command::Pause, Doing::Going)
            | (Command::Resume, Doing::Pausing)
            | (Command::Stop, Doing::Going | Doing::Pausing)
    )
}

/// Notes what was accepted, with the instant that the answer says; `told` is its run.
pub fn accept(runs: &mut Vec<Told>, command: Command, told: &Value) {
    let number = |name: &str| told[name].as_i64().unwrap_or_else(|| panic!("{name} in {told}"));
    let id = number("id");
    if command == Command::Start {
        assert!(runs.last().is_none_or(|last| last.id < id), "{told}");
        return runs.push(Told {
            id,
            plan: (number("total_time"), number("work_time"), number("break_time")),
            started_at: instant(&told["started_at"]).unwrap(),
            ..Told::default()
        });
    }
    let run = runs.last_mut().unwrap();
    assert_eq!(run.id, id, "another run than the open one");
    match command {
        Command::Start => unreachable!("a start has been noted"),
        Command::Pause => run.paused_at = instant(&told["paused_at"]),
        Command::Resume => {
            // What is neither elapsed nor an earlier pause is this one.
            let at = instant(&told["ended_at"]).or_else(|| instant(&told["server_time"])).unwrap();
            let earlier: i64 = run.pauses.iter().map(|(from, to)| to - from).sum();
            let from = run.paused_at.take().unwrap();
            let length = at - run.started_at - number("elapsed_ms") - earlier;
            assert!(length >= 0, "a pause of {length} ms: {run:?} {told}");
            run.pauses.push((from, from + length));
        }
        Command::Stop => run.stopped_at = instant(&told["ended_at"]),
    }
}

/// Whether the same is known; a plan that was fulfilled may not be written as such yet.
pub fn agree(known: &[Told], stored: &[Told], now: i64) -> bool {
    let same = |(known, stored): (&Told, &Told)| {
        let (end, open) = (known.ended_at(now), Told { stopped_at: None, ..stored.clone() });
        let ended = stored.stopped_at == end || (stored.stopped_at.is_none() && known.stopped_at.is_none());
        ended && open == Told { stopped_at: None, ..known.clone() }
    };
    known.len() == stored.len() && known.iter().zip(stored).all(same)
}

/// Whoever has these runs is told the phase and the time that follow from them.
#[track_caller]
pub fn check_phase(runs: &[Told], told: &Value, at: i64) {
    if told.is_null() {
        assert_eq!(doing(runs, at), Doing::Nothing, "{:?}", runs.last());
        return;
    }
    let at = instant(&told["server_time"]).unwrap();
    let run = runs.last().unwrap();
    let (_, place) = run.walk(at);
    let phase = told["index"].is_null()
        || (told["index"].as_i64(), told["phase"].as_str())
            == (Some(place.phase), Some(if place.is_work { "work" } else { "break" }));
    assert!(phase && told["id"] == run.id && told["elapsed_ms"] == place.elapsed, "{told} {run:?} {place:?}");
}

/// The ledger holds nothing but what everybody's runs give, and if it is `whole`, all of it. Answers the milliseconds
/// that are written, and those that are to come.
pub async fn check_ledger<'a>(
    db: &impl ConnectionTrait,
    known: impl IntoIterator<Item = (i64, &'a [Told])>,
    now: i64,
    whole: bool,
) -> (i64, i64) {
    check_totals(db).await;
    let mut ledger = ledger(db).await;
    let (mut written, mut missing) = (0, 0);
    for (account, runs) in known {
        let expected: Vec<_> = runs.iter().flat_map(|run| run.walk(now).0).collect();
        let found = joined(ledger.remove(&account).unwrap_or_default());
        for line in &found {
            let fits = expected.iter().any(|whole| {
                (whole.run, whole.phase, whole.is_work, whole.day) == (line.run, line.phase, line.is_work, line.day)
                    && whole.from <= line.from
                    && line.to <= whole.to
            });
            assert!(fits, "{line:?} is not among {expected:#?}");
        }
        if whole {
            assert_eq!(found, expected);
        }
        let length = |lines: &[Entry]| lines.iter().map(|line| line.to - line.from).sum::<i64>();
        written += length(&found);
        missing += length(&expected) - length(&found);
    }
    assert!(ledger.is_empty(), "lines of nobody: {ledger:?}");
    (written, missing)
}

/// Lines that continue each other on the same day are one.
pub fn joined(entries: impl IntoIterator<Item = Entry>) -> Vec<Entry> {
    let mut joined: Vec<Entry> = Vec::new();
    for entry in entries {
        let same = |last: &&mut Entry| {
            (last.run, last.phase, last.day, last.to) == (entry.run, entry.phase, entry.day, entry.from)
        };
        match joined.last_mut().filter(same) {
            Some(last) => {
                last.to = entry.to;
                last.points += entry.points;
            }
            None => joined.push(entry),
        }
    }
    joined
}

/// The ledger of every account as it was written, a run's lines in order of time.
pub async fn ledger(db: &impl ConnectionTrait) -> BTreeMap<i64, Vec<Entry>> {
    let query = segment::Entity::find().order_by_asc(segment::Column::RunId).order_by_asc(segment::Column::FromAt);
    let mut ledger: BTreeMap<i64, Vec<Entry>> = BTreeMap::new();
    for line in query.all(db).await.unwrap() {
        ledger.entry(line.account_id.0).or_default().push(Entry {
            run: line.run_id.0,
            phase: line.phase,
            is_work: line.kind == 0,
            from: line.from_at.0,
            to: line.to_at.0,
            day: line.day.into(),
            points: line.points.into(),
        });
    }
    ledger
}

/// Everybody's runs, oldest first.
pub async fn runs(db: &impl ConnectionTrait) -> BTreeMap<i64, Vec<Told>> {
    let pauses = pause::Entity::find().order_by_asc(pause::Column::FromAt).all(db).await.unwrap();
    let mut runs: BTreeMap<i64, Vec<Told>> = BTreeMap::new();
    for row in run::Entity::find().order_by_asc(run::Column::Id).all(db).await.unwrap() {
        runs.entry(row.account_id.0).or_default().push(Told::of(&row, &pauses));
    }
    runs
}

/// No instant of anybody was written twice, and the caches are sums of the ledger, with at most 16 hours a day.
pub async fn check_totals(db: &impl ConnectionTrait) {
    let mut days: BTreeMap<(i64, i64), (i64, i64)> = BTreeMap::new();
    for (account, mut lines) in ledger(db).await {
        lines.sort_by_key(|line| line.from);
        for pair in lines.windows(2) {
            assert!(pair[0].to <= pair[1].from, "counted twice: {pair:#?}");
        }
        for line in lines.iter().filter(|line| line.is_work) {
            let day = days.entry((account, line.day)).or_default();
            *day = (day.0 + line.to - line.from, day.1 + line.points);
        }
    }
    assert!(days.values().all(|(work, _)| *work <= DAY));
    let totals = day_total::Entity::find().all(db).await.unwrap();
    let told: BTreeMap<_, _> = totals
        .iter()
        .map(|row| ((row.account_id.0, i64::from(row.day)), (row.work_ms, i64::from(row.points))))
        .collect();
    assert_eq!(told, days);
    let mut scores: BTreeMap<(i64, i16, i64), i64> = BTreeMap::new();
    for ((account, day), (_, points)) in days {
        let date = jiff::civil::date(1970, 1, 1) + jiff::Span::new().days(day);
        // The first day of all was a Thursday.
        let firsts = [day, day - (day + 3).rem_euclid(7), day + 1 - i64::from(date.day()), 0];
        for (period, first) in (0..).zip(firsts) {
            *scores.entry((account, period, first)).or_default() += points.min(960);
        }
    }
    let rows = score::Entity::find().all(db).await.unwrap();
    let told = rows.iter().map(|row| ((row.account_id.0, row.period, i64::from(row.first_day)), row.points));
    let nonzero = |map: BTreeMap<_, i64>| map.into_iter().filter(|(_, points)| *points != 0).collect::<Vec<_>>();
    assert_eq!(nonzero(told.collect()), nonzero(scores));
    assert!(rows.iter().all(|row| row.period != 0 || row.points <= 960));
}
