//! A report as one page for a browser, which needs nothing beside it: numbers, plots, and what went wrong.

use super::{report::Report, table};

const PAGE: &str = include_str!("page.html");

/// The page.
pub fn render(report: &Report) -> anyhow::Result<String> {
    let figures: Vec<_> =
        super::report::FIGURES.iter().map(|(name, words, unit, digits)| (name, words, unit, digits)).collect();
    let goals: Vec<_> = report
        .verdicts
        .iter()
        .map(|verdict| (table::words(&verdict.goal.figure).0, table::wanted(verdict), verdict))
        .collect();
    let data = serde_json::json!({ "report": report, "figures": figures, "goals": goals, "wrong": report.server.faults.lines() });
    // In a script, an end tag would end it, even within quotes.
    let data = data.to_string().replace('<', "\\u003c");
    let title = report.scenario.name.replace(['<', '&'], "");
    Ok(PAGE.replace("{{title}}", &title).replace("{{data}}", &data))
}
