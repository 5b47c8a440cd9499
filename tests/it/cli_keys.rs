//! The operator's commands on product keys, beside a running server, and what the log says meanwhile.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, ChildStderr, Command, Output, Stdio},
};

use serde_json::json;
use tokio::task::{self, JoinHandle};

use crate::{
    product_keys::{KIT, OTHER_KIT, certified, delete, import, register, staff},
    support::{Door, TestApp},
};

/// `solgik` on the server's own data and database.
fn command(app: &TestApp) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_solgik"));
    command.arg("--data").arg(&app.app.config.data_dir);
    command.arg("--database-url").arg(app.app.config.database_url().expose());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs `solgik` to its end.
pub async fn solgik(app: &TestApp, arguments: &[&str], input: &str) -> Output {
    let mut command = command(app);
    command.args(arguments);
    let input = input.to_owned();
    let run = move || {
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    task::spawn_blocking(run).await.unwrap()
}

pub fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn keys_generate_prints_a_key_a_line() {
    let app = TestApp::start().await;
    let output = solgik(&app, &["keys", "generate", "3"], "").await;
    assert!(output.status.success(), "{output:?}");
    let keys: Vec<_> = text(&output.stdout).lines().collect();
    assert_eq!(keys.len(), 3);
    for key in keys {
        assert!(certified(&app, key).await, "{key}");
    }
    assert!(!solgik(&app, &["keys", "generate", "0"], "").await.status.success());
    app.stop().await;
}

#[tokio::test]
async fn keys_import_adds_what_devices_carry() {
    let app = TestApp::start().await;
    import(&app, &[OTHER_KIT]).await;
    let output = solgik(&app, &["keys", "import", "-"], "KIT1-2300\r\n\nKIT1-2301\nkit1-2300\nKIT1-2302").await;
    assert!(output.status.success(), "{output:?}");
    let said = text(&output.stderr);
    for line in ["line 3: this key is known already", "line 4: ", "imported: 2, known already: 2"] {
        assert!(said.contains(line), "{said}");
    }
    assert!(output.stdout.is_empty() && !said.contains("KIT1"), "{output:?}");
    assert!(certified(&app, KIT).await && certified(&app, "KIT1-2302").await);
    app.stop().await;
}

#[tokio::test]
async fn keys_import_refuses_a_file_with_a_mistake() {
    let app = TestApp::start().await;
    let file = app.app.config.data_dir.join("keys.txt");
    std::fs::write(&file, "KIT1-2300\nKIT 1\n").unwrap();
    let output = solgik(&app, &["keys", "import", file.to_str().unwrap()], "").await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("line 2"), "{output:?}");
    assert!(!certified(&app, KIT).await);
    app.stop().await;
}

#[tokio::test]
async fn keys_list_never_shows_a_key() {
    let app = TestApp::start().await;
    import(&app, &[KIT, OTHER_KIT]).await;
    let sumi = app.person("수미").await;
    register(&sumi, KIT).await.ok();
    let output = solgik(&app, &["keys", "list"], "").await;
    let lines: Vec<_> = text(&output.stdout).lines().map(|line| line.split('\t').collect::<Vec<_>>()).collect();
    assert_eq!(lines[0], ["id", "state", "account", "created_at", "registered_at"]);
    assert_eq!(lines[1][1..3], ["in use", &sumi.id.to_string()]);
    assert_eq!((lines[2][1], lines[2][2], lines[2][4]), ("free", "-", "-"));
    assert!(lines.len() == 3 && !text(&output.stdout).contains("KIT1"), "{output:?}");
    app.stop().await;
}

#[tokio::test]
async fn keys_revoke_removes_a_key() {
    let app = TestApp::start().await;
    import(&app, &[KIT]).await;
    let sumi = app.person("수미").await;
    register(&sumi, KIT).await.ok();
    assert!(solgik(&app, &["keys", "revoke", KIT], "").await.status.success());
    register(&sumi, KIT).await.refused(404, "key_not_found");
    assert_eq!(solgik(&app, &["keys", "revoke", KIT], "").await.status.code(), Some(1));
    app.stop().await;
}

#[tokio::test]
async fn healthcheck_tells_by_its_exit_code() {
    let app = TestApp::start().await;
    let address = app.base.strip_prefix("http://").unwrap().to_owned();
    let check = ["healthcheck", "--listen", &address];
    assert_eq!(solgik(&app, &check, "").await.status.code(), Some(0));
    app.app.drain.cancel();
    let output = solgik(&app, &check, "").await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("503"), "{output:?}");
    app.stop().await;
}

/// A second server on the same database, in a process of its own, that logs everything there is to log.
struct Talkative {
    process: Child,
    address: String,
    log: JoinHandle<String>,
}

impl Talkative {
    async fn start(app: &TestApp) -> Self {
        let mut command = command(app);
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        command.env("SOLGIK__LOG__FILTER", "trace").env("NO_COLOR", "1");
        let mut process = command.spawn().unwrap();
        let log = BufReader::new(process.stderr.take().unwrap());
        let (address, mut said, mut log) = task::spawn_blocking(|| address(log)).await.unwrap();
        // Read all along, or the server would wait for its log to be read.
        let log = task::spawn_blocking(move || {
            log.read_to_string(&mut said).unwrap();
            said
        });
        Self { process, address, log }
    }

    /// What it said in its life.
    async fn stop(mut self) -> String {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.log.await.unwrap()
    }
}

/// Where the server serves, and what it said until it told.
fn address(mut log: BufReader<ChildStderr>) -> (String, String, BufReader<ChildStderr>) {
    let mut said = String::new();
    loop {
        assert!(log.read_line(&mut said).unwrap() > 0, "the server ended: {said}");
        if let Some((_, rest)) = said.split_once("serving on ") {
            return (rest.split_whitespace().next().unwrap().to_owned(), said, log);
        }
    }
}

#[tokio::test]
async fn no_key_reaches_the_log() {
    let app = TestApp::start().await;
    import(&app, &["CANARY-KEY-1"]).await;
    let staff = staff(&app, "운영").await;
    let server = Talkative::start(&app).await;
    let mut door = Door::clone(&staff);
    door.base = server.address.clone();
    for key in ["CANARY-KEY-1", "CANARY-KEY-2", "CANARY!", "canary-key-1"] {
        for front in ["/certification", "/accounts/certification"] {
            door.get(&format!("{front}/{key}/")).await.ok();
        }
        register(&door, key).await;
        // Slips that lead nowhere carry the key all the same.
        for slip in ["/certification//", "/Registration/", "/accounts/productkey/", "/accounts/find/x/"] {
            door.get(&format!("{slip}{key}")).await.refused(404, "not_found");
        }
        delete(&door, json!({"key": key})).await;
    }
    let log = server.stop().await;
    assert!(log.contains("/certification/(key)") && log.contains("/registration/(key)"), "{log}");
    assert!(!log.to_uppercase().contains("CANARY"), "{log}");
    app.stop().await;
}
