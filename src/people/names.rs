//! Names and e-mails as people see and look for them.

/// Family name first, as Korean writes it, without a space.
pub fn full_name(last_name: &str, first_name: &str) -> String {
    format!("{last_name}{first_name}")
}

/// Both orders of a name, lower-cased: what a keyword is looked for in. The line feed can't be part of a keyword, so
/// that no match runs across both.
pub fn search_name(last_name: &str, first_name: &str) -> String {
    format!("{last_name}{first_name}\n{first_name}{last_name}\n{first_name} {last_name}").to_lowercase()
}

/// `s***i@g***.com`: enough to recognise one's own, too little to write to.
pub fn masked(email: &str) -> String {
    let (local, domain) = email.rsplit_once('@').unwrap_or((email, ""));
    let mut local = local.chars();
    let first = local.next().map(String::from).unwrap_or_default();
    let last = local.next_back().map(String::from).unwrap_or_default();
    let (host, ending) = domain.rsplit_once('.').unwrap_or((domain, ""));
    let host = host.chars().next().map(String::from).unwrap_or_default();
    let dot = if ending.is_empty() { "" } else { "." };
    format!("{first}***{last}@{host}***{dot}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_email_is_masked() {
        for (email, expected) in [
            ("sumi@gmail.com", "s***i@g***.com"),
            ("s@gmail.com", "s***@g***.com"),
            ("수미@example.co.kr", "수***미@e***.kr"),
            ("root@localhost", "r***t@l***"),
        ] {
            assert_eq!(masked(email), expected);
        }
    }

    #[test]
    fn a_name_is_found_in_both_orders() {
        assert_eq!(full_name("김", "수미"), "김수미");
        let search = search_name("Kim", "Sumi");
        for keyword in ["kimsumi", "sumikim", "sumi kim"] {
            assert!(search.contains(keyword), "{keyword}");
        }
        assert!(!search.contains("miki m"));
    }
}
