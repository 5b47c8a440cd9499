//! Who is calling.
//!
//! Promises that a token counts only as long as its session has a row: ending a session kills its token at once here,
//! and on every other instance within moments. Passwords are hashed in a pool of their own, so that a flood of
//! sign-ins can't starve anything else. It knows no feature.

pub mod caller;
pub mod password;
pub mod secret;
pub mod sessions;
pub mod tokens;

use std::sync::Arc;

use entity::{AccountId, Millis, SessionId};

use crate::{
    clock::Clock,
    config::Config,
    db::Db,
    error::{ErrorCode, Result},
    realtime::broker::Which,
};

pub use caller::Caller;
pub use password::Passwords;
pub use tokens::{Claims, Issued, Tokens};

/// Everything that knows callers, cheap to clone.
#[derive(Clone, Debug)]
pub struct Auth(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tokens: Tokens,
    sessions: sessions::Cache,
    passwords: Passwords,
    keys: secret::Keys,
    db: Db,
    clock: Clock,
}

impl Auth {
    /// Reads or makes the secret, and prepares the pool.
    pub fn new(config: &Config, db: Db, clock: Clock) -> anyhow::Result<Self> {
        let keys = secret::Keys::load(config)?;
        Ok(Self(Arc::new(Inner {
            tokens: Tokens::new(&keys, config.auth.token_ttl),
            sessions: sessions::Cache::default(),
            passwords: Passwords::new(&config.auth)?,
            keys,
            db,
            clock,
        })))
    }

    /// A token for `session`, which lives at most until `session_ends`.
    pub fn issue(&self, account: AccountId, session: SessionId, session_ends: Millis) -> Result<Issued> {
        self.0.tokens.issue(account, session, self.0.clock.now(), session_ends)
    }

    /// Who calls with `token`: its signature, its times and its session are good.
    pub async fn check(&self, token: &str) -> Result<Caller> {
        let claims = self.0.tokens.read(token, self.0.clock.now())?;
        let (account, session) = (claims.account(), claims.session());
        let staff = self.0.sessions.staff(&self.0.db, account, session, self.0.clock.now()).await?;
        Ok(Caller { account, session, staff, expires_at: claims.expires_at() })
    }

    /// Whether `session` is still alive; refuses if not.
    pub async fn check_session(&self, account: AccountId, session: SessionId) -> Result<()> {
        self.0.sessions.staff(&self.0.db, account, session, self.0.clock.now()).await.map(|_| ())
    }

    /// Forgets what is known of ended sessions, so that their tokens die at once.
    pub fn forget(&self, account: AccountId, which: Which) {
        self.0.sessions.end(account, which);
    }

    /// Lets go of what is known of sessions that nobody asks for any more.
    pub fn sweep(&self) {
        self.0.sessions.sweep();
    }

    /// The pool in which passwords are hashed.
    pub fn passwords(&self) -> &Passwords {
        &self.0.passwords
    }

    /// A keyed digest of `message` for `purpose`, in hexadecimal: for secrets that are looked up by their value.
    pub fn digest(&self, purpose: &str, message: &str) -> String {
        self.0.keys.digest(purpose, message)
    }
}

/// The token of an `Authorization` header: `<scheme> <token>` with one of three schemes in any letter case.
pub fn token_of(header: &str) -> Result<&str> {
    let (scheme, token) = header.trim().split_once(' ').ok_or(ErrorCode::TokenInvalid)?;
    let known = ["jwt", "bearer", "token"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    if known { Ok(token.trim()) } else { Err(ErrorCode::TokenInvalid.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_schemes_in_any_case_are_read() {
        for header in ["JWT abc", "jwt abc", "Bearer abc", "BEARER  abc", "Token abc", " token abc "] {
            assert_eq!(token_of(header).unwrap(), "abc", "{header}");
        }
        for header in ["", "abc", "Basic abc", "JWTabc"] {
            assert_eq!(token_of(header).unwrap_err().code(), ErrorCode::TokenInvalid, "{header}");
        }
    }
}
