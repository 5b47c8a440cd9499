//! Settings in layers: embedded defaults, the profile, a file, the environment, the command line.
//!
//! Promises that every key exists in `config/default.toml` with a comment, that an unknown key or a wrong type stops
//! the start with its name, and that secrets never print. Nothing here reads the clock, the network or a database.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use anyhow::{Context, bail};
use serde::{Deserialize, Deserializer, de};

const DEFAULT: &str = include_str!("../config/default.toml");
const DEVELOPMENT: &str = include_str!("../config/development.toml");
const PRODUCTION: &str = include_str!("../config/production.toml");
const PREFIX: &str = "SOLGIK__";

/// Which differences apply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Profile {
    /// Everything embedded, for a first look and for tests.
    #[default]
    Development,
    /// Refuses to start without what only an operator can give.
    Production,
}

/// What the command line says; it outranks every other layer.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Flags {
    /// Address of the public listener [default: 127.0.0.1:8000]
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Folder for the embedded database, the generated secret and mail [default: ./data]
    #[arg(long, global = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// postgres://… or sqlite://… [default: SQLite in the data folder]
    #[arg(long, global = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// redis://…, to share everything with other instances [default: one instance alone]
    #[arg(long, global = true, value_name = "URL")]
    pub redis_url: Option<String>,
    /// A file of settings, in TOML
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Which differences to the defaults apply
    #[arg(long, global = true, value_enum, default_value_t)]
    pub profile: Profile,
}

macro_rules! sections {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[allow(missing_docs, reason = "each key is described once, in config/default.toml")]
        pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }
    )*};
}

sections! {
    /// All settings; `config/default.toml` describes each.
    Config {
        #[serde(skip)]
        profile: Profile,
        /// Whether an operator has set `limits.messages_per_second`: it then holds for loopback too.
        #[serde(skip)]
        message_rate_is_set: bool,
        /// Whether an operator has set `admin.listen`: then it has to be free.
        #[serde(skip)]
        admin_is_set: bool,
        data_dir: PathBuf,
        server: Server,
        admin: Admin,
        database: Database,
        broker: Broker,
        auth: Auth,
        accounts: Accounts,
        mail: Mail,
        board: Board,
        rooms: Rooms,
        presence: Presence,
        socket: Socket,
        limits: Limits,
        faults: Faults,
        log: Log,
    }
    /// The public listener.
    Server {
        listen: SocketAddr,
        #[serde(deserialize_with = "list")]
        origins: Vec<String>,
        #[serde(deserialize_with = "list")]
        trusted_proxies: Vec<IpAddr>,
        trusted_hops: usize,
        #[serde(rename = "drain_secs", deserialize_with = "secs")]
        drain: Duration,
    }
    /// The operator's listener.
    Admin {
        #[serde(deserialize_with = "address_or_none")]
        listen: Option<SocketAddr>,
    }
    /// Where rows live.
    Database {
        url: Secret,
        max_connections: u32,
        #[serde(rename = "acquire_secs", deserialize_with = "secs")]
        acquire: Duration,
    }
    /// What instances share.
    Broker {
        redis_url: Secret,
        prefix: String,
        #[serde(rename = "lease_secs", deserialize_with = "secs")]
        lease: Duration,
    }
    /// Tokens and passwords.
    Auth {
        secret_file: PathBuf,
        #[serde(default)]
        secret: Option<Secret>,
        #[serde(rename = "token_ttl_secs", deserialize_with = "secs")]
        token_ttl: Duration,
        #[serde(rename = "session_ttl_secs", deserialize_with = "secs")]
        session_ttl: Duration,
        #[serde(rename = "reset_ttl_secs", deserialize_with = "secs")]
        reset_ttl: Duration,
        reset_link: String,
        hash_memory_kib: u32,
        hash_passes: u32,
        hash_lanes: u32,
        hash_queue: usize,
        #[serde(rename = "hash_wait_ms", deserialize_with = "millis")]
        hash_wait: Duration,
    }
    /// What others see of an account.
    Accounts {
        show_email: EmailDisplay,
        find_email: EmailDisplay,
    }
    /// Letters.
    Mail {
        transport: MailTransport,
        from: String,
        smtp_url: Secret,
    }
    /// The calendar of points and ranking.
    Board {
        zone: String,
    }
    /// Rooms.
    Rooms {
        capacity: u64,
    }
    /// Presence.
    Presence {
        #[serde(rename = "grace_secs", deserialize_with = "secs")]
        grace: Duration,
    }
    /// One WebSocket.
    Socket {
        #[serde(rename = "heartbeat_secs", deserialize_with = "secs")]
        heartbeat: Duration,
        #[serde(rename = "answer_secs", deserialize_with = "secs")]
        answer: Duration,
        #[serde(rename = "auth_secs", deserialize_with = "secs")]
        auth: Duration,
        #[serde(rename = "expiry_grace_secs", deserialize_with = "secs")]
        expiry_grace: Duration,
        #[serde(rename = "ticket_secs", deserialize_with = "secs")]
        ticket: Duration,
        query_token: bool,
        queue_messages: usize,
        queue_bytes: usize,
        history_messages: usize,
        #[serde(rename = "history_secs", deserialize_with = "secs")]
        history: Duration,
        max_frame: usize,
    }
    /// How much one caller may ask.
    Limits {
        messages_per_second: f64,
        burst: f64,
        connections_per_user: usize,
        connections_per_address: usize,
        connections: usize,
        exempt_loopback: bool,
        signup_per_address: Rate,
        login_per_address: Rate,
        reset_per_address: Rate,
        reset_per_account: Rate,
        find_per_address: Rate,
        find_per_key: Rate,
        certification_per_address: Rate,
        room_password_per_account: Rate,
        login_free_tries: u32,
    }
    /// Faults on purpose.
    Faults {
        lose_one_in: u64,
        double_edge_one_in: u64,
    }
    /// Logs.
    Log {
        format: LogFormat,
        filter: String,
    }
}

