//! Tokens: JWT (RFC 7519) by HS256 and nothing else, bound to a session.

use std::{collections::HashMap, time::Duration};

use entity::{AccountId, Millis, SessionId};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use super::secret::Keys;
use crate::{
    clock,
    error::{Error, ErrorCode, Result},
};

const ISSUER: &str = "solgik";
const AUDIENCE: &str = "solgik";
const TYPE: &str = "access";

/// What a token says. Times are seconds since the Unix epoch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    iss: String,
    aud: String,
    sub: String,
    sid: i64,
    typ: String,
    iat: i64,
    nbf: i64,
    exp: i64,
    #[serde(skip)]
    account: i64,
}

impl Claims {
    /// Whose token it is.
    pub fn account(&self) -> AccountId {
        AccountId(self.account)
    }

    /// Which session it belongs to.
    pub fn session(&self) -> SessionId {
        SessionId(self.sid)
    }

    /// When it expires.
    pub fn expires_at(&self) -> Millis {
        Millis(self.exp.saturating_mul(1000))
    }
}

/// A token and when it expires.
#[derive(Clone, Debug)]
pub struct Issued {
    /// For the client alone.
    pub token: String,
    /// When it expires.
    pub expires_at: Millis,
}

/// Signs and reads tokens.
pub struct Tokens {
    ttl: Duration,
    signing: (String, EncodingKey),
    verifying: HashMap<String, DecodingKey>,
    validation: Validation,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("ttl", &self.ttl).finish_non_exhaustive()
    }
}

impl Tokens {
    /// Tokens that live for `ttl`.
    pub fn new(keys: &Keys, ttl: Duration) -> Self {
        let mut signing = None;
        let mut verifying = HashMap::new();
        for (name, key) in keys.named() {
            verifying.insert(name.clone(), DecodingKey::from_secret(key));
            signing.get_or_insert((name, EncodingKey::from_secret(key)));
        }
        let mut validation = Validation::new(Algorithm::HS256);
        // The library would ask the machine's clock; `read` is told what time it is.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        let signing = signing.unwrap_or_else(|| (String::new(), EncodingKey::from_secret(&[])));
        Self { ttl, signing, verifying, validation }
    }

    /// A token for `session`, which lives at most until `session_ends`.
    pub fn issue(&self, account: AccountId, session: SessionId, now: Millis, session_ends: Millis) -> Result<Issued> {
        let exp = clock::after(now, self.ttl).0.min(session_ends.0) / 1000;
        let iat = now.0 / 1000;
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: account.to_string(),
            sid: session.0,
            typ: TYPE.to_owned(),
            iat,
            nbf: iat,
            exp,
            account: account.0,
        };
        let header = Header { kid: Some(self.signing.0.clone()), ..Header::new(Algorithm::HS256) };
        let token = jsonwebtoken::encode(&header, &claims, &self.signing.1).map_err(anyhow::Error::from)?;
        Ok(Issued { token, expires_at: claims.expires_at() })
    }

    /// What `token` says, if every part of it is good at `now`.
    pub fn read(&self, token: &str, now: Millis) -> Result<Claims> {
        let invalid = || Error::from(ErrorCode::TokenInvalid);
        let header = jsonwebtoken::decode_header(token).map_err(|_| invalid())?;
        let key = header.kid.as_deref().and_then(|kid| self.verifying.get(kid)).ok_or_else(invalid)?;
        let decoded = jsonwebtoken::decode::<Claims>(token, key, &self.validation);
        let mut claims = decoded.map_err(|_| invalid())?.claims;
        if claims.typ != TYPE || claims.nbf.saturating_mul(1000) > now.0 {
            return Err(invalid());
        }
        claims.account = claims.sub.parse().map_err(|_| invalid())?;
        if claims.expires_at() <= now {
            return Err(ErrorCode::TokenExpired.into());
        }
        Ok(claims)
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use serde_json::json;

    use super::*;
    use crate::{
        clock::Clock,
        config::{Config, Flags},
    };

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn tokens(secret: &str) -> Tokens {
        let config = Config::load(&Flags::default(), [("SOLGIK__AUTH__SECRET".to_owned(), secret.to_owned())]).unwrap();
        Tokens::new(&Keys::load(&config).unwrap(), Duration::from_secs(60))
    }

    fn forge(alg: Algorithm, claims: &serde_json::Value, kid: Option<String>) -> String {
        let header = Header { kid, ..Header::new(alg) };
        jsonwebtoken::encode(&header, claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
    }

    #[test]
    fn threat_7_only_our_own_living_tokens_count() {
        let tokens = tokens(SECRET);
        let now = Clock::default().now();
        let far = clock::after(now, Duration::from_secs(3600));
        let good = tokens.issue(AccountId(9), SessionId(3), now, far).unwrap().token;
        let claims = tokens.read(&good, now).unwrap();
        assert_eq!((claims.account(), claims.session()), (AccountId(9), SessionId(3)));
        assert_eq!(
            tokens.read(&good, clock::after(now, Duration::from_secs(61))).unwrap_err().code(),
            ErrorCode::TokenExpired
        );

        let kid = Some(tokens.signing.0.clone());
        let secs = now.0 / 1000;
        let sound = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "9", "sid": 3, "typ": TYPE,
            "iat": secs, "nbf": secs, "exp": secs + 60});
        assert!(tokens.read(&forge(Algorithm::HS256, &sound, kid.clone()), now).is_ok());
        let with = |name: &str, value: serde_json::Value| {
            let mut claims = sound.clone();
            claims[name] = value;
            forge(Algorithm::HS256, &claims, kid.clone())
        };
        let mut bad = vec![
            with("aud", json!("elsewhere")),
            with("iss", json!("elsewhere")),
            with("typ", json!("ticket")),
            with("sub", json!("nobody")),
            with("exp", json!(secs - 1)),
            with("nbf", json!(secs + 3600)),
            forge(Algorithm::HS512, &sound, kid.clone()),
            forge(Algorithm::HS256, &sound, None),
            forge(Algorithm::HS256, &sound, Some("other".into())),
            tokens.issue(AccountId(9), SessionId(3), now, now).unwrap().token,
            String::new(),
            "a.b.c".into(),
        ];
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        bad.push(format!("{}.{}.", part(json!({"alg": "none", "kid": kid})), part(sound.clone())));
        bad.push(format!("{}.{}.x", part(json!({"alg": "RS256", "kid": kid})), part(sound)));
        for index in 0..good.len() {
            let mut flipped = good.clone().into_bytes();
            flipped[index] ^= 1;
            // The last character carries unused bits; a flip there may decode to the same signature.
            if index + 1 < good.len() {
                bad.push(String::from_utf8_lossy(&flipped).into_owned());
            }
        }
        for token in bad {
            assert!(tokens.read(&token, now).is_err(), "{token}");
        }
    }

    #[test]
    fn threat_7_a_replaced_secret_still_verifies() {
        let now = Clock::default().now();
        let far = clock::after(now, Duration::from_secs(3600));
        let old = tokens(SECRET).issue(AccountId(9), SessionId(3), now, far).unwrap().token;
        let rotated = tokens(&format!("{}\n{SECRET}", "n".repeat(32)));
        assert!(rotated.read(&old, now).is_ok());
        assert!(tokens(&"n".repeat(32)).read(&old, now).is_err());
    }
}
