//! The time setting: how long somebody means to study, and in which cycle. Pure: no database and no clock.
//!
//! Promises that a [`Plan`] that exists is one that a timer can run. It doesn't run one.

use crate::error::{Error, ErrorCode, FieldError, Result};

/// Most minutes of a plan: a day.
pub const MAX_TOTAL: i64 = 1440;

/// Most minutes of one work phase or one break.
pub const MAX_PHASE: i64 = 480;

/// Minutes that go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    total_time: i32,
    work_time: i32,
    break_time: i32,
}

/// What is to be changed of a plan; `None` stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Minutes of work and breaks together.
    pub total_time: Option<i64>,
    /// Minutes of one work phase.
    pub work_time: Option<i64>,
    /// Minutes of one break.
    pub break_time: Option<i64>,
}

impl Plan {
    /// A plan of minutes: `total_time` 0 is open end; `work_time` 0 is one long phase, and then there is no break.
    pub fn new(total_time: i64, work_time: i64, break_time: i64) -> Result<Self> {
        let mut errors = Vec::new();
        let mut minutes = |field, value, max| {
            within(field, value, max).unwrap_or_else(|error| {
                errors.push(error);
                0
            })
        };
        let plan = Self {
            total_time: minutes("total_time", total_time, MAX_TOTAL),
            work_time: minutes("work_time", work_time, MAX_PHASE),
            break_time: minutes("break_time", break_time, MAX_PHASE),
        };
        if errors.is_empty() && plan.work_time == 0 && plan.break_time != 0 {
            errors.push(FieldError::new("break_time", ErrorCode::BreakWithoutWork));
        }
        if errors.is_empty() { Ok(plan) } else { Err(Error::fields(errors)) }
    }

    /// This plan with `change`, judged as a whole.
    pub fn changed(self, change: Change) -> Result<Self> {
        Self::new(
            change.total_time.unwrap_or(self.total_time.into()),
            change.work_time.unwrap_or(self.work_time.into()),
            change.break_time.unwrap_or(self.break_time.into()),
        )
    }

    /// Minutes of work and breaks together; 0 is open end.
    pub fn total_time(&self) -> i32 {
        self.total_time
    }

    /// Minutes of one work phase; 0 is one long phase.
    pub fn work_time(&self) -> i32 {
        self.work_time
    }

    /// Minutes of one break.
    pub fn break_time(&self) -> i32 {
        self.break_time
    }
}

fn within(field: &'static str, minutes: i64, max: i64) -> Result<i32, FieldError> {
    let within = Some(minutes).filter(|minutes| (0..=max).contains(minutes));
    within
        .and_then(|minutes| minutes.try_into().ok())
        .ok_or_else(|| FieldError::new(field, ErrorCode::OutOfRange).with("min", 0).with("max", max))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(plan: Result<Plan>) -> Vec<(&'static str, &'static str)> {
        let Err(Error::Refused(refusal)) = plan else { panic!("{plan:?}") };
        refusal.fields.iter().map(|field| (field.field, field.code.as_str())).collect()
    }

    #[test]
    fn what_is_a_plan() {
        for (total, work, rest) in [(0, 0, 0), (1440, 480, 480), (120, 25, 5), (60, 50, 0), (90, 0, 0), (10, 25, 5)] {
            let plan = Plan::new(total, work, rest).unwrap();
            let minutes = (plan.total_time().into(), plan.work_time().into(), plan.break_time().into());
            assert_eq!(minutes, (total, work, rest));
        }
    }

    #[test]
    fn what_is_no_plan() {
        for (total, work, rest, expected) in [
            (-1, 25, 5, vec![("total_time", "out_of_range")]),
            (1441, 25, 5, vec![("total_time", "out_of_range")]),
            (60, -1, 5, vec![("work_time", "out_of_range")]),
            (60, 481, 5, vec![("work_time", "out_of_range")]),
            (60, 25, -1, vec![("break_time", "out_of_range")]),
            (60, 25, 481, vec![("break_time", "out_of_range")]),
            (i64::MAX, i64::MIN, 5, vec![("total_time", "out_of_range"), ("work_time", "out_of_range")]),
            (60, 0, 5, vec![("break_time", "break_without_work")]),
        ] {
            assert_eq!(refused(Plan::new(total, work, rest)), expected, "{total} {work} {rest}");
        }
    }

    #[test]
    fn a_change_is_judged_as_a_whole() {
        let plan = Plan::new(120, 25, 5).unwrap();
        assert_eq!(plan.changed(Change::default()).unwrap(), plan);
        let longer = Change { work_time: Some(50), ..Change::default() };
        assert_eq!(plan.changed(longer).unwrap(), Plan::new(120, 50, 5).unwrap());
        let no_cycle = Change { work_time: Some(0), ..Change::default() };
        assert_eq!(refused(plan.changed(no_cycle)), [("break_time", "break_without_work")]);
        let no_break = Change { break_time: Some(0), ..no_cycle };
        assert_eq!(plan.changed(no_break).unwrap(), Plan::new(120, 0, 0).unwrap());
    }
}
