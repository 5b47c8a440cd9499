//! Bodies in: JSON and forms alike, read field by field so that every mistake is named at once.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::header,
};
use entity::Millis;
use http_body_util::{BodyExt, Limited};
use jiff::Timestamp;
use serde_json::{Map, Value};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use crate::error::{Error, ErrorCode, FieldError, Result};

/// No body of this API is longer.
pub const MAX_BYTES: usize = 4096;

/// The fields of a body. An empty body and `null` have none.
#[derive(Debug, Default)]
pub struct Body {
    values: Map<String, Value>,
}

impl<S: Sync> FromRequest<S> for Body {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        let media_type = request
            .headers()
            .get(header::CONTENT_TYPE)
            .map(|value| value.to_str().unwrap_or("?").split(';').next().unwrap_or("?").trim().to_ascii_lowercase());
        let bytes = Limited::new(request.into_body(), MAX_BYTES).collect().await.map_err(|error| {
            let code = if error.is::<http_body_util::LengthLimitError>() {
                ErrorCode::BodyTooLarge
            } else {
                ErrorCode::MalformedBody
            };
            Error::from(code)
        })?;
        Self::parse(media_type.as_deref(), &bytes.to_bytes())
    }
}

impl Body {
    fn parse(media_type: Option<&str>, bytes: &Bytes) -> Result<Self> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        let malformed = || Error::from(ErrorCode::MalformedBody);
        let values = match media_type {
            Some("application/json") => match serde_json::from_slice(bytes).map_err(|_| malformed())? {
                Value::Object(values) => values,
                Value::Null => Map::new(),
                _ => return Err(malformed()),
            },
            Some("application/x-www-form-urlencoded") => {
                let pairs: Vec<(String, String)> = serde_urlencoded::from_bytes(bytes).map_err(|_| malformed())?;
                // A percent-encoding that is no UTF-8 decodes to this; nobody means it.
                if pairs.iter().any(|(name, value)| name.contains('\u{fffd}') || value.contains('\u{fffd}')) {
                    return Err(malformed());
                }
                pairs.into_iter().map(|(name, value)| (name, Value::String(value))).collect()
            }
            _ => return Err(ErrorCode::UnsupportedMediaType.into()),
        };
        Ok(Self { values })
    }

    /// Begins to read the fields.
    pub fn fields(self) -> Fields {
        Fields { values: self.values, errors: Vec::new() }
    }
}

/// Reads fields one by one and remembers what is wrong with each. A reader that finds a mistake answers with a
/// placeholder; [`Fields::finish`] then refuses, so that no placeholder gets through.
#[derive(Debug)]
pub struct Fields {
    values: Map<String, Value>,
    errors: Vec<FieldError>,
}

impl Fields {
    /// Remembers a mistake.
    pub fn refuse(&mut self, error: FieldError) {
        self.errors.push(error);
    }

    /// The whole refusal, or nothing.
    pub fn finish(self) -> Result<()> {
        if self.errors.is_empty() { Ok(()) } else { Err(Error::fields(self.errors)) }
    }

    /// Whether the field was sent at all, even as null.
    pub fn has(&self, field: &str) -> bool {
        self.values.contains_key(field)
    }

