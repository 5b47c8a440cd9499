//! A million people with a year behind them, on PostgreSQL: what a board's page, one's own rank, a keyword and the writing
//! of a segment cost.
//!
//! `.ci/ranking` starts a private PostgreSQL and runs this: it fills a database by the schema's first steps, lets the later
//! ones find what is there, starts the server, asks it each question many times, and prints how long the answers took and,
//! from the database's own log, every statement with the plan by which it was executed. `RANKING_USERS`, `RANKING_ROOMS`,
//! `RANKING_DAYS` and `RANKING_DAILY` (people who study on one day of the past) change the size.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a measurement")]
#![allow(clippy::print_stdout, reason = "its answer")]
#![allow(unreachable_pub, reason = "nothing is reachable from outside of a measurement")]

mod support;

use std::{
    env, fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use migration::{Migrator, MigratorTrait};
use reqwest::{Client, Method};
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection};
use serde_json::{Value, json};
use support::Server;

/// How often each question is asked.
const TIMES: usize = 40;

/// Steps of the schema that were there before names and people were counted.
const FIRST_STEPS: u32 = 2;

/// A hash of two numbers in 0..1000000, the same every time.
const CHANCE: &str = "((hashint8extended({}, {}) & 9223372036854775807) % 1000000)";

const LAST: &str =
    "'김','이','박','최','정','강','조','윤','장','임','한','오','서','신','권','황','안','송','류','홍'";
const FIRST: &str = "'수','미','민','서','지','현','하','나','은','영','준','우','도','윤','예','린','시','아','유','진',\
                     '성','호','재','희','태','경','다','인','주','원'";
const ROOM: &str =
    "'새벽','아침','저녁','심야','주말','고시','수능','토익','코딩','독서','영어','수학','국어','의대','공무원'";
const KIND: &str = "'공부방','스터디','독서실','자습실','모임','열람실','캠스터디','도서관'";

fn size(name: &str, default: i64) -> i64 {
    env::var(name).map_or(default, |size| size.parse().unwrap())
}

fn chance(a: &str, b: &str) -> String {
    CHANCE.replacen("{}", a, 1).replacen("{}", b, 1)
}

/// One of a list, by chance.
fn one_of(list: &str, chance: &str) -> String {
    let length = list.split(',').count();
    format!("(ARRAY[{list}])[1 + {chance} % {length}]")
}

#[tokio::main]
async fn main() {
    let server = env::var("SOLGIK_TEST_POSTGRES").expect("SOLGIK_TEST_POSTGRES says where: run .ci/ranking");
    let name = format!("solgik_ranking_{}", std::process::id());
    let maintenance = connect(&server).await;
    maintenance.execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();
    let url = format!("{}/{name}", server.rsplit_once('/').unwrap().0);
    measure(&url, &maintenance, &name).await;
    maintenance.execute_unprepared(&format!("DROP DATABASE {name} WITH (FORCE)")).await.unwrap();
}

async fn connect(url: &str) -> DatabaseConnection {
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    Database::connect(options).await.unwrap()
}

async fn run(db: &DatabaseConnection, statement: &str) {
    db.execute_unprepared(statement).await.unwrap();
}

async fn timed(what: &str, work: impl Future<Output = ()>) {
    let began = Instant::now();
    work.await;
    println!("{:>9.1} s  {what}", began.elapsed().as_secs_f64());
}

async fn measure(url: &str, maintenance: &DatabaseConnection, name: &str) {
    let (users, rooms) = (size("RANKING_USERS", 1_000_000), size("RANKING_ROOMS", 100_000));
    let db = connect(url).await;
    Migrator::up(&db, Some(FIRST_STEPS)).await.unwrap();
    fill(&db, users, rooms).await;
    timed("later steps of the schema, over all that", async { Migrator::up(&db, None).await.unwrap() }).await;
    timed("vacuum and analyse", run(&db, "VACUUM ANALYZE")).await;
    let data = tempfile::tempdir().unwrap();
    let token = support::seed(solgik(url, data.path()), data.path(), 1, 0).remove(0);
    // Somebody in the middle.
    let me = "SELECT MAX(id) FROM account";
    let score = format!(
        "INSERT INTO score (period, first_day, account_id, points, listed)
            SELECT DISTINCT ON (period) period, first_day, ({me}), 120, TRUE FROM score ORDER BY period, first_day DESC"
    );
    db.execute_unprepared(&score).await.unwrap();
    let sizes = "SELECT relname, pg_total_relation_size(oid) / 1048576 FROM pg_class
        WHERE relname IN ('account', 'score', 'account_gram', 'room_gram', 'tally') ORDER BY relname";
    let sizes = db.query_all_raw(sea_orm::Statement::from_string(db.get_database_backend(), sizes)).await.unwrap();
    for row in sizes {
        let (table, size): (String, i64) = (row.try_get_by_index(0).unwrap(), row.try_get_by_index(1).unwrap());
        println!("{size:>9} MiB {table} with its indexes");
    }

    let questions = questions(users);
    println!("\n{:>8} {:>8} {:>8}   milliseconds: half, nine of ten, most", "p50", "p90", "max");
    {
        let server = support::serve(solgik(url, data.path()));
        for question in &questions {
            ask(&server, &token, question).await;
        }
        command(&server, &token).await;
    }
    let Ok(log) = env::var("RANKING_LOG") else { return };
    for setting in ["log_min_duration = 0", "log_analyze = on", "log_timing = on"] {
        maintenance.execute_unprepared(&format!("ALTER DATABASE {name} SET auto_explain.{setting}")).await.unwrap();
    }
    let server = support::serve(solgik(url, data.path()));
    for question in &questions {
        println!("\n== {question}");
        get(&server, &token, question).await;
        let before = fs::metadata(&log).unwrap().len();
        get(&server, &token, question).await;
        plans(&log, before);
    }
}