/// How an e-mail is shown to somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EmailDisplay {
    /// `s***i@g***.com`
    Masked,
    /// As it is.
    Full,
}

/// What happens to a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailTransport {
    /// One `.eml` a letter in the data folder.
    File,
    /// One log line, without the letter's secrets.
    Log,
    /// Sent.
    Smtp,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// For programs.
    Json,
}

/// So many tries in so long a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub tries: u32,
    /// In how long.
    pub window: Duration,
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.split_once('/').and_then(|(tries, secs)| {
            Some(Self { tries: tries.trim().parse().ok()?, window: Duration::from_secs(secs.trim().parse().ok()?) })
        });
        parsed
            .filter(|rate| rate.tries > 0 && !rate.window.is_zero())
            .ok_or_else(|| format!("{text:?} is not a rate: write tries/seconds, for example 5/600"))
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A value that never prints.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The value itself, at the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self(value)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "(empty)" } else { "(secret)" })
    }
}

fn secs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_secs)
}

fn millis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_millis)
}

/// An address; an empty text is none.
fn address_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    (!text.is_empty())
        .then(|| text.parse().map_err(|_| de::Error::custom(format!("{text:?} is no address"))))
        .transpose()
}

/// A list, or one string with commas, as an environment variable has it.
fn list<'de, D: Deserializer<'de>, T: Deserialize<'de> + FromStr>(deserializer: D) -> Result<Vec<T>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum ListOrText<T> {
        List(Vec<T>),
        Text(String),
    }
    match ListOrText::deserialize(deserializer)? {
        ListOrText::List(list) => Ok(list),
        ListOrText::Text(text) => text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(|item| item.parse().map_err(|_| de::Error::custom(format!("{item:?} can't be understood"))))
            .collect(),
    }
}

impl Config {
    /// Whether there is one instance alone.
    pub fn is_alone(&self) -> bool {
        self.broker.redis_url.expose().is_empty()
    }

    /// Reads all layers; `environment` is the process's, an argument so that tests need not change it.
    pub fn load(flags: &Flags, environment: impl IntoIterator<Item = (String, String)>) -> anyhow::Result<Self> {
        let profile = match flags.profile {
            Profile::Development => DEVELOPMENT,
            Profile::Production => PRODUCTION,
        };
        let text = |toml| config::File::from_str(toml, config::FileFormat::Toml);
        let mut layers = config::Config::builder().add_source(text(profile));
        if let Some(file) = &flags.config {
            layers = layers.add_source(config::File::from(file.as_path()).format(config::FileFormat::Toml));
        }
        for (key, value) in overrides(environment)? {
            layers = layers.set_override(key, value)?;
        }
        let given = [
            ("server.listen", flags.listen.map(|listen| listen.to_string())),
            ("data_dir", flags.data.as_ref().map(|dir| dir.to_string_lossy().into_owned())),
            ("database.url", flags.database_url.clone()),
            ("broker.redis_url", flags.redis_url.clone()),
        ];
        for (key, value) in given {
            layers = layers.set_override_option(key, value)?;
        }
        let given = layers.build()?;
        let message_rate_is_set = given.get_float("limits.messages_per_second").is_ok();
        let admin_is_set = given.get_string("admin.listen").is_ok();
        let all = config::Config::builder().add_source(text(DEFAULT)).add_source(given).build()?;
        let mut config: Self = all.try_deserialize().context("the configuration is not valid")?;
        config.profile = flags.profile;
        config.message_rate_is_set = message_rate_is_set;
        config.admin_is_set = admin_is_set;
        config.check()?;
        Ok(config)
    }

