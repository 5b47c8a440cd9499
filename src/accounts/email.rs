//! E-mail addresses: what counts as one, and when two are the same.
//!
//! Promises one spelling for comparison: the whole address lower-cased. Mail servers may tell `Sumi@` from `sumi@`;
//! people don't, and an account is a person's.

use lettre::Address;

use crate::http::body::visible;

/// Longest address that a mail path can carry (RFC 5321, section 4.5.3.1.3).
pub(super) const MAX: usize = 254;

/// An address that a letter could be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    address: String,
    key: String,
}

impl Email {
    /// Reads an address as a person types it; its domain is lower-cased.
    pub fn parse(text: &str) -> Option<Self> {
        let text = visible(text);
        let address: Address = text.parse().ok().filter(|_| text.chars().count() <= MAX)?;
        let address = format!("{}@{}", address.user(), address.domain().to_lowercase());
        Some(Self { key: key(&address), address })
    }

    /// As the person writes it.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// As it is compared.
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// How any text is compared with an address, whether it is one or not.
pub fn key(text: &str) -> String {
    visible(text).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_its_spelling_and_has_one_key() {
        let email = Email::parse(" Sumi.Kim@Example.COM ").unwrap();
        assert_eq!((email.address(), email.key()), ("Sumi.Kim@example.com", "sumi.kim@example.com"));
        assert_eq!(key("SUMI.kim@EXAMPLE.com "), email.key());
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["a@b.kr", "a+b@sub.example.com", "load-1@load.invalid", "수미@example.kr", "sumi@localhost"] {
            assert!(Email::parse(text).is_some(), "{text:?}");
        }
        for text in
            ["", "sumi", "@example.com", "sumi@", "a b@example.com", "a@b@c.kr", "a@b..kr", "a@b.kr\nBcc: x@y.kr"]
        {
            assert!(Email::parse(text).is_none(), "{text:?}");
        }
        assert!(Email::parse(&format!("a@{}.kr", "b".repeat(300))).is_none());
    }
}