/// Fills without what every row would have to be entered into, which is made at once at the end.
async fn fill(db: &DatabaseConnection, users: i64, rooms: i64) {
    let text = async |query: &str| {
        let rows = db.query_all_raw(sea_orm::Statement::from_string(db.get_database_backend(), query)).await.unwrap();
        rows.iter().map(|row| row.try_get_by_index::<String>(0).unwrap()).collect::<Vec<_>>()
    };
    let indexes = text("SELECT indexdef FROM pg_indexes WHERE tablename = 'score' AND indexname LIKE 'ix_%'").await;
    for name in text("SELECT indexname::text FROM pg_indexes WHERE tablename = 'score' AND indexname LIKE 'ix_%'").await
    {
        run(db, &format!("DROP INDEX {name}")).await;
    }
    // Foreign keys are looked up row by row.
    run(db, "SET session_replication_role = replica").await;
    rows(db, users, rooms).await;
    run(db, "SET session_replication_role = DEFAULT").await;
    timed("indexes of scores", async {
        for index in indexes {
            run(db, &index).await;
        }
    })
    .await;
}

async fn rows(db: &DatabaseConnection, users: i64, rooms: i64) {
    let (days, daily) = (size("RANKING_DAYS", 365), size("RANKING_DAILY", 5000));
    let (last, first) = (one_of(LAST, &chance("n", "1")), one_of(FIRST, &chance("n", "2")));
    let second = one_of(FIRST, &chance("n", "3"));
    let people = format!(
        "INSERT INTO account (email, email_key, password_hash, last_name, first_name, search_name, gender, birth_date, staff,
            hidden, epoch, created_at)
        SELECT 'p' || n || '@example.com', 'p' || n || '@example.com', 'x', last, first,
            last || first || chr(10) || first || last || chr(10) || first || ' ' || last, 1, '2000-01-01', FALSE,
            {} < 10000, 0, 1750000000000
        FROM (SELECT n, {last} AS last, {first} || {second} AS first FROM generate_series(1, {users}) n) people",
        chance("n", "4")
    );
    let (room, kind) = (one_of(ROOM, &chance("n", "5")), one_of(KIND, &chance("n", "6")));
    let houses = format!(
        "INSERT INTO room (name, search_name, description, created_at)
        SELECT name, name, '', 1750000000000 FROM (SELECT {room} || ' ' || {kind} || ' ' || n AS name
            FROM generate_series(1, {rooms}) n) rooms"
    );
    // Today three people of ten have studied already, on each day of the past only some.
    let today = "(FLOOR(EXTRACT(EPOCH FROM NOW() AT TIME ZONE 'Asia/Seoul') / 86400)::int)";
    let scores = format!(
        "INSERT INTO score (period, first_day, account_id, points, listed)
        SELECT 0, day, id, 1 + {} % 600, NOT hidden FROM (
            SELECT DISTINCT day, 1 + {} % {users} AS id
            FROM generate_series({today} - {days} + 1, {today}) day,
                generate_series(1, CASE WHEN day = {today} THEN {users} * 35 / 100 ELSE {daily} END) k
        ) days JOIN account USING (id)",
        chance("id", "day"),
        chance("k", "day"),
    );
    let windows = [
        ("week", "1", "first_day - (first_day + 3) % 7"),
        ("month", "2", "DATE_TRUNC('month', DATE '1970-01-01' + first_day)::date - DATE '1970-01-01'"),
        ("all time", "3", "0"),
    ];
    for (what, statement) in [("people", people), ("rooms", houses), ("days of a year", scores)] {
        timed(what, run(db, &statement)).await;
    }
    for (what, period, first_day) in windows {
        let sums = format!(
            "INSERT INTO score (period, first_day, account_id, points, listed)
            SELECT {period}, {first_day}, account_id, SUM(points), BOOL_AND(listed) FROM score WHERE period = 0 GROUP BY 2, 3"
        );
        timed(what, run(db, &sums)).await;
    }
    let totals = "INSERT INTO day_total (account_id, day, work_ms, points)
        SELECT account_id, first_day, points * 60000, points FROM score WHERE period = 0";
    // As `study::buckets` has them.
    let tally = "INSERT INTO tally (period, first_day, bucket, accounts)
        SELECT period, first_day, (shift << 7) + (points >> shift), SUM(accounts)
        FROM (SELECT period, first_day, points, COUNT(*) AS accounts, GREATEST(FLOOR(LOG(2, points))::int - 7, 0) AS shift
            FROM score WHERE listed AND points > 0 GROUP BY 1, 2, 3) s
        GROUP BY 1, 2, 3";
    for (what, statement) in [("totals of days", totals), ("tallies", tally)] {
        timed(what, run(db, statement)).await;
    }
}

