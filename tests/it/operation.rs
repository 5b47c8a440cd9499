//! What an operator relies on: figures, readiness, a second instance, the service manager, backups.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead, BufReader},
    os::unix::{fs::PermissionsExt, net::UnixDatagram},
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use entity::AccountId;
use futures_util::{FutureExt, future::join};
use sea_orm::{ConnectionTrait, Database, Statement};
use serde_json::json;
use solgik::{
    admin,
    db::{self, Db},
    error::ErrorCode,
    people,
};
use tokio::{
    net::TcpListener,
    task::{self, JoinSet},
};
use tokio_util::sync::CancellationToken;

use crate::support::{Door, End, Person, Server, TestApp, binary};

/// The figures of `app`, through a listener of their own.
async fn figures(app: &TestApp) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let door = Door::new(format!("http://{}", listener.local_addr().unwrap()));
    let stop = CancellationToken::new();
    let serving = tokio::spawn(admin::run(app.app.clone(), listener, stop.clone()));
    let reply = door.get("/metrics").await;
    assert_eq!(reply.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let text = reply.bare(200).as_str().unwrap().to_owned();
    door.get("/rooms").await.bare(404);
    stop.cancel();
    drop(door);
    serving.await.unwrap().unwrap();
    text
}

/// The value of the series that begins so.
fn value(figures: &str, series: &str) -> f64 {
    let line = figures.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in {figures}")).parse().unwrap()
}

/// Every word of `text` that could name a figure.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = |word: &&str| (word.starts_with("solgik_") || word.starts_with("process_")) && word.len() > 8;
    words.filter(ours).map(str::to_owned).collect()
}

#[tokio::test]
async fn every_figure_is_described_and_every_description_has_its_figure() {
    let app = TestApp::start().await;
    let shown = figures(&app).await;
    let shown: BTreeSet<_> =
        shown.lines().filter_map(|line| Some(line.strip_prefix("# TYPE ")?.split(' ').next()?.to_owned())).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let table = readme.split("| figure | |").nth(1).unwrap().split("\n\n").next().unwrap();
    assert_eq!(names(table), shown, "the README and what is shown");
    let dashboard = fs::read_to_string(root.join("config/grafana.json")).unwrap();
    serde_json::from_str::<serde_json::Value>(&dashboard).unwrap();
    let drawn: BTreeSet<_> = names(&dashboard).into_iter().map(|name| name.replace("_bucket", "")).collect();
    assert_eq!(drawn, shown, "the dashboard and what is shown");
    app.stop().await;
}

#[tokio::test]
async fn figures_follow_what_happens() {
    let app = TestApp::start().await;
    let (sumi, hana) = (app.person("수미").await, app.person("하나").await);
    let room = sumi.make_room().await;
    hana.enter(room).await;
    let (mut a, mut b) = (sumi.connect().await, hana.connect().await);
    let hello = a.hello().await;
    b.hello().await;
    let before = figures(&app).await;
    assert_eq!(value(&before, "solgik_connections"), 2.0);
    assert_eq!(value(&before, "solgik_users_online"), 2.0);
    a.call("room.cheer", json!({"text": "힘내요"})).await.unwrap();
    b.expect("room.cheer").await;
    let room = format!("room:{room}");
    let place = &hello["channels"][&room];
    a.call("sync", json!({"since": {&room: [place["epoch"], place["off"]]}})).await.unwrap();
    a.call("sync", json!({"since": {&room: ["another", 1]}})).await.unwrap();
    a.close().await;
    sumi.post("/rest-auth/logout/", json!({})).await;
    let after = figures(&app).await;
    let grown = |series: &str| value(&after, series) - value(&before, series);
    assert!(grown("solgik_events_published_total") >= 1.0);
    assert!(grown("solgik_events_delivered_total") >= 2.0);
    assert!(grown("solgik_publish_seconds_count") >= 1.0);
    assert!(value(&after, "solgik_resumes_total{outcome=\"recovered\"}") >= 1.0, "{after}");
    assert!(value(&after, "solgik_resumes_total{outcome=\"snapshot\"}") >= 1.0, "{after}");
    assert!(value(&after, "solgik_connections_closed_total{reason=\"normal\"}") >= 1.0, "{after}");
    let requests = "solgik_http_requests_total{method=\"POST\",route=\"/rest-auth/logout\",status=\"200\"}";
    assert_eq!(value(&after, requests), 1.0, "{after}");
    assert_eq!(value(&after, "solgik_database_up"), 1.0);
    app.app.db.close().await;
    assert_eq!(value(&figures(&app).await, "solgik_database_up"), 0.0);
}

