//! A report for people who read it in a terminal.

use super::report::{FIGURES, Figures, Report, Verdict};

/// The report, line by line.
pub fn lines(report: &Report) -> Vec<String> {
    let scenario = &report.scenario;
    let mut lines = vec![
        format!("{}: {}", scenario.name, scenario.about),
        format!("{} connections in {} rooms, against {}", scenario.people(), scenario.rooms, report.target),
        String::new(),
    ];
    let empty = Figures::new();
    let limit = report.limit.as_ref().map_or(&empty, |limit| &limit.figures);
    lines.extend(side_by_side(["server", "limit", "× limit"], &report.server.figures, limit));
    if report.runs.len() > 1 {
        let runs: Vec<_> = report.runs.iter().map(|run| format!("{run:.3}")).collect();
        lines.push(format!("{} runs, this is the middle one of {}", runs.len(), runs.join(", ")));
    }
    lines.push(String::new());
    lines.extend(report.verdicts.iter().map(goal));
    if report.is_right() {
        lines.push("every event came once and in order, and everybody saw who was there".to_owned());
    }
    lines.extend(report.server.faults.lines().iter().map(|fault| format!("WRONG  {fault}")));
    if let Some(limit) = &report.limit {
        lines.extend(limit.faults.lines().iter().map(|fault| format!("the limit itself: {fault}")));
    }
    lines
}

/// Two reports beside each other.
pub fn compare(a: &Report, b: &Report) -> Vec<String> {
    let mut lines =
        vec![format!("A {} of {}", a.scenario.name, a.target), format!("B {} of {}", b.scenario.name, b.target)];
    lines.extend(side_by_side(["B", "A", "B / A"], &b.server.figures, &a.server.figures));
    lines
}

fn side_by_side(heads: [&str; 3], left: &Figures, right: &Figures) -> Vec<String> {
    let mut lines = vec![format!("{:<38}{:>14}{:>14}{:>10}", "", heads[0], heads[1], heads[2])];
    for (name, words, unit, digits) in FIGURES {
        let Some(figure) = left.get(*name) else { continue };
        let other = right.get(*name);
        let ratio = other.filter(|other| **other != 0.0).map(|other| format!("{:.2}", figure / other));
        let other = other.map(|other| with_unit(*other, unit, *digits));
        let figure = with_unit(*figure, unit, *digits);
        let (other, ratio) = (other.unwrap_or_default(), ratio.unwrap_or_default());
        lines.push(format!("{words:<38}{figure:>14}{other:>14}{ratio:>10}").trim_end().to_owned());
    }
    lines
}

/// A number with its unit, and thin spaces between thousands.
pub(super) fn with_unit(value: f64, unit: &str, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) && grouped != "-" {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    let space = if unit.is_empty() { "" } else { " " };
    format!("{grouped}{rest}{space}{unit}")
}

/// Words and unit of a figure.
pub(super) fn words(name: &str) -> (&str, &str, usize) {
    let known = FIGURES.iter().find(|(known, ..)| *known == name);
    known.map_or((name, "", 3), |(_, words, unit, digits)| (*words, *unit, *digits))
}

/// A goal in one line: whether it was reached, what was wanted, what it is.
pub(super) fn goal(verdict: &Verdict) -> String {
    let (words, unit, digits) = words(&verdict.goal.figure);
    let mark = match verdict.reached {
        Some(true) => "reached",
        Some(false) => "MISSED ",
        None => "unknown",
    };
    format!("{mark}  {words}: goal {}, figure {}", wanted(verdict), {
        let figure = verdict.figure.map_or("none".to_owned(), |figure| with_unit(figure, unit, digits));
        match (verdict.goal.times_limit, verdict.limit, verdict.ratio) {
            (Some(_), Some(limit), Some(ratio)) => {
                format!("{figure} = {ratio:.2} × limit ({})", with_unit(limit, unit, digits))
            }
            _ => figure,
        }
    })
}

/// What a goal asks for.
pub(super) fn wanted(verdict: &Verdict) -> String {
    let (_, unit, digits) = words(&verdict.goal.figure);
    let digits = digits.min(2);
    let wanted = [
        verdict.goal.at_most.map(|most| format!("≤ {}", with_unit(most, unit, digits))),
        verdict.goal.at_least.map(|least| format!("≥ {}", with_unit(least, unit, digits))),
        verdict.goal.times_limit.map(|times| format!("≤ {times} × limit")),
    ];
    wanted.into_iter().flatten().collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(with_unit(1_234_567.891, "B", 0), "1 234 568 B");
        assert_eq!(with_unit(999.5, "", 1), "999.5");
        assert_eq!(with_unit(-1234.0, "", 0), "-1 234");
    }
}
