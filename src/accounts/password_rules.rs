//! Which passwords are good enough.
//!
//! Promises a verdict that depends on nothing but the password and its owner: 8 to 128 characters, not all digits, not
//! on the list of common ones, not close to the e-mail or the name. It demands no mixture of kinds of characters: that
//! makes passwords worse (NIST SP 800-63B, section 3.1.1.2).

use crate::error::{ErrorCode, FieldError};

const MIN: usize = 8;
/// Longer ones are refused before anybody spends a hash on them.
pub(super) const MAX: usize = 128;

/// Sorted, lower-case, one a line: well-known passwords of at least [`MIN`] characters with their usual endings, among
/// them Korean words typed on a Latin keyboard.
const COMMON: &str = include_str!("common_passwords.txt");

/// Pieces of an e-mail or a name that are shorter than this occur in good passwords by chance.
const PIECE: usize = 3;

/// What a password must not be close to.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// The whole address.
    pub email: &'a str,
    /// Family name.
    pub last_name: &'a str,
    /// Given name.
    pub first_name: &'a str,
}

/// Refuses a weak `password` under the name of its `field`.
pub fn check(field: &'static str, password: &str, owner: Owner<'_>) -> Result<(), FieldError> {
    check_length(field, password)?;
    let lower = password.to_lowercase();
    let weakness = match () {
        () if password.chars().all(char::is_numeric) => ErrorCode::PasswordNumeric,
        () if is_common(&lower) => ErrorCode::PasswordCommon,
        () if owner.pieces().iter().any(|piece| close(&lower, piece)) => ErrorCode::PasswordSimilar,
        () => return Ok(()),
    };
    Err(FieldError::new(field, weakness))
}

/// The part of the verdict for which nobody needs to know the owner.
pub fn check_length(field: &'static str, password: &str) -> Result<(), FieldError> {
    let fits = (MIN..=MAX).contains(&password.chars().count());
    let refusal = || FieldError::new(field, ErrorCode::PasswordLength).with("min", MIN).with("max", MAX);
    if fits { Ok(()) } else { Err(refusal()) }
}

fn is_common(lower: &str) -> bool {
    COMMON.lines().any(|common| common == lower)
}

impl Owner<'_> {
    /// The e-mail, its two halves and their words, the names and both orders of them.
    fn pieces(&self) -> Vec<String> {
        let (local, domain) = self.email.rsplit_once('@').unwrap_or((self.email, ""));
        let (last, first) = (self.last_name, self.first_name);
        let mut pieces = vec![self.email.to_owned(), local.to_owned(), domain.to_owned()];
        pieces.extend(self.email.split(|c: char| !c.is_alphanumeric()).map(str::to_owned));
        pieces.extend([last.to_owned(), first.to_owned(), format!("{last}{first}"), format!("{first}{last}")]);
        pieces.retain(|piece| piece.chars().count() >= PIECE);
        pieces.iter().map(|piece| piece.to_lowercase()).collect()
    }
}

/// Whether `piece`, forwards or backwards, makes up half of the password or more, or nearly is the password.
fn close(password: &str, piece: &str) -> bool {
    let length = password.chars().count();
    let reversed: String = piece.chars().rev().collect();
    let contained = password.contains(piece) || password.contains(&reversed);
    (contained && piece.chars().count() * 2 >= length) || distance(password, piece) * 4 <= length
}

/// Levenshtein's: how many characters to insert, remove or replace.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (above, from) in a.chars().enumerate() {
        let mut diagonal = above;
        let mut left = above + 1;
        let next = row.iter().skip(1).zip(&b).map(|(&up, to)| {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = up;
            left = replaced.min(up + 1).min(left + 1);
            left
        });
        row = std::iter::once(above + 1).chain(next).collect();
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUMI: Owner<'_> = Owner { email: "sumi.kim@example.com", last_name: "김", first_name: "수미" };
    const ALEX: Owner<'_> = Owner { email: "gorilla@zoo.example", last_name: "Montgomery", first_name: "Alexandra" };

    fn verdict(password: &str, owner: Owner<'_>) -> Option<ErrorCode> {
        check("password1", password, owner).err().map(|error| error.code)
    }

    #[test]
    fn weak_passwords_are_refused_for_their_reason() {
        let long = "x1".repeat(65);
        for (password, owner, expected) in [
            ("short-7", SUMI, ErrorCode::PasswordLength),
            (long.as_str(), SUMI, ErrorCode::PasswordLength),
            ("4815162342", SUMI, ErrorCode::PasswordNumeric),
            ("Password1!", SUMI, ErrorCode::PasswordCommon),
            ("qwer1234", SUMI, ErrorCode::PasswordCommon),
            ("dkssudgktpdy", SUMI, ErrorCode::PasswordCommon),
            ("sumi.kim@example.com", SUMI, ErrorCode::PasswordSimilar),
            ("sumikim1", SUMI, ErrorCode::PasswordSimilar),
            ("SumiKim99", Owner { last_name: "Kim", first_name: "Sumi", ..SUMI }, ErrorCode::PasswordSimilar),
            ("g0rilla!", ALEX, ErrorCode::PasswordSimilar),
            ("ardnaxela77", ALEX, ErrorCode::PasswordSimilar),
            ("Montg0mery", ALEX, ErrorCode::PasswordSimilar),
            ("example.com1", SUMI, ErrorCode::PasswordSimilar),
        ] {
            assert_eq!(verdict(password, owner), Some(expected), "{password}");
        }
    }

    #[test]
    fn good_passwords_are_taken_whatever_they_are_made_of() {
        for password in
            ["correct horse battery", "우리집 고양이는 세 마리", "kimchi-stew-at-noon", "x7!kQp2z", "tr0ub4dor&3"]
        {
            assert_eq!(verdict(password, SUMI), None, "{password}");
            assert_eq!(verdict(password, ALEX), None, "{password}");
        }
        assert_eq!(verdict(&"가나다".repeat(42), SUMI), None);
    }

    #[test]
    fn the_list_is_sorted_and_can_be_hit() {
        let lines: Vec<_> = COMMON.lines().collect();
        assert!(lines.is_sorted());
        assert!(lines.len() > 2000);
        for line in lines {
            assert!(line.chars().count() >= MIN && line == line.to_lowercase(), "{line}");
        }
    }

    #[test]
    fn the_distance_is_levenshteins() {
        for (a, b, expected) in
            [("", "", 0), ("abc", "", 3), ("", "abc", 3), ("kitten", "sitting", 3), ("abc", "abc", 0)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }
}
