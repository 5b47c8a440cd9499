//! Threats that no feature's own file is the place for. The test of row N of the threat table has `threat_N_` in its name,
//! wherever it stands; [`every_threat_has_its_test`] prints where, and fails if a row has none.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use futures_util::future::join_all;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Method;
use serde_json::{Value, json};
use solgik::accounts::recovery;
use tokio::{task::JoinSet, time::timeout};

use crate::support::{Door, PASSWORD, Person, Reply, TestApp, binary};

const LIMIT: Duration = Duration::from_secs(30);

/// Threats that are known and counted.
const THREATS: std::ops::RangeInclusive<u32> = 1..=27;

#[test]
fn every_threat_has_its_test() {
    let mut found: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    let mut folders: Vec<PathBuf> = vec!["src".into(), "tests".into()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(&folder)).unwrap() {
            let path = path.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read(&path).unwrap();
            for line in String::from_utf8_lossy(&text).lines() {
                let Some((_, name)) = line.split_once(concat!("fn thr", "eat_")) else { continue };
                let number = name.split('_').next().unwrap().parse().unwrap();
                let name = name.split('(').next().unwrap();
                found.entry(number).or_default().push(format!("{}: threat_{name}", path.display()));
            }
        }
    }
    for (number, tests) in &found {
        println!("{number}: {tests:#?}");
    }
    let open: Vec<_> = THREATS.filter(|number| !found.contains_key(number)).collect();
    assert!(open.is_empty(), "without a test: {open:?}");
    assert!(found.keys().all(|number| THREATS.contains(number)), "no such threat");
}

async fn sign_in(door: &Door, email: &str, password: &str) -> Reply {
    door.post("/rest-auth/login/", json!({"email": email, "password": password})).await
}

