//! Everything that can go wrong, in the words of the product.
//!
//! Promises one closed list of codes, each with its status and a sentence in both languages, in one table. A client
//! reads `code`, a person reads the sentence. What is not in the table is [`Error::Internal`]: logged once where it
//! becomes an answer, and told to nobody. How an error looks on the wire is the doors' business.

use std::{fmt, time::Duration};

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::locale::Locale;

/// What operations return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation did not happen.
#[derive(Debug)]
pub enum Error {
    /// The caller is told why.
    Refused(Box<Refusal>),
    /// The caller is told a request id, the log the rest.
    Internal(anyhow::Error),
}

/// A refusal with all that a client may need to explain it.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// What happened.
    pub code: ErrorCode,
    /// HTTP status, where it differs from the code's own.
    pub status: u16,
    /// Fills the sentence and is sent along.
    pub params: Map<String, Value>,
    /// What is wrong with which field.
    pub fields: Vec<FieldError>,
    /// When it is worth trying again.
    pub retry_after: Option<Duration>,
}

/// What is wrong with one field of the input.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// The field's name on the wire, or `non_field_errors`.
    pub field: &'static str,
    /// What happened.
    pub code: ErrorCode,
    /// Fills the sentence and is sent along.
    pub params: Map<String, Value>,
}

/// The name under which errors stand that belong to no single field.
pub const NON_FIELD: &str = "non_field_errors";

impl FieldError {
    /// `field` is refused for `code`.
    pub fn new(field: &'static str, code: ErrorCode) -> Self {
        Self { field, code, params: Map::new() }
    }

    /// Adds a parameter of the sentence.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.params.insert(name.to_owned(), value.into());
        self
    }
}

impl Error {
    /// A refusal for one field.
    pub fn field(field: &'static str, code: ErrorCode) -> Self {
        Self::fields(vec![FieldError::new(field, code)])
    }

    /// A refusal for several fields; its code is theirs if they agree, else `invalid_input`.
    pub fn fields(fields: Vec<FieldError>) -> Self {
        let first = fields.first();
        let agreed = first.filter(|first| fields.iter().all(|field| field.code == first.code));
        let code = agreed.map_or(ErrorCode::InvalidInput, |field| field.code);
        let params = agreed.map(|field| field.params.clone()).unwrap_or_default();
        Self::Refused(Box::new(Refusal { params, fields, status: 400, ..Refusal::from(code) }))
    }

    /// A refusal with a time to wait.
    pub fn retry(code: ErrorCode, after: Duration) -> Self {
        Self::Refused(Box::new(Refusal { retry_after: Some(after), ..Refusal::from(code) }))
    }

    /// Adds a parameter to a refusal's sentence.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        if let Self::Refused(refusal) = &mut self {
            refusal.params.insert(name.to_owned(), value.into());
        }
        self
    }

    /// Answers with another HTTP status than the code's own.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        if let Self::Refused(refusal) = &mut self {
            refusal.status = status;
        }
        self
    }

    /// The same for somebody else whom it concerns.
    pub fn again(&self) -> Self {
        match self {
            Self::Refused(refusal) => Self::Refused(refusal.clone()),
            Self::Internal(error) => Self::Internal(anyhow::anyhow!("{error:#}")),
        }
    }

    /// The code under which a client knows this error.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Refused(refusal) => refusal.code,
            Self::Internal(_) => ErrorCode::Internal,
        }
    }
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self { code, status: code.status(), params: Map::new(), fields: Vec::new(), retry_after: None }
    }
}

impl From<ErrorCode> for Error {
    fn from(code: ErrorCode) -> Self {
        Self::Refused(Box::new(code.into()))
    }
}

impl From<anyhow::Error> for Error {
    fn from(error: anyhow::Error) -> Self {
        Self::Internal(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => f.write_str(&refusal.code.sentence(Locale::En, &refusal.params)),
            Self::Internal(error) => write!(f, "{error:#}"),
        }
    }
}

impl std::error::Error for Error {}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:literal, $ko:literal, $en:literal;)*) => {
        /// The closed list of what a client may be told. Names are frozen: programs read them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $(#[doc = $en] $name,)*
        }

        impl ErrorCode {
            /// Every code, in the table's order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The HTTP status that goes with it.
            pub fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            fn template(self, locale: Locale) -> &'static str {
                match (self, locale) {
                    $((Self::$name, Locale::Ko) => $ko, (Self::$name, Locale::En) => $en,)*
                }
            }
        }
    };
}

impl ErrorCode {
    /// The sentence for a person; `{name}` stands for the parameter of that name.
    pub fn sentence(self, locale: Locale, params: &Map<String, Value>) -> String {
        let mut sentence = self.template(locale).to_owned();
        for (name, value) in params {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            sentence = sentence.replace(&format!("{{{name}}}"), &text);
        }
        sentence
    }