    /// A text as it was sent; null counts as missing.
    pub fn text(&mut self, field: &'static str) -> Option<String> {
        match self.values.get(field) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(_) => {
                self.refuse(FieldError::new(field, ErrorCode::WrongType));
                None
            }
        }
    }

    /// A text that must be there and not blank. For passwords and the like: nothing is trimmed or normalised.
    pub fn required(&mut self, field: &'static str) -> String {
        let before = self.errors.len();
        match self.text(field).filter(|text| !text.trim().is_empty()) {
            Some(text) => text,
            None => {
                if self.errors.len() == before {
                    self.refuse(FieldError::new(field, ErrorCode::Required));
                }
                String::new()
            }
        }
    }

    /// A line that people will see: trimmed, composed (NFC, so that Hangul typed on any system is found), bounded,
    /// without control and bidi-override characters. `None` when it was not sent.
    pub fn visible(&mut self, field: &'static str, max: usize) -> Option<String> {
        self.shown(field, |text| check_visible(field, text, max))
    }

    /// Like [`Fields::visible`], in several lines.
    pub fn visible_lines(&mut self, field: &'static str, max: usize) -> Option<String> {
        self.shown(field, |text| check_visible_lines(field, text, max))
    }

    fn shown(&mut self, field: &'static str, check: impl Fn(&str) -> Result<(), FieldError>) -> Option<String> {
        let text = visible(&self.text(field)?);
        if let Err(error) = check(&text) {
            self.refuse(error);
        }
        Some(text)
    }

    /// Like [`Fields::visible`], and must be there.
    pub fn required_visible(&mut self, field: &'static str, max: usize) -> String {
        let before = self.errors.len();
        let text = self.visible(field, max).unwrap_or_default();
        if text.is_empty() && self.errors.len() == before {
            self.refuse(FieldError::new(field, ErrorCode::Required));
        }
        text
    }

    /// A whole number within bounds; a form's text is read as one.
    pub fn int(&mut self, field: &'static str, min: i64, max: i64) -> Option<i64> {
        let number = match self.values.get(field) {
            None | Some(Value::Null) => return None,
            Some(Value::String(text)) if text.trim().is_empty() => return None,
            Some(Value::String(text)) => text.trim().parse().ok(),
            Some(Value::Number(number)) => number.as_i64(),
            Some(_) => None,
        };
        match number {
            None => self.refuse(FieldError::new(field, ErrorCode::WrongType)),
            Some(number) if number < min || number > max => {
                self.refuse(FieldError::new(field, ErrorCode::OutOfRange).with("min", min).with("max", max));
            }
            Some(number) => return Some(number),
        }
        // The mistake is noted; a number within bounds lets the reading go on.
        Some(min)
    }

    /// Like [`Fields::int`], and must be there.
    pub fn required_int(&mut self, field: &'static str, min: i64, max: i64) -> i64 {
        self.int(field, min, max).unwrap_or_else(|| {
            self.refuse(FieldError::new(field, ErrorCode::Required));
            min
        })
    }

    /// An instant: RFC 3339, or milliseconds since 1970.
    pub fn instant(&mut self, field: &'static str) -> Option<Millis> {
        let parse = |text: &str| text.parse().ok().or_else(|| Some(text.parse::<Timestamp>().ok()?.as_millisecond()));
        let instant = match self.values.get(field) {
            None | Some(Value::Null) => return None,
            Some(Value::String(text)) => parse(text.trim()),
            Some(Value::Number(number)) => number.as_i64(),
            Some(_) => None,
        };
        if instant.is_none() {
            self.refuse(FieldError::new(field, ErrorCode::WrongType));
        }
        instant.map(Millis)
    }

    /// Yes or no; a form's `true`, `false`, `1`, `0` are read as such.
    pub fn flag(&mut self, field: &'static str) -> Option<bool> {
        let flag = match self.values.get(field) {
            None | Some(Value::Null) => return None,
            Some(Value::Bool(flag)) => Some(*flag),
            Some(Value::String(text)) => match text.trim() {
                "true" | "1" => Some(true),
                "false" | "0" => Some(false),
                _ => None,
            },
            Some(_) => None,
        };
        if flag.is_none() {
            self.refuse(FieldError::new(field, ErrorCode::WrongType));
        }
        flag
    }
}

/// A text as people will see it: trimmed and composed.
pub fn visible(text: &str) -> String {
    let text = text.trim();
    // Nearly every text is composed already, and seeing that costs a tenth of composing it.
    match is_nfc_quick(text.chars()) {
        IsNormalized::Yes => text.to_owned(),
        IsNormalized::No | IsNormalized::Maybe => text.nfc().collect(),
    }
}

/// Whether people can be shown `text` in a line: short enough, without control and bidi-override characters.
pub fn check_visible(field: &'static str, text: &str, max: usize) -> Result<(), FieldError> {
    // A name of two lines breaks the rows of lists, and could be found across its halves.
    let one_line = if text.contains('\n') { Err(FieldError::new(field, ErrorCode::InvalidCharacters)) } else { Ok(()) };
    check_visible_lines(field, text, max).and(one_line)
}

