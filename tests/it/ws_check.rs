//! The check of promises: it passes where they are kept, and names the one that is not.

use solgik::client::check::{self, Verdict};

use crate::support::TestApp;

/// What would otherwise be waited for.
const QUICK: [(&str, &str); 4] = [
    ("presence.grace_secs", "1"),
    // Longer than it takes to find out who reads nothing.
    ("socket.heartbeat_secs", "3"),
    ("socket.answer_secs", "20"),
    ("socket.auth_secs", "2"),
];

fn broken(verdicts: &[Verdict]) -> Vec<String> {
    verdicts.iter().filter(|verdict| verdict.is_broken()).map(Verdict::to_string).collect()
}

#[tokio::test]
async fn a_server_that_keeps_its_promises_passes() {
    let app = TestApp::with(&QUICK).await;
    let verdicts = check::run(&app.base, &[]).await.unwrap();
    assert_eq!(broken(&verdicts), Vec::<String>::new());
    let unseen: Vec<_> = verdicts.iter().filter(|verdict| !verdict.to_string().starts_with('✓')).collect();
    assert_eq!(unseen.iter().map(|verdict| verdict.promise).collect::<Vec<_>>(), ["too many messages"], "{unseen:?}");
    app.stop().await;
}

#[tokio::test]
async fn a_limit_that_holds_for_the_check_too_is_seen() {
    let limited = [QUICK.as_slice(), &[("limits.messages_per_second", "10"), ("limits.burst", "20")]].concat();
    let app = TestApp::with(&limited).await;
    let verdicts = check::run(&app.base, &[]).await.unwrap();
    assert_eq!(broken(&verdicts), Vec::<String>::new());
    assert!(verdicts.iter().any(|verdict| verdict.to_string().starts_with("✓ too many messages")), "{verdicts:?}");
    app.stop().await;
}

#[tokio::test]
async fn a_lost_event_is_noticed() {
    let app = TestApp::with(&[QUICK.as_slice(), &[("faults.lose_one_in", "7")]].concat()).await;
    let verdicts = check::run(&app.base, &[]).await.unwrap();
    let broken = broken(&verdicts);
    assert!(broken.iter().any(|line| line.starts_with("✗ order, completeness")), "{verdicts:#?}");
    app.stop().await;
}

#[tokio::test]
async fn people_who_were_lent_are_kept() {
    let app = TestApp::with(&QUICK).await;
    let mut people = Vec::new();
    for name in ["수미", "하나", "미나"] {
        people.push(app.person(name).await);
    }
    let tokens: Vec<_> = people.iter().map(|person| person.token.clone()).collect();
    let verdicts = check::run(&app.base, &tokens).await.unwrap();
    assert_eq!(broken(&verdicts), Vec::<String>::new());
    for person in &people {
        person.get("/rooms/check/").await.ok();
    }
    app.stop().await;
}
