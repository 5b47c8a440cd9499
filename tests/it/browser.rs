//! The web client in a real browser: what no reading of files shows.
//!
//! `.ci/test` brings the browser and names it in `SOLGIK_TEST_BROWSER`; without that there is nothing to run.

use std::process::Stdio;

use tokio::process::Command;

use crate::support::TestApp;

#[tokio::test]
async fn the_page_draws_itself_under_its_own_rules() {
    let Ok(browser) = std::env::var("SOLGIK_TEST_BROWSER") else {
        println!("no browser: SOLGIK_TEST_BROWSER names none");
        return;
    };
    let app = TestApp::start().await;
    let profile = tempfile::tempdir().unwrap();
    let shown = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--enable-logging=stderr", "--virtual-time-budget=4000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("{}/", app.base))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let (page, said) = (String::from_utf8_lossy(&shown.stdout), String::from_utf8_lossy(&shown.stderr));
    assert!(page.contains(r#"type="password""#), "no form to sign in: {page}");
    // Whatever a script got wrong, and whatever the page's own policy refused, stands in the console.
    let complaints: Vec<_> = said.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    app.stop().await;
}
