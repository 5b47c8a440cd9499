//! The secret of this installation, and what is derived from it.
//!
//! Promises that nothing signs with a default: an embedded first start makes a secret and keeps it in the data folder,
//! production refuses to start without one. A secret file may hold several lines: the first signs, all of them verify,
//! so that a secret can be replaced without signing everybody out.

use std::{fs, io::Write, os::unix::fs::OpenOptionsExt, path::Path};

use anyhow::{Context, bail};
use aws_lc_rs::{digest, hmac};

use crate::config::{Config, Profile};

/// Shorter secrets than this are refused, in bytes (RFC 7518, section 3.2, for HS256).
const SHORTEST: usize = 32;

/// The secret's lines, the signing one first. Never prints.
#[derive(Clone)]
pub struct Keys(Vec<Vec<u8>>);

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({})", self.0.len())
    }
}

impl Keys {
    /// The configured secret, or the data folder's.
    pub fn load(config: &Config) -> anyhow::Result<Self> {
        let text = match (&config.auth.secret, config.auth.secret_file.as_os_str().is_empty()) {
            (Some(secret), _) => secret.expose().to_owned(),
            (None, false) => read(&config.auth.secret_file)?,
            (None, true) if config.profile == Profile::Production => {
                bail!("production needs auth.secret_file (SOLGIK__AUTH__SECRET_FILE): at least {SHORTEST} random bytes")
            }
            (None, true) => {
                let path = config.data_dir.join("secret");
                if !path.exists() {
                    create(&path)?;
                }
                read(&path)?
            }
        };
        Self::parse(&text)
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        if lines.is_empty() || lines.iter().any(|line| line.len() < SHORTEST) {
            bail!("each line of the secret needs at least {SHORTEST} bytes");
        }
        Ok(Self(lines.into_iter().map(|line| line.as_bytes().to_vec()).collect()))
    }

    /// The lines with their names: the name tells which line signed, and nothing about it.
    pub fn named(&self) -> impl Iterator<Item = (String, &[u8])> {
        self.0.iter().map(|key| (name(key), key.as_slice()))
    }

    /// HMAC-SHA-256 in hexadecimal. The oldest line is used: what is stored must be found again after a rotation.
    pub fn digest(&self, purpose: &str, message: &str) -> String {
        let oldest = self.0.last().map(Vec::as_slice).unwrap_or_default();
        let key = hmac::Key::new(hmac::HMAC_SHA256, oldest);
        hex(hmac::sign(&key, format!("{purpose}\0{message}").as_bytes()).as_ref())
    }
}

fn name(key: &[u8]) -> String {
    fingerprint(key).chars().take(8).collect()
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading the secret {}", path.display()))
}

/// Made whole under another name first: a server and a command that start together must agree on one secret.
fn create(path: &Path) -> anyhow::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let draft = path.with_extension(format!("draft-{}", std::process::id()));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    writeln!(file, "{}", random_token())?;
    file.sync_all()?;
    // A link fails if the name is taken: the first one wins.
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    if !path.exists() {
        linked.with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// 256 random bits in hexadecimal.
pub fn random_token() -> String {
    hex(&rand::random::<[u8; 32]>())
}

/// SHA-256 in hexadecimal: for random tokens, which need no salt, and for files.
pub fn fingerprint(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Flags;

    fn config(profile: Profile, dir: &Path) -> Config {
        let flags = Flags { profile, data: Some(dir.to_owned()), ..Flags::default() };
        Config::load(&flags, [("SOLGIK__MAIL__TRANSPORT".to_owned(), "log".to_owned())]).unwrap()
    }

    #[test]
    fn an_embedded_first_start_makes_a_secret_and_keeps_it() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(Profile::Development, dir.path());
        let first = Keys::load(&config).unwrap().digest("x", "y");
        assert_eq!(Keys::load(&config).unwrap().digest("x", "y"), first);
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(dir.path().join("secret")).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn production_refuses_to_start_without_a_secret() {
        let dir = tempfile::tempdir().unwrap();
        let error = Keys::load(&config(Profile::Production, dir.path())).unwrap_err();
        assert!(error.to_string().contains("secret_file"), "{error}");
    }

    #[test]
    fn a_short_secret_is_refused() {
        assert!(Keys::parse("short").is_err());
        assert!(Keys::parse("").is_err());
        assert!(Keys::parse(&format!("{}\nshort", "x".repeat(32))).is_err());
        assert!(Keys::parse(&"x".repeat(32)).is_ok());
    }

    #[test]
    fn stored_digests_outlive_a_rotation() {
        let old = "o".repeat(32);
        let before = Keys::parse(&old).unwrap();
        let after = Keys::parse(&format!("{}\n{old}", "n".repeat(32))).unwrap();
        assert_eq!(before.digest("key", "k"), after.digest("key", "k"));
    }
}
