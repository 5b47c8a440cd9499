//! What this instance has heard of one channel: a pure look at what comes next.
//!
//! An event may arrive twice, from its publisher's answer and by subscription, and two may arrive the wrong way round;
//! each is handed over once, in the order of the places.

use std::sync::Arc;

/// The last place that was handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) epoch: Arc<str>,
    pub(super) off: u64,
}

/// What an arrival is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// The next one.
    Next,
    /// Handed over already.
    Old,
    /// Something before it is missing.
    Early,
    /// The numbering began anew: nobody knows what came between.
    Foreign,
}

impl Cursor {
    pub(super) fn judge(&self, epoch: &str, off: u64) -> Arrival {
        match off.cmp(&(self.off + 1)) {
            _ if *self.epoch != *epoch => Arrival::Foreign,
            std::cmp::Ordering::Less => Arrival::Old,
            std::cmp::Ordering::Equal => Arrival::Next,
            std::cmp::Ordering::Greater => Arrival::Early,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrival_is_judged_by_its_place() {
        let cursor = Cursor { epoch: "a".into(), off: 4 };
        for (epoch, off, arrival) in [
            ("a", 3, Arrival::Old),
            ("a", 4, Arrival::Old),
            ("a", 5, Arrival::Next),
            ("a", 6, Arrival::Early),
            ("b", 5, Arrival::Foreign),
            ("b", 1, Arrival::Foreign),
        ] {
            assert_eq!(cursor.judge(epoch, off), arrival, "{epoch} {off}");
        }
    }
}
