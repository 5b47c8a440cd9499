//! What holds at every door, whatever stands behind it.

use crate::support::TestApp;

#[tokio::test]
async fn a_server_starts_and_ends() {
    let app = TestApp::start().await;
    assert_eq!(app.get("/livez").await.ok(), "alive");
    let sumi = app.person("수미").await;
    sumi.get("/nowhere").await.refused(404, "not_found");
    app.stop().await;
}
