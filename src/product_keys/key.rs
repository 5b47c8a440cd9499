//! What a product key is: how one is read, compared and made. No database, no clock, and randomness is an argument.
//!
//! Promises that two keys are the same exactly when their canonical forms are, and that a key never prints by accident.
//!
//! There are two families, and hyphens mean something else in each:
//! - **Ours** are 25 random letters of Crockford's base32 and a check letter. Hyphens are only there to be read, and
//!   the letters that people mistake (`O` for `0`, `I` and `L` for `1`) are forgiven: the check letter tells that it is
//!   one of ours after all.
//! - **Others'** were printed on devices before we knew them. Letter case is forgiven, hyphens count: a maker who
//!   numbers devices `KIT1-23000` and `KIT12-3000` means two devices, and dropping hyphens would make them one.

use std::fmt;

/// How long a key may be, as it is written.
const LENGTH: std::ops::RangeInclusive<usize> = 8..=64;

/// Crockford's base32: no letter looks like another.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Random letters of a key of ours, 5 bits each.
const RANDOM: usize = 25;

/// A key of ours is written in groups of so many letters.
const GROUP: usize = 5;

/// A product key in its canonical form: ours as they are printed, others' in upper case.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ProductKey(String);

/// What is written isn't a product key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a product key has {} to {} letters, digits and hyphens", LENGTH.start(), LENGTH.end())
    }
}

impl std::error::Error for Malformed {}

impl ProductKey {
    /// Reads a key as somebody wrote it; space around it is forgiven.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let text = text.trim();
        let allowed = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let says_something = text.bytes().any(|byte| byte != b'-');
        if !allowed || !says_something || !LENGTH.contains(&text.len()) {
            return Err(Malformed);
        }
        Ok(Self(ours(text).unwrap_or_else(|| text.to_ascii_uppercase())))
    }

    /// A new key of ours from 125 bits of `random`, which must come from a generator fit for secrets.
    pub fn generate(random: u128) -> Self {
        let mut symbols: Vec<_> = (0..RANDOM).map(|place| (random >> (5 * place)) as u8 & 31).collect();
        symbols.push(times_x(remainder(&symbols)));
        Self(grouped(&symbols))
    }

    /// The canonical form itself, at the few places that need it: its digest, and the one time that it is shown.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ProductKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProductKey(secret)")
    }
}

/// The printed form of `text`, if it is a key of ours in any spelling.
fn ours(text: &str) -> Option<String> {
    let symbols: Vec<_> = text.bytes().filter(|byte| *byte != b'-').map(symbol).collect::<Option<_>>()?;
    (symbols.len() == RANDOM + 1 && remainder(&symbols) == 0).then(|| grouped(&symbols))
}

fn symbol(byte: u8) -> Option<u8> {
    let meant = match byte.to_ascii_uppercase() {
        b'O' => b'0',
        b'I' | b'L' => b'1',
        other => other,
    };
    let place = ALPHABET.iter().position(|letter| *letter == meant)?;
    u8::try_from(place).ok()
}

fn grouped(symbols: &[u8]) -> String {
    let letters = symbols.iter().filter_map(|symbol| ALPHABET.get(usize::from(*symbol)));
    let letters: Vec<_> = letters.map(|letter| char::from(*letter)).collect();
    let groups: Vec<String> = letters.chunks(GROUP).map(|group| group.iter().collect()).collect();
    groups.join("-")
}

/// The symbols as a polynomial over GF(32), evaluated at x. It is 0 for a key with its check letter. The powers of x
/// differ for 31 places, so one wrong letter is always seen, and so are two swapped ones.
fn remainder(symbols: &[u8]) -> u8 {
    symbols.iter().fold(0, |sum, symbol| times_x(sum) ^ symbol)
}

/// Multiplies by x modulo x⁵ + x² + 1, which is primitive.
fn times_x(symbol: u8) -> u8 {
    let doubled = symbol << 1;
    if doubled & 32 == 0 { doubled } else { doubled ^ 0b10_0101 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANDOM_BITS: u128 = 0x0123_4567_89ab_cdef_fedc_ba98_7654_3210;

    fn canonical(text: &str) -> Option<String> {
        ProductKey::parse(text).ok().map(|key| key.expose().to_owned())
    }

    #[test]
    fn what_is_a_key() {
        let longest = "A".repeat(64);
        for (text, expected) in [
            ("KIT1-2300", "KIT1-2300"),
            ("kit1-2300", "KIT1-2300"),
            (" kit1-2300\r", "KIT1-2300"),
            ("12345678", "12345678"),
            ("-ABCDEF-", "-ABCDEF-"),
            ("OIL-OIL-OIL", "OIL-OIL-OIL"),
            (&longest, &longest),
        ] {
            assert_eq!(canonical(text).as_deref(), Some(expected), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_key() {
        let too_long = "A".repeat(65);
        for text in
            ["", "ABCDEFG", &too_long, "--------", "ABCD EFGH", "ABCD_EFGH", "ABCD/EFGH", "제품키하나", "ABCDEFG\u{0}"]
        {
            assert_eq!(ProductKey::parse(text), Err(Malformed), "{text:?}");
        }
    }

    #[test]
    fn hyphens_count_in_keys_of_others() {
        assert_ne!(canonical("KIT1-23000"), canonical("KIT12-3000"));
        assert_ne!(canonical("KIT1-23000"), canonical("KIT123000"));
    }

    #[test]
    fn a_generated_key_is_read_in_any_spelling() {
        let key = ProductKey::generate(RANDOM_BITS);
        let printed = key.expose();
        assert_eq!(printed.len(), 31);
        assert_eq!(printed.split('-').map(str::len).collect::<Vec<_>>(), [5, 5, 5, 5, 5, 1]);
        let bare = printed.replace('-', "");
        for text in [printed, &bare, &printed.to_lowercase(), &bare.replace('0', "o").replace('1', "l")] {
            assert_eq!(ProductKey::parse(text).as_ref(), Ok(&key), "{text}");
        }
    }

    #[test]
    fn a_slip_of_the_pen_is_no_key_of_ours() {
        let printed = ProductKey::generate(RANDOM_BITS).0.replace('-', "").into_bytes();
        for place in 0..printed.len() {
            for letter in ALPHABET {
                let mut slip = printed.clone();
                slip[place] = *letter;
                assert_eq!(ours(std::str::from_utf8(&slip).unwrap()).is_some(), slip == printed, "{place}");
            }
            for other in place..printed.len() {
                let mut slip = printed.clone();
                slip.swap(place, other);
                assert_eq!(ours(std::str::from_utf8(&slip).unwrap()).is_some(), slip == printed, "{place} {other}");
            }
        }
    }

    #[test]
    fn every_random_bit_counts_and_there_are_125() {
        let keys: std::collections::HashSet<_> = (0..125).map(|bit| ProductKey::generate(1 << bit)).collect();
        assert_eq!(keys.len(), 125);
        assert_eq!(ProductKey::generate(0), ProductKey::generate(0b111 << 125));
    }

    #[test]
    fn a_key_never_prints() {
        let key = ProductKey::parse("CANARY-KEY-1").unwrap();
        assert!(!format!("{key:?} {:?} {Malformed}", Some(&key)).contains("CANARY"));
    }
}
