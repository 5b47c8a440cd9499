//! Redis for tests: the one that the run has, and private ones that may be killed.

use std::{
    env,
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Duration,
};

use redis::FromRedisValue;
use tempfile::TempDir;
use tokio::time::{interval, timeout};

/// A `redis://…` address. Without it, what needs Redis says so and is left out.
const SERVER: &str = "SOLGIK_TEST_REDIS";

const LIMIT: Duration = Duration::from_secs(20);
const PACE: Duration = Duration::from_millis(20);

/// The run's Redis, if it has one.
pub fn redis() -> Option<String> {
    let server = env::var(SERVER).ok();
    if server.is_none() {
        println!("left out: {SERVER} is not set");
    }
    server
}

/// A prefix that nobody else has.
pub fn prefix() -> String {
    format!("test-{:016x}", rand::random::<u64>())
}

/// A Redis of its own. Dropping it kills it.
pub struct RedisServer {
    pub port: u16,
    process: Child,
    arguments: Vec<String>,
    _folder: TempDir,
}

impl RedisServer {
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    async fn with(more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let dir = folder.path().to_str().unwrap().to_owned();
        let port_text = port.to_string();
        let fixed = ["--bind", "127.0.0.1", "--port", &port_text, "--save", "", "--dir", &dir];
        let arguments: Vec<String> = fixed.iter().chain(more).map(|argument| (*argument).to_owned()).collect();
        let mut server = Self { port, process: spawn(&arguments), arguments, _folder: folder };
        server.ready().await;
        server
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Kills it; what it held is gone, unless it was told to write it down.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again at the same address.
    pub async fn start_again(&mut self) {
        self.process = spawn(&self.arguments);
        self.ready().await;
    }

    /// Stops it without a word, or lets it go on.
    pub fn pause(&self, paused: bool) {
        let signal = if paused { "-STOP" } else { "-CONT" };
        assert!(Command::new("kill").args([signal, &self.process.id().to_string()]).status().unwrap().success());
    }

    /// Runs one command.
    pub async fn run<T: FromRedisValue>(&self, words: &[&str]) -> T {
        run(&self.url(), words).await
    }

    async fn ready(&mut self) {
        let answers = async {
            let mut pace = interval(PACE);
            loop {
                pace.tick().await;
                assert!(self.process.try_wait().unwrap().is_none(), "redis-server ends at once");
                let client = redis::Client::open(self.url()).unwrap();
                if let Ok(mut connection) = client.get_multiplexed_async_connection().await
                    && redis::cmd("PING").query_async::<String>(&mut connection).await.is_ok()
                {
                    return;
                }
            }
        };
        timeout(LIMIT, answers).await.expect("redis-server does not answer");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Three nodes, and perhaps a replica of each.
pub struct RedisCluster {
    pub nodes: Vec<RedisServer>,
}

impl RedisCluster {
    pub async fn start() -> Self {
        Self::with(0).await
    }

    /// With so many replicas of each node.
    pub async fn with(replicas: usize) -> Self {
        let mut nodes = Vec::new();
        for _ in 0..3 * (1 + replicas) {
            let bus = free_port().to_string();
            let enabled = ["--cluster-enabled", "yes", "--cluster-port", &bus, "--cluster-node-timeout", "2000"];
            nodes.push(RedisServer::with(&enabled).await);
        }
        let mut create = Command::new("redis-cli");
        create.args(["--cluster", "create"]);
        create.args(nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)));
        create.arg("--cluster-replicas").arg(replicas.to_string());
        let created = create.arg("--cluster-yes").output().unwrap();
        assert!(created.status.success(), "{created:?}");
        let cluster = Self { nodes };
        for node in &cluster.nodes {
            let whole = async {
                let mut pace = interval(PACE);
                while !node.run::<String>(&["CLUSTER", "INFO"]).await.contains("cluster_state:ok") {
                    pace.tick().await;
                }
            };
            timeout(LIMIT, whole).await.expect("the cluster is not whole");
            let follows = async {
                let mut pace = interval(PACE);
                while node.run::<String>(&["INFO", "replication"]).await.contains("master_link_status:down") {
                    pace.tick().await;
                }
            };
            timeout(LIMIT, follows).await.expect("a replica does not follow");
        }
        cluster
    }

    /// The node that answers for what is stored under `key`.
    pub async fn holder_of(&mut self, key: &str) -> &mut RedisServer {
        let slot: i64 = self.nodes[0].run(&["CLUSTER", "KEYSLOT", key]).await;
        for index in 0..self.nodes.len() {
            let node = &self.nodes[index];
            let role: String = node.run(&["INFO", "replication"]).await;
            let keys: i64 = node.run(&["CLUSTER", "COUNTKEYSINSLOT", &slot.to_string()]).await;
            if role.contains("role:master") && keys > 0 {
                return &mut self.nodes[index];
            }
        }
        panic!("nobody holds {key}");
    }

    pub fn url(&self) -> String {
        self.nodes.iter().map(RedisServer::url).collect::<Vec<_>>().join(",")
    }
}

/// Runs one command at `url`.
pub async fn run<T: FromRedisValue>(url: &str, words: &[&str]) -> T {
    let mut connection = redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap();
    let (name, arguments) = words.split_first().unwrap();
    redis::cmd(name).arg(arguments).query_async(&mut connection).await.unwrap()
}

/// Everything below `prefix` at `url` is `by` older.
pub async fn pass(url: &str, prefix: &str, by: Duration) {
    for url in url.split(',') {
        let mut connection = redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap();
        let keys: Vec<String> =
            redis::cmd("KEYS").arg(format!("{prefix}:*")).query_async(&mut connection).await.unwrap();
        for key in keys {
            let left: i64 = redis::cmd("PTTL").arg(&key).query_async(&mut connection).await.unwrap();
            if left >= 0 {
                let left = left - i64::try_from(by.as_millis()).unwrap();
                let () = redis::cmd("PEXPIRE").arg(&key).arg(left).query_async(&mut connection).await.unwrap();
            }
        }
    }
}

fn spawn(arguments: &[String]) -> Child {
    let mut command = Command::new("redis-server");
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// A port that nobody holds at this moment.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