fn questions(users: i64) -> Vec<String> {
    let mut questions = Vec::new();
    for period in ["day", "week", "month", "all"] {
        let board = format!("/accounts/?order_by=point&period={period}");
        questions.push(board.clone());
        // In the middle of those with points, and at the end, among those without.
        questions.push(format!("{board}&_page={}", users / 10 / 20));
        questions.push(format!("{board}&_page={}", users * 98 / 100 / 20));
    }
    let plain =
        ["/accounts/".to_owned(), format!("/accounts/?_page={}", users / 2 / 20), "/accounts/?order_by=name".into()];
    questions.extend(plain);
    for keyword in ["김", "수미", "김수미", "수미 김", "수미수미", "p777@example.com", "%_"] {
        questions.push(format!("/accounts/?kw={}", encoded(keyword)));
    }
    questions.extend(["/rooms/".to_owned(), "/rooms/?_page=5000".to_owned()]);
    for keyword in ["방", "새벽", "새벽 공부방", "공무원 열람실", "자습실 7777", "없는 방이름"] {
        questions.push(format!("/rooms/?keyword={}", encoded(keyword)));
    }
    questions
}

fn encoded(keyword: &str) -> String {
    let pair = serde_urlencoded::to_string([("", keyword)]).unwrap();
    pair.trim_start_matches('=').to_owned()
}

fn solgik(url: &str, data: &Path) -> Command {
    let mut command = support::solgik(data);
    command.env("SOLGIK__DATABASE__URL", url).env("SOLGIK__ADMIN__LISTEN", "");
    command
}

async fn send(
    server: &Server,
    token: &str,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> (Duration, Value, String) {
    let client = Client::new();
    // A connection that is there already, as a client's is.
    client.get(format!("http://{}/livez", server.address)).send().await.unwrap().bytes().await.unwrap();
    let mut request = client.request(method, format!("http://{}{path}", server.address));
    request = request.header("authorization", format!("JWT {token}"));
    if let Some(body) = body {
        request = request.json(&body);
    }
    let began = Instant::now();
    let response = request.send().await.unwrap();
    let total = response.headers().get("x-total-count").map_or("", |total| total.to_str().unwrap()).to_owned();
    let status = response.status();
    let answer: Value = response.json().await.unwrap();
    let took = began.elapsed();
    assert!(status.is_success(), "{path}: {status} {answer}");
    (took, answer, total)
}

async fn get(server: &Server, token: &str, path: &str) -> (Duration, Value, String) {
    send(server, token, Method::GET, path, None).await
}

async fn ask(server: &Server, token: &str, path: &str) {
    let mut times = Vec::new();
    let (mut rows, mut total, mut rank) = (0, String::new(), Value::Null);
    for _ in 0..TIMES {
        let (took, answer, count) = get(server, token, path).await;
        times.push(took);
        (rows, total, rank) = (answer["data"].as_array().unwrap().len(), count, answer["me"]["rank"].clone());
    }
    let rank = if rank.is_null() { String::new() } else { format!(", my rank {rank}") };
    line(times, &format!("{path}: {rows} of {total}{rank}"));
}

/// A pause writes a segment, its day and four scores, and tells them.
async fn command(server: &Server, token: &str) {
    let post = async |command: &str, body: Value| {
        let path = format!("/accounts/timer/{command}/");
        send(server, token, Method::POST, &path, Some(body)).await.0
    };
    post("start", json!({"total_time": 0, "work_time": 25, "break_time": 5})).await;
    let (mut pauses, mut resumes) = (Vec::new(), Vec::new());
    for _ in 0..TIMES {
        pauses.push(post("pause", json!({})).await);
        resumes.push(post("restart", json!({})).await);
    }
    line(pauses, "POST /accounts/timer/pause/: writes a segment");
    line(resumes, "POST /accounts/timer/restart/: writes none");
}

fn line(mut times: Vec<Duration>, what: &str) {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)].as_secs_f64() * 1000.0;
    println!("{:>8.2} {:>8.2} {:>8.2}   {what}", at(50), at(90), at(100));
}

/// What the database says of the statements since `before`.
fn plans(log: &str, before: u64) {
    // Its log is written by other processes.
    thread::sleep(Duration::from_millis(200));
    let text = fs::read(log).unwrap();
    let text = String::from_utf8_lossy(&text[usize::try_from(before).unwrap()..]).into_owned();
    for entry in text.split("LOG:  duration: ").skip(1) {
        let entry = entry.split("\n20").next().unwrap();
        // Sessions are looked up by every request, and what waits to be said by everybody.
        if ["\"session\"", "\"outbox\"", "\"run\"", "seaql_migrations"].iter().any(|table| entry.contains(table)) {
            continue;
        }
        println!("{}", entry.trim_end());
    }
}