/// Like [`check_visible`], for what may have several lines.
pub fn check_visible_lines(field: &'static str, text: &str, max: usize) -> Result<(), FieldError> {
    if text.chars().count() > max {
        return Err(FieldError::new(field, ErrorCode::TooLong).with("max", max));
    }
    // The explicit directional formatting characters of UAX #9: they make one name look like another.
    let hidden = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if text.chars().any(|c| hidden(c) && c != '\n') {
        return Err(FieldError::new(field, ErrorCode::InvalidCharacters));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(media_type: &str, text: &str) -> Result<Body> {
        Body::parse(Some(media_type), &Bytes::copy_from_slice(text.as_bytes()))
    }

    fn json(text: &str) -> Fields {
        body("application/json", text).unwrap().fields()
    }

    #[test]
    fn json_and_forms_are_alike() {
        for (media_type, text) in [
            ("application/json", r#"{"name":" 김수미 ","gender":1,"flag":true}"#),
            ("application/x-www-form-urlencoded", "name=+%EA%B9%80%EC%88%98%EB%AF%B8+&gender=1&flag=true"),
        ] {
            let mut fields = body(media_type, text).unwrap().fields();
            assert_eq!(fields.required_visible("name", 10), "김수미");
            assert_eq!(fields.required_int("gender", 0, 1), 1);
            assert_eq!(fields.flag("flag"), Some(true));
            fields.finish().unwrap();
        }
    }

    #[test]
    fn nothing_counts_as_an_empty_object() {
        for (media_type, text) in [(None, ""), (Some("text/plain"), " "), (Some("application/json"), "null")] {
            assert!(Body::parse(media_type, &Bytes::from(text)).unwrap().values.is_empty());
        }
    }

    #[test]
    fn what_is_no_body_of_ours_is_refused() {
        for (media_type, text, code) in [
            ("text/plain", "x", ErrorCode::UnsupportedMediaType),
            ("application/xml", "<a/>", ErrorCode::UnsupportedMediaType),
            ("application/json", "{", ErrorCode::MalformedBody),
            ("application/json", "[1]", ErrorCode::MalformedBody),
            ("application/json", "\"x\"", ErrorCode::MalformedBody),
            ("application/x-www-form-urlencoded", "a=%FF", ErrorCode::MalformedBody),
        ] {
            assert_eq!(body(media_type, text).unwrap_err().code(), code, "{media_type} {text}");
        }
    }

    #[test]
    fn every_mistake_is_named_at_once() {
        let mut fields = json(r#"{"a":7,"b":"x","c":"\u202Eevil","d":"toolong"}"#);
        fields.required("a");
        fields.required_int("b", 0, 1);
        fields.required_visible("c", 10);
        fields.visible("d", 3);
        fields.required("e");
        let Err(Error::Refused(refusal)) = fields.finish() else { panic!() };
        let found: Vec<_> = refusal.fields.iter().map(|field| (field.field, field.code.as_str())).collect();
        assert_eq!(
            found,
            [
                ("a", "wrong_type"),
                ("b", "wrong_type"),
                ("c", "invalid_characters"),
                ("d", "too_long"),
                ("e", "required")
            ]
        );
    }

    #[test]
    fn decomposed_hangul_is_composed() {
        let decomposed = "\u{1100}\u{1175}\u{11b7}";
        let mut fields = json(&format!(r#"{{"name":"{decomposed}"}}"#));
        assert_eq!(fields.required_visible("name", 1), "김");
    }

    #[test]
    fn only_a_text_of_lines_has_line_feeds() {
        for (text, name, description) in [
            ("two\\nlines", Err(ErrorCode::InvalidCharacters), Ok(())),
            ("two\\rlines", Err(ErrorCode::InvalidCharacters), Err(ErrorCode::InvalidCharacters)),
            ("\\none\\n", Ok(()), Ok(())),
        ] {
            let body = format!(r#"{{"a":"{text}"}}"#);
            let (mut line, mut lines) = (json(&body), json(&body));
            line.visible("a", 10);
            lines.visible_lines("a", 10);
            assert_eq!(line.finish().map_err(|error| error.code()), name, "{text}");
            assert_eq!(lines.finish().map_err(|error| error.code()), description, "{text}");
        }
    }
}
