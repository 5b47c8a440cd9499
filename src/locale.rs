//! Which language a person reads: Korean by default, English second.
//!
//! Promises the negotiation of `Accept-Language` with quality values (RFC 9110, section 12.5.4). The sentences
//! themselves stand beside the codes they belong to, in [`crate::error`].

/// A language in which every sentence exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Locale {
    /// Korean.
    #[default]
    Ko,
    /// English.
    En,
}

impl Locale {
    /// The language's tag, as `Content-Language` has it.
    pub fn tag(self) -> &'static str {
        match self {
            Self::Ko => "ko",
            Self::En => "en",
        }
    }

    /// Picks the language that `accept_language` prefers; Korean wins a tie and a wildcard.
    pub fn negotiate(accept_language: &str) -> Self {
        let mut best = (Self::default(), 0.0_f32);
        for range in accept_language.split(',') {
            let mut parts = range.split(';');
            let tag = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
            let quality = parts
                .find_map(|parameter| parameter.trim().strip_prefix("q="))
                .map_or(1.0, |q| q.parse::<f32>().unwrap_or(0.0).clamp(0.0, 1.0));
            let locale = match tag.split('-').next() {
                Some("ko" | "*") => Self::Ko,
                Some("en") => Self::En,
                _ => continue,
            };
            if quality > best.1 || (quality == best.1 && quality > 0.0 && locale == Self::Ko) {
                best = (locale, quality);
            }
        }
        best.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preferred_language_wins() {
        for (header, expected) in [
            ("", Locale::Ko),
            ("en", Locale::En),
            ("en-US,en;q=0.9", Locale::En),
            ("ko;q=0.5,en;q=0.8", Locale::En),
            ("en;q=0.5,ko;q=0.8", Locale::Ko),
            ("en,ko", Locale::Ko),
            ("*", Locale::Ko),
            ("fr,de;q=0.9", Locale::Ko),
            ("fr, en;q=0.1", Locale::En),
            ("en;q=0", Locale::Ko),
            ("en;q=nonsense", Locale::Ko),
            ("EN-gb", Locale::En),
        ] {
            assert_eq!(Locale::negotiate(header), expected, "{header:?}");
        }
    }
}