#[tokio::test]
async fn threat_1_a_flood_of_sign_ins_is_turned_away_and_nobody_else_notices() {
    let cost = [("auth.hash_memory_kib", "19456"), ("auth.hash_passes", "2"), ("auth.hash_wait_ms", "300")];
    let app = TestApp::with(&cost).await;
    let hana = app.person("하나").await;
    let mut socket = hana.connect().await;
    socket.hello().await;
    let most = thread::available_parallelism().map_or(1, |cores| (cores.get() - 1).max(1));
    let passwords = app.app.auth.passwords();
    let flood = join_all((0..300).map(|_| sign_in_status(&app, &hana.email)));
    let others = async {
        for _ in 0..20 {
            socket.call("whoami", json!({})).await.unwrap();
            assert!(passwords.load().0 <= most, "{:?}", passwords.load());
        }
    };
    let (statuses, ()) = tokio::join!(flood, others);
    assert!(statuses.contains(&503) && statuses.contains(&200), "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 503].contains(status)), "{statuses:?}");

    // Whoever goes away leaves nothing running but what had begun.
    let mut gone = JoinSet::new();
    for _ in 0..50 {
        let (door, email) = (Door::clone(&app), hana.email.clone());
        gone.spawn(async move { sign_in(&door, &email, PASSWORD).await });
    }
    while passwords.load().0 == 0 {
        tokio::task::yield_now().await;
    }
    gone.abort_all();
    let calm = async {
        while passwords.load() != (0, 0) {
            assert!(passwords.load().0 <= most, "{:?}", passwords.load());
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, calm).await.unwrap();
    socket.close().await;
    app.stop().await;
}

async fn sign_in_status(door: &Door, email: &str) -> u16 {
    let reply = sign_in(door, email, PASSWORD).await;
    if reply.status == 503 {
        reply.refused(503, "overloaded");
        assert!(reply.header("retry-after").parse::<u64>().unwrap() >= 1);
    }
    reply.status.as_u16()
}

#[tokio::test]
async fn threat_3_a_forged_address_is_counted_as_who_wrote_it() {
    let strict = [("limits.exempt_loopback", "false"), ("limits.login_per_address", "2/300")];
    let try_as = async |app: &TestApp, forwarded: &str, number: u32| {
        let request = app.request(Method::POST, "/rest-auth/login/").header("x-forwarded-for", forwarded);
        let body = json!({"email": format!("nobody{number}@example.com"), "password": PASSWORD});
        Reply::to(request.json(&body)).await.status.as_u16()
    };
    let behind_proxy = [strict.as_slice(), &[("server.trusted_proxies", "127.0.0.1")]].concat();
    let app = TestApp::with(&behind_proxy).await;
    for (number, (forwarded, status)) in [
        ("198.51.100.7", 400),
        ("198.51.100.7", 400),
        ("198.51.100.7", 429),
        // What stands left of the proxy's own entry is the client's invention.
        ("203.0.113.9, 198.51.100.7", 429),
        ("127.0.0.1, 198.51.100.7", 429),
        ("198.51.100.7, 203.0.113.9", 400),
        ("2001:db8:1:2::1", 400),
        ("2001:db8:1:2::2", 400),
        ("2001:db8:1:2:ffff::3", 429),
        ("2001:db8:1:3::1", 400),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(try_as(&app, forwarded, number as u32).await, status, "{number}: {forwarded}");
    }
    app.stop().await;
    let app = TestApp::with(&strict).await;
    for (number, status) in [(1, 400), (2, 400), (3, 429), (4, 429)] {
        assert_eq!(try_as(&app, &format!("198.51.100.{number}"), number).await, status, "{number}");
    }
    app.stop().await;
}

#[tokio::test]
async fn threat_7_a_token_that_is_not_ours_opens_no_door() {
    const SECRET: &str = "a secret of the test, long enough";
    let app = TestApp::with(&[("auth.secret", SECRET)]).await;
    let hana = app.signed_up("하나").await;
    hana.get("/rooms/check/").await.ok();
    let kid = jsonwebtoken::decode_header(&hana.token).unwrap().kid;
    let claims = jsonwebtoken::dangerous::insecure_decode::<Value>(&hana.token).unwrap().claims;
    let forge = |alg, change: &dyn Fn(&mut Value), secret: &str| {
        let mut claims = claims.clone();
        change(&mut claims);
        let header = Header { kid: kid.clone(), ..Header::new(alg) };
        jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
    };
    let sound = forge(Algorithm::HS256, &|_| {}, SECRET);
    app.with_token(&sound).get("/rooms/check/").await.ok();
    let mut bad = vec![
        forge(Algorithm::HS512, &|_| {}, SECRET),
        forge(Algorithm::HS256, &|_| {}, "another secret, which is long enough"),
        forge(Algorithm::HS256, &|claims| claims["aud"] = json!("elsewhere"), SECRET),
        forge(Algorithm::HS256, &|claims| claims["iss"] = json!("elsewhere"), SECRET),
        forge(Algorithm::HS256, &|claims| claims["typ"] = json!("reset"), SECRET),
        forge(Algorithm::HS256, &|claims| claims["exp"] = json!(1_000_000_000), SECRET),
        forge(Algorithm::HS256, &|claims| claims["sid"] = json!(i64::MAX), SECRET),
        forge(Algorithm::HS256, &|claims| claims["sub"] = json!("1 OR 1=1"), SECRET),
    ];
    let parts: Vec<_> = sound.split('.').collect();
    // {"alg":"none"} and {"alg":"RS256"}, with our own signature and with none.
    for header in ["eyJhbGciOiJub25lIn0", "eyJhbGciOiJSUzI1NiJ9"] {
        bad.push(format!("{header}.{}.", parts[1]));
        bad.push(format!("{header}.{}.{}", parts[1], parts[2]));
    }
    for index in (0..sound.len() - 1).step_by(7) {
        let mut flipped = sound.clone().into_bytes();
        flipped[index] ^= 1;
        bad.push(String::from_utf8(flipped).unwrap());
    }
    for token in bad {
        let reply = app.with_token(&token).get("/rooms/check/").await;
        assert_eq!(reply.status, 401, "{token}");
        assert!(reply.header("www-authenticate").starts_with("JWT"), "{token}");
    }
    app.stop().await;
}

#[tokio::test]
async fn threat_8_no_token_outlives_what_ends_it() {
    const NEW: &str = "eight loud larches";
    let app = TestApp::start().await;
    for end in ["logout", "change", "reset", "deletion"] {
        let hana = app.signed_up("하나").await;
        let other = hana.signed_in_again(&app.app).await;
        let (mut a, mut b) = (hana.connect().await, other.connect().await);
        a.hello().await;
        b.hello().await;
        match end {
            "logout" => drop(other.post("/rest-auth/logout/", json!({})).await.bare(200)),
            "change" => {
                let body = json!({"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW});
                hana.post("/rest-auth/password/change/", body).await.bare(200);
            }
            "reset" => {
                let link = recovery::reset_link(&app.app, &hana.email).await.unwrap();
                let part = |name: &str| link.split(name).nth(1).unwrap().split('&').next().unwrap().to_owned();
                let body =
                    json!({"uid": part("uid="), "token": part("token="), "new_password1": NEW, "new_password2": NEW});
                app.post("/rest-auth/password/reset/confirm/", body).await.bare(200);
            }
            _ => drop(hana.delete(&format!("/accounts/{}/", hana.id)).await.ok()),
        }
        let code = if end == "deletion" { 4505 } else { 4503 };
        assert_eq!(b.expect_close().await.0, code, "{end}");
        other.get("/rooms/check/").await.refused(401, "session_ended");
        other.post("/ws/ticket/", json!({})).await.refused(401, "session_ended");
        if ["logout", "change"].contains(&end) {
            hana.get("/rooms/check/").await.ok();
            a.call("whoami", json!({})).await.unwrap();
            a.close().await;
        } else {
            assert_eq!(a.expect_close().await.0, code, "{end}");
            hana.get("/rooms/check/").await.refused(401, "session_ended");
        }
    }
    app.stop().await;
}

#[tokio::test]
async fn threat_19_browsers_are_told_to_stay_with_tls_where_a_proxy_says_that_there_is_some() {
    let behind_proxy = TestApp::with(&[("server.trusted_proxies", "127.0.0.1")]).await;
    let alone = TestApp::start().await;
    for (app, scheme, expected) in [
        (&behind_proxy, "https", "max-age=31536000"),
        (&behind_proxy, "http", ""),
        // Anybody can write a header.
        (&alone, "https", ""),
    ] {
        for path in ["/", "/livez", "/nowhere", "/assets/solgik-client.js"] {
            let reply = Reply::to(app.request(Method::GET, path).header("x-forwarded-proto", scheme)).await;
            assert_eq!(reply.header("strict-transport-security"), expected, "{path} {scheme}");
        }
    }
    behind_proxy.stop().await;
    alone.stop().await;
}

#[tokio::test]
async fn threat_20_a_text_is_only_a_text() {
    let app = TestApp::start().await;
    let (hana, sumi) = (app.signed_up("하나").await, app.signed_up("수미").await);
    let profile = format!("/accounts/{}/", hana.id);
    let many = "😀".repeat(262_144);
    for bad in ["a\r\nSet-Cookie: x=1", "\u{202e}gnp.exe", "a\u{2066}b", "\u{0}", "a\u{7f}", "a\u{1b}[31m", &many] {
        let shown: String = bad.chars().take(20).collect();
        for field in ["last_name", "first_name"] {
            let reply = hana.put(&profile, json!({field: bad})).await;
            assert!([400, 413].contains(&reply.status.as_u16()), "{shown:?} {reply:?}");
            assert!(reply.status == 413 || reply[field].is_array(), "{shown:?} {reply:?}");
        }
        let reply = hana.post("/rooms/", json!({"name": bad})).await;
        assert!([400, 413].contains(&reply.status.as_u16()), "{shown:?} {reply:?}");
    }
    let script = "<script>alert('1')</script>";
    let family = "<b onload=x>\"&amp;";
    let changed = hana.put(&profile, json!({"first_name": script, "last_name": family})).await;
    assert_eq!((&changed.ok()["first_name"], &changed.ok()["last_name"]), (&json!(script), &json!(family)));
    let body = json!({"name": script, "description": "한글 العربية 😀 <img src=x onerror=alert(1)>"});
    let room = hana.post("/rooms/", body.clone()).await.ok();
    assert_eq!((&room["name"], &room["description"]), (&body["name"], &body["description"]));
    let list = sumi.get("/rooms/").await;
    assert_eq!((list.header("content-type"), list.header("x-content-type-options")), ("application/json", "nosniff"));
    sumi.enter(room["id"].as_i64().unwrap()).await;
    let (mut a, mut b) = (hana.connect().await, sumi.connect().await);
    a.hello().await;
    assert!(b.hello().await["room"]["members"].to_string().contains("<script>"));
    a.call("room.cheer", json!({"text": script})).await.unwrap();
    assert_eq!(b.expect("room.cheer").await["d"]["text"], script);
    for text in ["a\u{202e}b", "a\u{0}b", &many[..4 * 1000]] {
        a.call("room.cheer", json!({"text": text})).await.unwrap_err();
        a.call("goal.set", json!({"text": text})).await.unwrap_err();
    }
    a.close().await;
    b.close().await;
    app.stop().await;
}

/// The binary at work, and everything that it has written to its log.
struct Logged {
    process: std::process::Child,
    door: Door,
    log: Arc<Mutex<String>>,
    reader: thread::JoinHandle<()>,
}

impl Logged {
    fn start(data: &Path, environment: &[(&str, &str)]) -> Self {
        let mut command = binary(data, None);
        command.args(["serve", "--listen", "127.0.0.1:0"]).envs(environment.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap());
        let log = Arc::<Mutex<String>>::default();
        let (tell, told) = mpsc::channel();
        let reader = thread::spawn({
            let log = Arc::clone(&log);
            move || {
                let mut line = String::new();
                while lines.read_line(&mut line).unwrap() > 0 {
                    if let Some((_, address)) = line.split_once("serving on ") {
                        let end = address.find(|c: char| c == '"' || c.is_whitespace()).unwrap_or(address.len());
                        tell.send(address[..end].to_owned()).unwrap();
                    }
                    log.lock().unwrap().push_str(&line);
                    line.clear();
                }
            }
        });
        let base = told.recv_timeout(LIMIT).expect("it does not serve");
        Self { process, door: Door::new(base), log, reader }
    }

    /// Ends it and answers its whole log.
    fn end(mut self) -> String {
        let pid = self.process.id().to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(self.process.wait().unwrap().success());
        self.reader.join().unwrap();
        std::mem::take(&mut *self.log.lock().unwrap())
    }
}

#[tokio::test]
async fn threat_24_no_secret_reaches_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let server = Logged::start(
        folder.path(),
        &[
            ("SOLGIK__LOG__FILTER", "debug,solgik=trace"),
            ("SOLGIK__LOG__FORMAT", "json"),
            ("SOLGIK__AUTH__SECRET", "canary-of-the-installation-0123456789"),
            ("SOLGIK__MAIL__SMTP_URL", "smtp://user:canary-of-the-mail@127.0.0.1"),
        ],
    );
    let door = server.door.clone();
    let hana = Person::sign_up(&door, "하나", 1).await;
    sign_in(&door, &hana.email, "canary-wrong-password").await.refused(400, "wrong_credentials");
    let ticket = hana.post("/ws/ticket/", json!({})).await.ok()["ticket"].as_str().unwrap().to_owned();
    let room = json!({"name": "방", "password": "canary-of-the-room"});
    let room = hana.post("/rooms/", room).await.ok()["id"].as_i64().unwrap();
    let sumi = Person::sign_up(&door, "수미", 2).await;
    let enter = json!({"action": "enter", "password": "canary-guess"});
    sumi.post(&format!("/rooms/{room}/"), enter).await.refused(403, "wrong_password");
    for path in ["/certification/", "/accounts/find/", "/registration/", "/accounts/certification/"] {
        hana.request(Method::POST, &format!("{path}CANARY-KEY-1/")).send().await.unwrap();
        hana.get(&format!("{path}CANARY-KEY-1/")).await;
    }
    door.post("/rest-auth/password/reset/", json!({"email": hana.email})).await.bare(200);
    let confirm = json!({"uid": "1", "token": "canary-reset", "new_password1": PASSWORD, "new_password2": PASSWORD});
    door.post("/rest-auth/password/reset/confirm/", confirm).await.refused(400, "reset_invalid");
    let mut by_ticket =
        door.open("/ws", &[("sec-websocket-protocol", &format!("solgik.v1, ticket.{ticket}"))]).await.unwrap();
    by_ticket.hello().await;
    let refused = door.open(&format!("/ws?token={}", hana.token), &[]).await.unwrap();
    let mut by_message = door.open("/ws", &[]).await.unwrap();
    by_message.call("auth", json!({"token": hana.token})).await.unwrap();
    by_message.call("nonsense", json!({"token": hana.token, "password": "canary-frame"})).await.unwrap_err();
    hana.post("/rest-auth/logout/", json!({"token": "canary-body"})).await.bare(200);
    drop((by_ticket, refused, by_message));
    let log = server.end();
    assert!(log.contains("answered"), "nothing was logged");
    for line in log.lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
        for secret in ["canary", "CANARY", PASSWORD, &hana.token, hana.token.rsplit('.').next().unwrap(), &ticket] {
            assert!(!line.contains(secret), "{secret}: {line}");
        }
    }
}

#[tokio::test]
async fn threat_25_without_its_database_the_service_refuses_and_phases_ring() {
    let app = TestApp::start().await;
    let hana = app.signed_up("하나").await;
    let mut socket = hana.connect().await;
    socket.hello().await;
    socket.call("timer.start", json!({"total_time": 0, "work_time": 1, "break_time": 1})).await.unwrap();
    socket.expect("timer.started").await;
    app.app.clock.advance(Duration::from_secs(60));
    assert_eq!(socket.expect("timer.phase").await["d"]["phase"], "break");
    app.app.db.close().await;
    for (path, body) in
        [("/rooms/", json!({"name": "방"})), ("/rest-auth/login/", json!({"email": "a@b.example", "password": "x"}))]
    {
        let reply = hana.post(path, body).await;
        reply.refused(503, "unavailable");
        assert!(reply.header("retry-after").parse::<u64>().unwrap() >= 1);
    }
    app.get("/readyz").await.refused(503, "unavailable");
    app.app.clock.advance(Duration::from_secs(60));
    assert_eq!(socket.expect("timer.phase").await["d"]["phase"], "work");
    // A token that was not looked up lately can't be checked: closed, not open.
    let stranger = app.with_token(&hana.token.replace('.', "x."));
    assert_eq!(stranger.get("/rooms/").await.status, 401);
}
