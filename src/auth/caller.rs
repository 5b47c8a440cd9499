//! The proof that somebody is signed in: a handler that takes a [`Caller`] can't be reached without one.

use axum::{
    extract::{FromRef, FromRequestParts, OptionalFromRequestParts},
    http::{header, request::Parts},
};
use entity::{AccountId, Millis, SessionId};

use super::{Auth, token_of};
use crate::error::{Error, ErrorCode, Result};

/// Who is signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who.
    pub account: AccountId,
    /// By which sign-in.
    pub session: SessionId,
    /// Whether operators' routes are open.
    pub staff: bool,
    /// When the token expires.
    pub expires_at: Millis,
}

impl Caller {
    /// Refuses whoever is not staff.
    pub fn require_staff(&self) -> Result<()> {
        if self.staff { Ok(()) } else { Err(ErrorCode::StaffOnly.into()) }
    }

    /// Refuses whoever is not `account`.
    pub fn require(&self, account: AccountId) -> Result<()> {
        if self.account == account { Ok(()) } else { Err(ErrorCode::NotYourself.into()) }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller
where
    Auth: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let caller = <Self as OptionalFromRequestParts<S>>::from_request_parts(parts, state).await?;
        caller.ok_or_else(|| ErrorCode::Unauthenticated.into())
    }
}

/// `None` without a token; a token that is no good is refused all the same.
impl<S: Send + Sync> OptionalFromRequestParts<S> for Caller
where
    Auth: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>> {
        let Some(header) = parts.headers.get(header::AUTHORIZATION) else { return Ok(None) };
        let header = header.to_str().map_err(|_| ErrorCode::TokenInvalid)?;
        if header.trim().is_empty() {
            return Ok(None);
        }
        Auth::from_ref(state).check(token_of(header)?).await.map(Some)
    }
}