    /// What types alone can't say.
    fn check(&self) -> anyhow::Result<()> {
        jiff::tz::TimeZone::get(&self.board.zone).with_context(|| format!("board.zone {:?}", self.board.zone))?;
        for origin in &self.server.origins {
            if origin.ends_with('/') || !origin.contains("://") || origin.contains('*') {
                bail!("server.origins: {origin:?} is not an exact origin; write https://study.example, without a path");
            }
        }
        if self.mail.transport == MailTransport::Smtp && self.mail.smtp_url.expose().is_empty() {
            bail!("mail.smtp_url is needed for mail.transport = \"smtp\"");
        }
        if !cfg!(debug_assertions) && (self.faults.lose_one_in, self.faults.double_edge_one_in) != (0, 0) {
            bail!("faults: this build makes none on purpose");
        }
        if self.broker.lease < Duration::from_secs(1) {
            bail!("broker.lease_secs: at least 1");
        }
        if self.broker.prefix.is_empty() || self.broker.prefix.contains(['{', '}', ':']) {
            bail!("broker.prefix: a word without braces and colons");
        }
        if !self.auth.reset_link.contains("{uid}") || !self.auth.reset_link.contains("{token}") {
            bail!("auth.reset_link needs {{uid}} and {{token}}");
        }
        Ok(())
    }

    /// The database's address, with the embedded SQLite file filled in.
    pub fn database_url(&self) -> Secret {
        let url = self.database.url.expose();
        if url.is_empty() {
            let file = self.data_dir.join("solgik.db");
            format!("sqlite://{}?mode=rwc", file.display()).into()
        } else {
            self.database.url.clone()
        }
    }
}

/// `SOLGIK__A__B=v` becomes `a.b`, `SOLGIK__A__B_FILE=path` reads `a.b` from the file. A key whose own name ends in
/// `_file` is left as it is.
fn overrides(environment: impl IntoIterator<Item = (String, String)>) -> anyhow::Result<Vec<(String, String)>> {
    let mut overrides = Vec::new();
    for (name, value) in environment {
        let Some(name) = name.strip_prefix(PREFIX) else { continue };
        let key = name.to_lowercase().replace("__", ".");
        match key.strip_suffix("_file").filter(|_| key != "auth.secret_file") {
            Some(key) => overrides.push((key.to_owned(), read_trimmed(Path::new(&value))?)),
            None => overrides.push((key, value)),
        }
    }
    Ok(overrides)
}

fn read_trimmed(path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    Ok(text.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(environment: &[(&str, &str)]) -> anyhow::Result<Config> {
        Config::load(&Flags::default(), environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
    }

    #[test]
    fn the_defaults_are_complete() {
        let config = load(&[]).unwrap();
        assert_eq!(config.server.listen.to_string(), "127.0.0.1:8000");
        assert_eq!(config.presence.grace, Duration::from_secs(15));
        assert!(config.database_url().expose().starts_with("sqlite://./data/solgik.db"));
    }

    #[test]
    fn the_environment_outranks_the_file() {
        let config = load(&[
            ("SOLGIK__PRESENCE__GRACE_SECS", "1"),
            ("SOLGIK__SERVER__ORIGINS", "https://a.example, https://b.example"),
            ("SOLGIK__DATA_DIR", "/somewhere"),
            ("UNRELATED", "x"),
        ])
        .unwrap();
        assert_eq!(config.presence.grace, Duration::from_secs(1));
        assert_eq!(config.server.origins, ["https://a.example", "https://b.example"]);
        assert_eq!(config.data_dir, Path::new("/somewhere"));
    }

    #[test]
    fn a_secret_is_read_from_a_file_and_never_prints() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("url");
        std::fs::write(&file, "postgres://canary@localhost/x\n").unwrap();
        let config = load(&[("SOLGIK__DATABASE__URL_FILE", file.to_str().unwrap())]).unwrap();
        assert_eq!(config.database_url().expose(), "postgres://canary@localhost/x");
        assert!(!format!("{config:?}").contains("canary"));
    }

    #[test]
    fn mistakes_stop_the_start() {
        for (name, value) in [
            ("SOLGIK__SERVER__LISTEM", "127.0.0.1:1"),
            ("SOLGIK__SERVER__LISTEN", "nowhere"),
            ("SOLGIK__BOARD__ZONE", "Asia/Atlantis"),
            ("SOLGIK__LIMITS__FIND_PER_KEY", "often"),
            ("SOLGIK__SERVER__ORIGINS", "https://*.example"),
            ("SOLGIK__MAIL__TRANSPORT", "smtp"),
            ("SOLGIK__AUTH__RESET_LINK", "https://study.example/reset"),
        ] {
            assert!(load(&[(name, value)]).is_err(), "{name}={value}");
        }
    }
}