#[tokio::test]
async fn threat_27_figures_are_not_at_the_public_door_and_name_nobody() {
    let app = TestApp::start().await;
    let sumi = app.signed_up("수미").await;
    let key = "KIT1-2300-SECRET";
    sumi.post(&format!("/registration/{key}/"), json!({})).await;
    sumi.get(&format!("/accounts/{}/", sumi.id)).await.ok();
    for path in
        ["/metrics", "/admin/metrics", "/debug/pprof", "/actuator", "/.env", "/server-status", "/assets/metrics"]
    {
        assert_eq!(app.get(path).await.status, 404, "{path}");
    }
    let figures = figures(&app).await;
    assert!(figures.contains("route=\"/accounts/{id}\""), "{figures}");
    for secret in [key, &sumi.email, "수미", &sumi.token, &format!("/accounts/{}", sumi.id), "user="] {
        assert!(!figures.contains(secret), "{secret} in {figures}");
    }
    app.stop().await;
}

#[tokio::test]
async fn whoever_stands_still_in_a_transaction_holds_others_only_for_so_long() {
    let app = TestApp::start().await;
    if !db::is_postgres(&*app.app.db) {
        // It locks no rows.
        return app.stop().await;
    }
    let (sumi, hana) = (app.person("수미").await, app.person("하나").await);
    let room = sumi.make_room().await;
    let stands_still = app.app.db.begin().await.unwrap();
    people::lock_one(&stands_still, AccountId(hana.id)).await.unwrap();
    hana.enter(room).await;
    let undone = people::lock_one(&stands_still, AccountId(hana.id)).await.unwrap_err();
    assert_eq!(undone.code(), ErrorCode::Unavailable);
    drop(stands_still);
    app.stop().await;
}

#[tokio::test]
async fn while_another_process_writes_for_long_ours_is_busy_and_not_broken() {
    let app = TestApp::start().await;
    if db::is_postgres(&*app.app.db) {
        // It has as many writers as come.
        return app.stop().await;
    }
    let sumi = app.person("수미").await;
    let other = Db::open(&app.app.config).await.unwrap();
    let writes = other.begin().await.unwrap();
    sumi.post("/rooms/", json!({"name": "새벽반"})).await.refused(503, "unavailable");
    sumi.get("/rooms/").await.ok();
    drop(writes);
    sumi.post("/rooms/", json!({"name": "새벽반"})).await.ok();
    other.close().await;
    app.stop().await;
}

#[tokio::test]
async fn reads_that_fail_and_reads_that_nobody_waits_for_spoil_none_after_them() {
    let app = TestApp::with(&[("database.max_connections", "2")]).await;
    let db = &app.app.db;
    let ask = |what: String| db.query_all_raw(Statement::from_string(db.get_database_backend(), what));
    for number in 0..200 {
        let abandoned = ask("SELECT -1 AS number".to_owned()).now_or_never();
        assert!(abandoned.is_none_or(|rows| rows.is_ok()));
        ask("SELECT nothing FROM nowhere".to_owned()).await.unwrap_err();
        let rows = ask(format!("SELECT {number} AS number")).await.unwrap();
        let numbers: Vec<i32> = rows.iter().map(|row| row.try_get("", "number").unwrap()).collect();
        assert_eq!(numbers, [number]);
        // As many at once as there are connections: whoever wants a transaction finds one that is not kept.
        let (one, two) = join(ask("SELECT 1".to_owned()), ask("SELECT 2".to_owned())).await;
        assert_eq!((one.unwrap().len(), two.unwrap().len()), (1, 1));
        db.begin().await.unwrap().commit_quietly().await.unwrap();
    }
    app.stop().await;
}

#[tokio::test]
async fn a_server_whose_schema_is_too_old_is_not_ready() {
    let app = TestApp::start().await;
    app.get("/readyz").await.ok();
    app.app.db.execute_unprepared("INSERT INTO seaql_migrations VALUES ('m29991231_000001_later', 0)").await.unwrap();
    app.get("/readyz").await.ok();
    app.app.db.execute_unprepared("DELETE FROM seaql_migrations WHERE version LIKE '%_time'").await.unwrap();
    app.get("/readyz").await.refused(503, "unavailable");
    app.get("/livez").await.ok();
    app.stop().await;
}

