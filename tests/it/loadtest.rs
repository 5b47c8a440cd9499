//! The load lab as its users run it: the binary, small numbers, and a report that can be read.

use std::{
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use serde_json::Value;
use solgik::loadtest::{report::Report, scenario::Scenario};

use crate::support::{TestApp, binary, run_binary, signal};

/// A short run of a scenario against a server that the lab starts itself.
async fn run(folder: &Path, scenario: &str, more: &[&str]) -> (Output, Value) {
    run_with(folder, scenario, more, &[]).await
}

async fn run_with(folder: &Path, scenario: &str, more: &[&str], environment: &[(&str, &str)]) -> (Output, Value) {
    let report = folder.join("report.json");
    let json = report.to_str().unwrap();
    let seconds: &[_] = if more.contains(&"--seconds") { &[] } else { &["--seconds", "0.5"] };
    let members: &[_] = if more.contains(&"--members") { &[] } else { &["--members", "3"] };
    let small = ["--rooms", "2", "--no-pin", "--json", json];
    let arguments: Vec<_> =
        ["loadtest", scenario].iter().chain(&small).chain(members).chain(seconds).chain(more).copied().collect();
    let output = run_binary(folder, &arguments, environment).await;
    let text = std::fs::read_to_string(report).unwrap_or_else(|_| panic!("{output:?}"));
    (output, serde_json::from_str(&text).unwrap())
}

/// Of every kind a small one, at a pace that a busy machine keeps. A phase takes a minute at least, so none waits for
/// its end.
const SMALL: [(&str, &str); 11] = [
    ("idle", "[work.idle]"),
    ("fanout", "[work.fanout]\nrate = 50"),
    ("closed", "[work.fanout]\nin_flight = 4"),
    ("crowded", "[work.fanout]\nin_flight = 8"),
    ("seats", "[work.churn]\nclients = 1\nby = 'seat'"),
    ("churn", "[work.churn]\nrate = 2\nby = 'seat'"),
    ("presence", "[work.churn]\nrate = 3\nby = 'connection'\n[server]\n'presence.grace_secs' = '0'"),
    ("morning", "[work.morning]\nover = 0.5"),
    ("deploy", "[work.deploy]\nstay = 0.34\nafter = 0.1\nover = 0.2\nrate = 20"),
    ("mixed", "[work.mixed]\nthink = 0.5"),
    ("rest", "[work.rest]\nclients = 2\n[[work.rest.requests]]\nmethod = 'GET'\npath = '/rooms/?keyword=부하'"),
];

/// The path of a small scenario's file.
fn write_small(folder: &Path, name: &str) -> String {
    let (_, work) = SMALL.iter().find(|(known, _)| *known == name).unwrap();
    let file = folder.join(format!("{name}.toml"));
    let head = "about = 'a small one'\nrooms = 2\nmembers = 3\nseconds = 1.5\nwarm_up = 0.1\n";
    std::fs::write(&file, format!("{head}{work}")).unwrap();
    file.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_kind_of_work_passes() {
    for (name, _) in SMALL {
        let folder = tempfile::tempdir().unwrap();
        let (output, report) = run(folder.path(), &write_small(folder.path(), name), &["--seconds", "1.5"]).await;
        assert!(output.status.success(), "{name}: {output:?}");
        assert_eq!(report["server"]["faults"], serde_json::json!({}), "{name}");
        assert!(!report["server"]["figures"].as_object().unwrap().is_empty(), "{name}");
    }
}

/// A server that runs already, and that nobody has prepared.
#[tokio::test]
async fn people_sign_up_by_themselves() {
    let app = TestApp::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (output, report) = run(folder.path(), "fanout", &["--target", &app.base, "--no-limit"]).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(report["target"], app.base);
    app.stop().await;
}

#[tokio::test]
async fn figures_stand_beside_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("report.html");
    let (output, report) = run(folder.path(), "fanout", &["--html", page.to_str().unwrap()]).await;
    for side in ["server", "limit"] {
        let figures = &report[side]["figures"];
        // 50 words or a few more, each to three members.
        let deliveries = figures["deliveries_per_second"].as_f64().unwrap();
        assert!(deliveries > 0.0 && figures["latency_p99_ms"].as_f64().unwrap() > 0.0, "{side}: {figures}");
    }
    let said = String::from_utf8(output.stdout).unwrap();
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("<script>") && !page.contains("{{"), "{page}");
    assert!(said.contains("× limit") && said.contains("every event came once and in order"), "{said}");
}

