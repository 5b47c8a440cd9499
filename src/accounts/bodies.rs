//! What the door takes in, read field by field.
//!
//! Promises that everything behind it can trust its input: each mistake is named under its field, all of them at once.

use entity::AccountId;
use jiff::civil::Date;
use utoipa::ToSchema;

use super::{Email, NAME, NewAccount, email, password_rules, profile::Change};
use crate::{
    error::{ErrorCode, FieldError, Result},
    http::{Body, Fields, body::check_visible},
};

const IMAGE: usize = 2000;

#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what `sign_up` reads")]
pub(super) struct SignUpBody {
    #[schema(max_length = 254, format = Email, example = "sumi@example.com")]
    email: String,
    /// Not all digits, not common, not close to e-mail or name.
    #[schema(min_length = 8, max_length = 128, format = Password, example = "seven quiet pines")]
    password1: String,
    /// The same again.
    #[schema(min_length = 8, max_length = 128, format = Password, example = "seven quiet pines")]
    password2: String,
    #[schema(min_length = 1, max_length = 50, example = "김")]
    last_name: String,
    #[schema(min_length = 1, max_length = 50, example = "수미")]
    first_name: String,
    /// 0 man, 1 woman.
    #[schema(minimum = 0, maximum = 1, example = 1)]
    gender: i64,
    /// Not in the future.
    #[schema(format = Date, example = "2001-02-03")]
    birth_date: String,
}

pub(super) fn sign_up(body: Body, today: Date) -> Result<NewAccount> {
    let mut fields = body.fields();
    let address = fields.required_visible("email", email::MAX);
    let parsed = Email::parse(&address);
    let readable = !address.is_empty() && check_visible("email", &address, email::MAX).is_ok();
    if parsed.is_none() && readable {
        fields.refuse(FieldError::new("email", ErrorCode::InvalidEmail));
    }
    let last_name = fields.required_visible("last_name", NAME);
    let first_name = fields.required_visible("first_name", NAME);
    check_line(&mut fields, "last_name", &last_name);
    check_line(&mut fields, "first_name", &first_name);
    let owner = password_rules::Owner { email: &address, last_name: &last_name, first_name: &first_name };
    let password = twice(&mut fields, "password1", "password2");
    if !password.is_empty() {
        password_rules::check("password1", &password, owner).unwrap_or_else(|error| fields.refuse(error));
    }
    let gender = gender(fields.required_int("gender", 0, 1));
    let birth_date = fields.required("birth_date").trim().to_owned();
    if !birth_date.is_empty() {
        check_date(&mut fields, &birth_date, today);
    }
    fields.finish()?;
    // Without an e-mail the reading above has been refused.
    let email = parsed.ok_or(ErrorCode::InvalidEmail)?;
    Ok(NewAccount { email, password, last_name, first_name, gender, birth_date })
}

#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what `sign_in` reads")]
pub(super) struct SignInBody {
    #[schema(max_length = 254, format = Email, example = "sumi@example.com")]
    email: String,
    #[schema(max_length = 128, format = Password, example = "seven quiet pines")]
    password: String,
}

/// E-mail and password as they were sent; whether they are good is the operation's to say.
pub(super) fn sign_in(body: Body) -> Result<(String, String)> {
    let mut fields = body.fields();
    let email = fields.required_visible("email", email::MAX);
    let password = secret(&mut fields, "password");
    fields.finish()?;
    Ok((email, password))
}

#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what `change_password` reads")]
pub(super) struct ChangePasswordBody {
    #[schema(max_length = 128, format = Password, example = "seven quiet pines")]
    old_password: String,
    #[schema(min_length = 8, max_length = 128, format = Password, example = "nine loud larks")]
    new_password1: String,
    #[schema(min_length = 8, max_length = 128, format = Password, example = "nine loud larks")]
    new_password2: String,
}

/// The old password and the new one.
pub(super) fn change_password(body: Body) -> Result<(String, String)> {
    let mut fields = body.fields();
    let old = secret(&mut fields, "old_password");
    let new = new_password(&mut fields);
    fields.finish()?;
    Ok((old, new))
}

#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what `ask_reset` reads")]
pub(super) struct AskResetBody {
    #[schema(max_length = 254, format = Email, example = "sumi@example.com")]
    email: String,
}

pub(super) fn ask_reset(body: Body) -> Result<String> {
    let mut fields = body.fields();
    let address = fields.required_visible("email", email::MAX);
    // Its syntax is not looked at: what can't be an address is answered like one that nobody has.
    fields.finish()?;
    Ok(address)
}

/// `uid` and `token` are in the link.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what `confirm_reset` reads")]
pub(super) struct ConfirmResetBody {
    #[schema(minimum = 1, example = 7)]
    uid: i64,
    token: String,
    #[schema(min_length = 8, max_length = 128, format = Password, example = "nine loud larks")]
    new_password1: String,
    #[schema(min_length = 8, max_length = 128, format = Password, example = "nine loud larks")]
    new_password2: String,
}