/// Reads the server's log until it serves; answers what it said.
fn said_until_served(command: &mut Command) -> (std::process::Child, String) {
    let mut server = command
        .args(["serve", "--listen", "127.0.0.1:0"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut log = BufReader::new(server.stderr.take().unwrap());
    while !said.contains("serving on") && log.read_line(&mut said).unwrap() > 0 {}
    // The pipe stays open as long as somebody holds it.
    std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    (server, said)
}

#[test]
fn a_second_instance_goes_on_without_figures_unless_they_were_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    // Whether or not somebody else has it: afterwards it is taken.
    let _taken = std::net::TcpListener::bind("127.0.0.1:9600");
    let mut command = binary(&folder.path().join("a"), None);
    let (mut server, said) = said_until_served(command.env_remove("SOLGIK__ADMIN__LISTEN"));
    assert!(said.contains("no metrics: 127.0.0.1:9600 is taken") && said.contains("SOLGIK__ADMIN__LISTEN"), "{said}");
    server.kill().unwrap();
    server.wait().unwrap();

    let ours = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = binary(&folder.path().join("b"), None);
    let (mut server, said) =
        said_until_served(command.env("SOLGIK__ADMIN__LISTEN", ours.local_addr().unwrap().to_string()));
    assert!(said.contains("(admin.listen)") && !server.wait().unwrap().success(), "{said}");
}

#[test]
fn the_service_manager_is_told_of_beginning_and_end() {
    let folder = tempfile::tempdir().unwrap();
    let manager = UnixDatagram::bind(folder.path().join("notify")).unwrap();
    manager.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    let mut word = [0; 256];
    let mut next = || {
        let read = manager.recv(&mut word).unwrap();
        String::from_utf8_lossy(&word[..read]).trim().to_owned()
    };
    let mut command = binary(&folder.path().join("data"), None);
    let (mut server, _) = said_until_served(command.env("NOTIFY_SOCKET", folder.path().join("notify")));
    assert_eq!(next(), "READY=1");
    assert!(Command::new("kill").args(["-TERM", &server.id().to_string()]).status().unwrap().success());
    assert_eq!(next(), "STOPPING=1");
    assert!(server.wait().unwrap().success());
}

/// `solgik backup` of the database in `data`.
fn back_up(data: &Path, file: &Path) -> std::process::Output {
    binary(data, None).arg("backup").arg(file).output().unwrap()
}

/// Every row of every table, as text.
async fn rows(file: &Path) -> BTreeMap<String, Vec<String>> {
    let db = Database::connect(format!("sqlite://{}", file.display())).await.unwrap();
    let all = async |sql: String| {
        let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap();
        rows.into_iter().map(|row| row.try_get_by_index::<String>(0).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(all("PRAGMA integrity_check".to_owned()).await, ["ok"]);
    let mut dump = BTreeMap::new();
    for table in all("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name".to_owned()).await {
        let columns = all(format!("SELECT name FROM pragma_table_info('{table}')")).await;
        let quoted: Vec<_> = columns.iter().map(|column| format!("quote(\"{column}\")")).collect();
        let mut lines = all(format!("SELECT {} FROM \"{table}\"", quoted.join(" || ',' || "))).await;
        lines.sort_unstable();
        dump.insert(table, lines);
    }
    db.close().await.unwrap();
    dump
}

/// The drill: a backup amid traffic holds everything that was answered before it began, and works elsewhere.
#[tokio::test]
async fn a_backup_under_load_is_restored_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let (data, elsewhere) = (folder.path().join("data"), folder.path().join("elsewhere"));
    let server = Server::start(&data, None).await;
    let door = Door::new(server.base.clone());
    let mut people = Vec::new();
    for number in 0..4 {
        people.push(Person::sign_up(&door, "수미", number).await);
    }
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut load = JoinSet::new();
    for person in people.clone() {
        let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
        load.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let room = person.make_room().await;
                answered.fetch_add(1, Ordering::Relaxed);
                person.delete(&format!("/rooms/{room}/")).await.ok();
            }
        });
    }
    let mut files = Vec::new();
    for number in 0..3 {
        let before = answered.load(Ordering::Relaxed);
        let file = folder.path().join(format!("{number}.db"));
        let done = task::spawn_blocking({
            let (data, file) = (data.clone(), file.clone());
            move || back_up(&data, &file)
        });
        assert!(done.await.unwrap().status.success());
        let after = answered.load(Ordering::Relaxed);
        let rooms = rows(&file).await["room"].len() as u64;
        assert!((before..=after + people.len() as u64).contains(&rooms), "{before} {rooms} {after}");
        files.push(file);
    }
    stop.store(true, Ordering::Relaxed);
    load.join_all().await;
    assert_eq!(fs::metadata(&files[0]).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!back_up(&data, &files[0]).status.success(), "an existing file is overwritten");
    let room = people[0].make_room().await;
    assert!(server.end(End::Terminated).await.success());
    let last = folder.path().join("last.db");
    let done = back_up(&data, &last);
    assert!(done.status.success(), "{done:?}");
    assert_eq!(rows(&last).await, rows(&data.join("solgik.db")).await);

    fs::create_dir(&elsewhere).unwrap();
    fs::copy(&last, elsewhere.join("solgik.db")).unwrap();
    fs::copy(data.join("secret"), elsewhere.join("secret")).unwrap();
    let restored = Server::start(&elsewhere, None).await;
    let sumi = Door::new(restored.base.clone()).with_token(&people[0].token);
    assert_eq!(sumi.get("/rooms/check/").await.ok()["id"], room);
    assert!(binary(&elsewhere, None).args(["ledger", "verify"]).output().unwrap().status.success());
    assert!(restored.end(End::Terminated).await.success());
}