#[tokio::test]
async fn reports_are_read_again_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), "fanout", &["--no-limit"]).await;
    let file = folder.path().join("report.json");
    let report = Report::read(&file).unwrap();
    assert_eq!((report.format, report.scenario.name.as_str()), (1, "fanout"));
    let again = folder.path().join("again.json");
    report.write(&again).unwrap();
    let again_read = Report::read(&again).unwrap();
    assert!(again_read.server.figures.keys().eq(report.server.figures.keys()));
    assert_eq!((&again_read.scenario, &again_read.server.faults), (&report.scenario, &report.server.faults));
    let (a, b) = (file.to_str().unwrap(), again.to_str().unwrap());
    let output = run_binary(folder.path(), &["loadtest", "--compare", a, b], &[]).await;
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("B / A") && said.contains("1.00"), "{said}");
}

#[test]
fn every_embedded_scenario_can_be_run() {
    for name in Scenario::names() {
        Scenario::find(name).unwrap_or_else(|error| panic!("{name}: {error:#}"));
    }
}

/// A server that goes wrong on purpose, as seldom as it may get, is found out, and what went wrong is named.
#[tokio::test]
async fn a_lost_event_and_a_doubled_edge_are_found() {
    for (fault, scenario, kind, words) in [
        (("SOLGIK__FAULTS__LOSE_ONE_IN", "100000"), "crowded", "lost", "lost: user "),
        (("SOLGIK__FAULTS__DOUBLE_EDGE_ONE_IN", "4"), "presence", "doubled_presence", "twice in a row"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = write_small(folder.path(), scenario);
        let more: &[&str] =
            if scenario == "crowded" { &["--members", "40", "--seconds", "20"] } else { &["--seconds", "4"] };
        let (output, report) = run_with(folder.path(), &file, &[more, &["--no-limit"]].concat(), &[fault]).await;
        assert!(!output.status.success(), "{fault:?}: {report}");
        assert!(report["server"]["faults"][kind]["count"].as_u64().unwrap() > 0, "{report}");
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains(words) && said.contains("room:"), "{said}");
    }
}

/// Whoever interrupts a run is told what it came to so far.
#[tokio::test]
async fn an_interrupted_run_is_judged() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    let arguments =
        ["loadtest", "idle", "--rooms", "2", "--members", "3", "--no-limit", "--no-pin", "--seconds", "600"];
    let mut lab = binary(folder.path(), None);
    lab.args(arguments).arg("--json").arg(&report).stdout(Stdio::piped()).stderr(Stdio::null());
    let lab = lab.spawn().unwrap();
    let pid = lab.id();
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    while !is_serving(pid) {
        looks.tick().await;
    }
    signal("-INT", pid);
    let ended = tokio::task::spawn_blocking(|| lab.wait_with_output());
    let output = tokio::time::timeout(Duration::from_secs(60), ended).await.unwrap().unwrap().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8(output.stdout).unwrap().contains("every event came once and in order"));
    assert!(Report::read(&report).unwrap().is_right());
}

/// Whether the lab has come so far that its server runs.
fn is_serving(lab: u32) -> bool {
    let children = std::fs::read_to_string(format!("/proc/{lab}/task/{lab}/children")).unwrap();
    let serves = |child: &str| {
        std::fs::read(format!("/proc/{child}/cmdline"))
            .is_ok_and(|line| line.ends_with(b"serve\0--listen\x00127.0.0.1:0\0"))
    };
    children.split_whitespace().any(serves)
}