/// Whose password, by which token, and the new one.
pub(super) fn confirm_reset(body: Body) -> Result<(AccountId, String, String)> {
    let mut fields = body.fields();
    let uid = fields.required_int("uid", 1, i64::MAX);
    let token = fields.required("token");
    let new = new_password(&mut fields);
    fields.finish()?;
    Ok((AccountId(uid), token.trim().to_owned(), new))
}

#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what `change` reads")]
pub(super) struct ChangeBody {
    #[schema(min_length = 1, max_length = 50, example = "김")]
    last_name: Option<String>,
    #[schema(min_length = 1, max_length = 50, example = "수미")]
    first_name: Option<String>,
    #[schema(minimum = 0, maximum = 1)]
    gender: Option<i64>,
    #[schema(format = Date, example = "2001-02-03")]
    birth_date: Option<String>,
    /// An http or https address; null removes the picture.
    #[schema(max_length = 2000, example = "https://example.com/sumi.png")]
    image: Option<String>,
    /// Stands on no board.
    hidden: Option<bool>,
    /// Whether friends see one's days.
    share_study: Option<bool>,
}

pub(super) fn change(body: Body, today: Date) -> Result<Change> {
    let mut fields = body.fields();
    let change = Change {
        last_name: name(&mut fields, "last_name"),
        first_name: name(&mut fields, "first_name"),
        gender: fields.int("gender", 0, 1).map(gender),
        birth_date: birth_date(&mut fields, today),
        image: fields.has("image").then(|| image(&mut fields)),
        hidden: fields.flag("hidden"),
        share_study: fields.flag("share_study"),
    };
    fields.finish()?;
    Ok(change)
}

fn name(fields: &mut Fields, field: &'static str) -> Option<String> {
    let name = fields.visible(field, NAME)?;
    if name.is_empty() {
        fields.refuse(FieldError::new(field, ErrorCode::Required));
    }
    check_line(fields, field, &name);
    Some(name)
}

/// A name is one line, and the search relies on it.
fn check_line(fields: &mut Fields, field: &'static str, name: &str) {
    if name.contains('\n') {
        fields.refuse(FieldError::new(field, ErrorCode::InvalidCharacters));
    }
}

/// A password to be verified. What is longer than any can be is not worth a hash.
fn secret(fields: &mut Fields, field: &'static str) -> String {
    let password = fields.required(field);
    if password.chars().count() > password_rules::MAX {
        fields.refuse(FieldError::new(field, ErrorCode::TooLong).with("max", password_rules::MAX));
    }
    password
}

fn new_password(fields: &mut Fields) -> String {
    let password = twice(fields, "new_password1", "new_password2");
    if !password.is_empty() {
        password_rules::check_length("new_password1", &password).unwrap_or_else(|error| fields.refuse(error));
    }
    password
}

fn twice(fields: &mut Fields, field: &'static str, again: &'static str) -> String {
    let password = fields.required(field);
    let repeated = fields.required(again);
    if !password.is_empty() && !repeated.is_empty() && password != repeated {
        fields.refuse(FieldError::new(again, ErrorCode::PasswordMismatch));
    }
    password
}

fn gender(number: i64) -> i16 {
    i16::from(number == 1)
}

fn birth_date(fields: &mut Fields, today: Date) -> Option<String> {
    let date = fields.text("birth_date")?.trim().to_owned();
    check_date(fields, &date, today);
    Some(date)
}

/// `YYYY-MM-DD` and nothing else of ISO 8601.
fn check_date(fields: &mut Fields, text: &str, today: Date) {
    let shape = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let date = text.parse::<Date>().ok().filter(|_| shape);
    match date {
        None => fields.refuse(FieldError::new("birth_date", ErrorCode::InvalidDate)),
        Some(date) if date > today => fields.refuse(FieldError::new("birth_date", ErrorCode::DateInFuture)),
        Some(_) => {}
    }
}

/// An address of the web, or none.
fn image(fields: &mut Fields) -> Option<String> {
    let address = fields.visible("image", IMAGE).filter(|address| !address.is_empty())?;
    if !is_web_address(&address) {
        fields.refuse(FieldError::new("image", ErrorCode::InvalidUrl));
    }
    Some(address)
}

fn is_web_address(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    let named = host.chars().next().is_some_and(|first| first.is_alphanumeric() || first == '[') && !host.contains('@');
    web && named && !text.contains(|c: char| c.is_whitespace() || matches!(c, '"' | '<' | '>' | '\\' | '^' | '`'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_web_are_pictures() {
        for text in
            ["https://a.kr/b.png", "HTTP://a.kr", "https://예시.kr/사진.png?x=1#y", "http://[::1]/a", "http://a:8000/x"]
        {
            assert!(is_web_address(text), "{text}");
        }
        for text in [
            "javascript:alert(1)",
            "data:image/png;base64,x",
            "ftp://a.kr/b",
            "https://",
            "https:///b",
            "a.kr/b",
            "https://a.kr/ b",
            "https://a.kr/\"onload",
            "https://user@a.kr/",
            "//a.kr/b",
        ] {
            assert!(!is_web_address(text), "{text}");
        }
    }
}