    /// The sentence without parameters, for a code that has none.
    pub fn plain(self, locale: Locale) -> &'static str {
        self.template(locale)
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What is wrong with one field, as an answer lists it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FieldErrorView {
    #[schema(example = "email")]
    field: &'static str,
    code: ErrorCode,
    /// For a person, in the answer's language.
    detail: String,
    /// What fills the sentence.
    #[schema(value_type = Object)]
    params: Map<String, Value>,
}

impl FieldError {
    /// As an answer lists it.
    pub fn view(&self, locale: Locale) -> FieldErrorView {
        let detail = self.code.sentence(locale, &self.params);
        FieldErrorView { field: self.field, code: self.code, detail, params: self.params.clone() }
    }
}

codes! {
    // Any input.
    InvalidInput = "invalid_input", 400, "입력한 내용을 확인해 주세요.", "Please check what you entered.";
    MalformedBody = "malformed_body", 400, "요청 본문을 해석할 수 없습니다.", "The request body can't be understood.";
    Required = "required", 400, "이 항목은 필수입니다.", "This field is required.";
    WrongType = "wrong_type", 400, "값의 형식이 올바르지 않습니다.", "The value has the wrong type.";
    TooLong = "too_long", 400, "{max}자 이하로 입력해 주세요.", "Use at most {max} characters.";
    OutOfRange = "out_of_range", 400, "{min}에서 {max} 사이의 값을 입력해 주세요.", "Use a value between {min} and {max}.";
    InvalidCharacters = "invalid_characters", 400, "사용할 수 없는 문자가 들어 있습니다.", "It contains characters that can't be used.";
    InvalidChoice = "invalid_choice", 400, "다음 중 하나여야 합니다: {choices}.", "It must be one of: {choices}.";
    InvalidDate = "invalid_date", 400, "날짜는 YYYY-MM-DD 형식이어야 합니다.", "A date is written YYYY-MM-DD.";
    DateInFuture = "date_in_future", 400, "미래의 날짜는 사용할 수 없습니다.", "The date can't lie in the future.";
    InvalidUrl = "invalid_url", 400, "http 또는 https 주소여야 합니다.", "It must be an http or https address.";
    InvalidEmail = "invalid_email", 400, "올바른 이메일 주소를 입력해 주세요.", "Please enter a valid e-mail address.";
    UnsupportedMediaType = "unsupported_media_type", 415, "JSON 또는 폼 본문만 받을 수 있습니다.", "Only JSON and form bodies are understood.";
    BodyTooLarge = "body_too_large", 413, "요청 본문이 너무 큽니다.", "The request body is too large.";
    KeyReused = "idempotency_key_reused", 422, "이 키는 다른 요청에 이미 사용되었습니다.", "This key was used for another request.";
    StillUnderWay = "still_under_way", 409, "같은 키의 요청을 아직 처리하고 있습니다.", "A request with this key is still under way.";
    NotFound = "not_found", 404, "찾을 수 없습니다.", "Not found.";
    MethodNotAllowed = "method_not_allowed", 405, "이 주소에서 지원하지 않는 메서드입니다.", "This address doesn't support that method.";
    UpgradeRequired = "upgrade_required", 426, "WebSocket으로 연결해 주세요.", "Please connect by WebSocket.";
    TooManyRequests = "too_many_requests", 429, "요청이 너무 많습니다. 잠시 후 다시 시도해 주세요.", "Too many requests. Please try again in a moment.";
    Overloaded = "overloaded", 503, "지금은 이용자가 많습니다. 잠시 후 다시 시도해 주세요.", "The service is busy. Please try again in a moment.";
    Draining = "draining", 503, "서버가 교체되는 중입니다. 잠시 후 다시 연결해 주세요.", "This server is being replaced. Please reconnect in a moment.";
    Unavailable = "unavailable", 503, "지금은 처리할 수 없습니다. 잠시 후 다시 시도해 주세요.", "The service can't do this right now. Please try again in a moment.";
    Internal = "internal", 500, "서버에 문제가 생겼습니다.", "Something went wrong on the server.";

    // Who is calling.
    Unauthenticated = "unauthenticated", 401, "로그인이 필요합니다.", "Please sign in.";
    TokenInvalid = "token_invalid", 401, "토큰이 올바르지 않습니다.", "The token is not valid.";
    TokenExpired = "token_expired", 401, "토큰이 만료되었습니다.", "The token has expired.";
    SessionEnded = "session_ended", 401, "로그아웃된 세션입니다. 다시 로그인해 주세요.", "This session has ended. Please sign in again.";
    TicketInvalid = "ticket_invalid", 401, "연결 티켓이 올바르지 않거나 이미 사용되었습니다.", "The ticket is not valid or has been used.";
    NotYourself = "not_yourself", 403, "본인 계정만 변경할 수 있습니다.", "You can change your own account only.";
    StaffOnly = "staff_only", 403, "운영자만 사용할 수 있습니다.", "Only staff may do this.";
    OriginRefused = "origin_refused", 403, "허용되지 않은 출처입니다.", "This origin is not allowed.";

    // Accounts.
    EmailTaken = "email_taken", 400, "이미 사용 중인 이메일입니다.", "This e-mail is in use already.";
    WrongCredentials = "wrong_credentials", 400, "이메일 또는 비밀번호가 올바르지 않습니다.", "The e-mail or the password is wrong.";
    WrongOldPassword = "wrong_old_password", 400, "기존 비밀번호가 올바르지 않습니다.", "The old password is wrong.";
    PasswordMismatch = "password_mismatch", 400, "두 비밀번호가 서로 다릅니다.", "The two passwords differ.";
    PasswordLength = "password_length", 400, "비밀번호는 {min}자 이상 {max}자 이하여야 합니다.", "A password has {min} to {max} characters.";
    PasswordNumeric = "password_numeric", 400, "숫자로만 된 비밀번호는 사용할 수 없습니다.", "A password can't be all digits.";
    PasswordCommon = "password_common", 400, "너무 흔한 비밀번호입니다.", "This password is too common.";
    PasswordSimilar = "password_similar", 400, "이메일이나 이름과 비슷한 비밀번호는 사용할 수 없습니다.", "The password is too close to the e-mail or the name.";
    ResetInvalid = "reset_invalid", 400, "비밀번호 재설정 링크가 올바르지 않거나 만료되었습니다.", "The reset link is not valid or has expired.";
    AccountNotFound = "account_not_found", 404, "해당 유저가 없습니다.", "There is no such user.";

    // Product keys.
    KeyNotFound = "key_not_found", 404, "해당 제품 키가 없습니다.", "There is no such product key.";
    KeyInUse = "key_in_use", 400, "이미 사용 중인 제품 키입니다.", "This product key is in use already.";

    // Rooms.
    RoomNotFound = "room_not_found", 404, "해당 방이 없습니다.", "There is no such room.";
    AlreadyInRoom = "already_in_room", 409, "이미 {room}번 방에 들어가 있습니다.", "You are in room {room} already.";
    NotAMember = "not_a_member", 409, "들어가 있지 않은 방입니다.", "You are not in this room.";
    RoomFull = "room_full", 409, "방이 가득 찼습니다.", "The room is full.";
    WrongPassword = "wrong_password", 403, "방 비밀번호가 올바르지 않습니다.", "The room's password is wrong.";

    // Friends.
    RequestToOneself = "request_to_oneself", 400, "자기 자신에게는 친구 요청을 보낼 수 없습니다.", "You can't ask yourself for friendship.";
    AlreadyFriends = "already_friends", 409, "이미 친구입니다.", "You are friends already.";
    NotFriends = "not_friends", 404, "친구가 아닙니다.", "You are not friends.";
    RequestNotFound = "request_not_found", 404, "해당 친구 요청이 없습니다.", "There is no such friend request.";

    // Time.
    PlanExists = "plan_exists", 409, "작업 시간이 이미 있습니다.", "There is a time setting already.";
    PlanNotFound = "plan_not_found", 404, "작업 시간이 없습니다.", "There is no time setting.";
    RunNotFound = "run_not_found", 404, "해당 타이머 기록이 없습니다.", "There is no such run.";
    TooLate = "too_late", 409, "끝난 지 24시간이 지난 기록은 고칠 수 없습니다.", "A run can be corrected within 24 hours of its end.";
    BreakWithoutWork = "break_without_work", 400, "작업 시간이 0이면 휴식 시간도 0이어야 합니다.", "Without a work time the break must be 0.";

    TimerRunning = "timer_running", 409, "이미 타이머가 실행 중입니다.", "A timer is running already.";
    TimerPaused = "timer_paused", 409, "타이머가 이미 일시정지되어 있습니다.", "The timer is paused already.";
    TimerNotPaused = "timer_not_paused", 409, "일시정지된 타이머가 아닙니다.", "The timer is not paused.";
    NoTimer = "no_timer", 409, "실행 중인 타이머가 없습니다.", "No timer is running.";

    // The socket.
    UnknownOp = "unknown_op", 400, "알 수 없는 명령입니다.", "This operation is unknown.";
    MalformedMessage = "malformed_message", 400, "메시지의 형식이 올바르지 않습니다.", "The message doesn't have the right form.";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_each_has_both_sentences() {
        let names: HashSet<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(names.len(), ErrorCode::ALL.len());
        for code in ErrorCode::ALL {
            assert_ne!(code.plain(Locale::Ko), code.plain(Locale::En), "{code:?}");
            assert!((400..600).contains(&code.status()), "{code:?}");
        }
    }

    #[test]
    fn parameters_fill_the_sentence() {
        let error = Error::from(ErrorCode::AlreadyInRoom).with("room", 42);
        assert_eq!(error.to_string(), "You are in room 42 already.");
    }

    #[test]
    fn differing_fields_are_invalid_input() {
        let same = Error::fields(vec![
            FieldError::new("email", ErrorCode::Required),
            FieldError::new("gender", ErrorCode::Required),
        ]);
        assert_eq!(same.code(), ErrorCode::Required);
        let differing = Error::fields(vec![
            FieldError::new("email", ErrorCode::EmailTaken),
            FieldError::new("gender", ErrorCode::Required),
        ]);
        assert_eq!(differing.code(), ErrorCode::InvalidInput);
    }
}
