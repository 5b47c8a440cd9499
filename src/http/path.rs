//! Ids in paths: a number that can't be an id is an address that doesn't exist.

use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};
use entity::{AccountId, RoomId};

use crate::error::{Error, ErrorCode};

/// An id type with the code for what isn't there.
pub trait Id {
    /// The code of a 404.
    const NOT_FOUND: ErrorCode;
    /// From the number in the path, which is positive.
    fn from_number(number: i64) -> Self;
}

impl Id for AccountId {
    const NOT_FOUND: ErrorCode = ErrorCode::AccountNotFound;
    fn from_number(number: i64) -> Self {
        Self(number)
    }
}

impl Id for RoomId {
    const NOT_FOUND: ErrorCode = ErrorCode::RoomNotFound;
    fn from_number(number: i64) -> Self {
        Self(number)
    }
}

/// The id that is the path's only parameter.
#[derive(Debug)]
pub struct PathId<T>(pub T);

impl<T: Id, S: Send + Sync> FromRequestParts<S> for PathId<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let text = Path::<String>::from_request_parts(parts, state).await.map_err(|_| T::NOT_FOUND)?;
        // Digits only: a sign or a space is no id, though it would parse.
        let number = Some(text.as_str()).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let id = number.and_then(|text| text.parse().ok()).filter(|number| *number > 0).ok_or(T::NOT_FOUND)?;
        Ok(Self(T::from_number(id)))
    }
}
