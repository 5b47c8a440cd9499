//! Rules of the house that no compiler checks, each with its reason.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use solgik::error::ErrorCode;

const FOUNDATION: &[&str] = &["config", "error", "clock", "locale", "telemetry", "together", "jointly"];
const PLATFORM: &[&str] = &["db", "realtime", "outbox", "auth", "http", "grams", "tally"];
const FEATURES: &[&str] = &["runs", "people", "product_keys", "friends", "rooms", "study", "timer", "accounts"];

/// Who may import whom: a line names only modules of lines above it, so that no circle can be written down.
const IMPORTS: &[(&str, &[&[&str]])] = &[
    ("config", &[]),
    // A refusal's sentence is chosen by language.
    ("locale", &[]),
    ("error", &[&["locale"]]),
    ("clock", &[]),
    ("telemetry", &[&["config"]]),
    ("together", &[&["error"]]),
    ("jointly", &[&["error"]]),
    ("db", &[FOUNDATION]),
    ("realtime", &[FOUNDATION]),
    // What is committed is said through the hub.
    ("outbox", &[FOUNDATION, &["db", "realtime"]]),
    // Sessions are rows, and which of them end is a word that instances tell each other.
    ("auth", &[FOUNDATION, &["db", "realtime"]]),
    ("http", &[FOUNDATION]),
    // Whoever finds rows by a part of their name shows them in pages.
    ("grams", &[FOUNDATION, &["db", "http"]]),
    // What is counted is kept in the change that it comes of.
    ("tally", &[FOUNDATION, &["db"]]),
    // Below everybody: a person is shown with what the timer says.
    ("runs", &[FOUNDATION, PLATFORM]),
    ("app", &[FOUNDATION, PLATFORM, &["runs"]]),
    // Whose request it is, and what was answered, are rows.
    ("once", &[FOUNDATION, PLATFORM, &["app"]]),
    // The postman needs rows, settings and the clock together: above the app, though a feature sees it as platform.
    ("mail", &[FOUNDATION, PLATFORM, &["app"]]),
    ("people", &[FOUNDATION, PLATFORM, &["runs"]]),
    ("product_keys", &[FOUNDATION, PLATFORM, &["app", "mail", "people"]]),
    ("friends", &[FOUNDATION, PLATFORM, &["app", "runs", "people"]]),
    // How much a member's row shows depends on friendship.
    ("rooms", &[FOUNDATION, PLATFORM, &["app", "runs", "people", "friends"]]),
    ("study", &[FOUNDATION, PLATFORM, &["app", "runs", "people", "friends", "rooms"]]),
    // What a timer does is told in the room and to friends, and written down.
    ("timer", &[FOUNDATION, PLATFORM, &["app", "runs", "people", "friends", "rooms", "study"]]),
    // Deleting an account ends everything that it has elsewhere.
    (
        "accounts",
        &[
            FOUNDATION,
            PLATFORM,
            &["app", "once", "mail", "runs", "people", "product_keys", "friends", "rooms", "study", "timer"],
        ],
    ),
    ("ws", &[FOUNDATION, PLATFORM, &["app"], FEATURES]),
    ("web", &[FOUNDATION, PLATFORM, &["app"], FEATURES]),
    // What is shown to an operator lies all over the house.
    ("admin", &[FOUNDATION, PLATFORM, &["app"], FEATURES]),
    ("server", &[FOUNDATION, PLATFORM, &["app", "mail", "once"], FEATURES, &["ws", "web", "admin"]]),
    // A client: it knows the wire, and of the server's inside nothing.
    ("loadtest", &[&["error", "locale", "realtime"]]),
    ("client", &[]),
    ("cli", &[FOUNDATION, PLATFORM, &["app"], FEATURES, &["admin", "ws", "server", "client", "loadtest"]]),
    ("main", &[&["cli"]]),
];

/// Where JSON is handled. A feature speaks it in `routes.rs` alone, so that no column is exposed by accident.
const JSON: &[(&str, &str)] = &[
    ("src/error.rs", "parameters of a sentence are sent along as they are"),
    ("src/http/", "reads and writes bodies"),
    ("src/realtime/", "reads and writes frames"),
    ("src/outbox.rs", "keeps messages as they will be said"),
    ("src/mail.rs", "keeps letters as they will be sent"),
    ("src/ws/", "the socket's door"),
    ("src/client/", "a client of both doors"),
    ("src/loadtest/", "a client of that door, which writes reports too"),
];

/// Where a type of the web framework may appear, beside each feature's `routes.rs`.
const AXUM: &[(&str, &str)] = &[
    ("src/http/", "what REST doors share"),
    ("src/auth/caller.rs", "the proof of being signed in is an argument of handlers"),
    ("src/app.rs", "handlers ask for a part of the app"),
    ("src/once.rs", "a layer around REST doors"),
    ("src/admin/", "a door"),
    ("src/web/", "a door"),
    ("src/ws/", "a door"),
    ("src/server.rs", "merges the doors"),
];

/// Longer files than this are looked at.
const LONGEST: usize = 350;

/// Those that were looked at and stay as they are.
const LONG: &[(&str, &str)] = &[("src/config.rs", "one list of all settings; half of it is the list")];

#[test]
fn imports_point_down() {
    let mut broken = Vec::new();
    for (index, (module, groups)) in IMPORTS.iter().enumerate() {
        for name in groups.concat() {
            if !IMPORTS[..index].iter().any(|(earlier, _)| *earlier == name) {
                broken.push(format!("the table itself: {module} → {name}"));
            }
        }
    }
    let table: BTreeMap<_, _> = IMPORTS.iter().map(|(module, groups)| (*module, groups.concat())).collect();
    let mut modules = BTreeSet::new();
    for (path, text) in sources(&["src"]) {
        let module = top_module(&path);
        if module == "lib" {
            continue;
        }
        let allowed = table.get(module.as_str()).unwrap_or_else(|| panic!("{module} has no line in the table"));
        for imported in imports(&text) {
            if imported != module && !allowed.contains(&imported.as_str()) {
                broken.push(format!("{path}: {module} → {imported}"));
            }
        }
        modules.insert(module);
    }
    assert!(broken.is_empty(), "{broken:#?}");
    let unknown: Vec<_> = table.keys().filter(|module| !modules.contains(**module)).collect();
    assert!(unknown.is_empty(), "the table has lines for nothing: {unknown:?}");
}

/// The first segment of everything that `text` takes from this crate.
fn imports(text: &str) -> BTreeSet<String> {
    let code = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    let mut found = BTreeSet::new();
    for root in ["crate::", "solgik::"] {
        for (start, _) in code.match_indices(root) {
            let rest = &code[start + root.len()..];
            let Some(group) = rest.strip_prefix('{') else {
                found.insert(word(rest));
                continue;
            };
            let (mut depth, mut expects) = (0, true);
            for (at, character) in group.char_indices() {
                match character {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => expects = true,
                    _ if expects && !character.is_whitespace() => {
                        found.insert(word(&group[at..]));
                        expects = false;
                    }
                    _ => {}
                }
            }
        }
    }
    found
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn imports_are_read_as_they_are_written() {
    let text =
        "use crate::{\n  app::{App, x},\n db as d, // crate::no\n};\nuse crate::error::Error; fn f() { crate::a::b() }";
    assert_eq!(imports(text).into_iter().collect::<Vec<_>>(), ["a", "app", "db", "error"]);
}

#[test]
fn json_and_axum_stay_where_they_belong() {
    for (word, places) in [("serde_json", JSON), ("axum", AXUM)] {
        let allowed =
            |path: &str| path.ends_with("/routes.rs") || places.iter().any(|(place, _)| path.starts_with(place));
        let broken: Vec<_> = sources(&["src"])
            .into_iter()
            // What a file's own tests use does not reach the service.
            .filter(|(path, text)| !allowed(path) && text.split("#[cfg(test)]").next().unwrap().contains(word))
            .map(|(path, _)| path)
            .collect();
        assert!(broken.is_empty(), "{word} in {broken:?}");
    }
}

#[test]
fn files_are_short() {
    let long: BTreeSet<_> = sources(&["src", "entity", "migration"])
        .into_iter()
        .filter(|(_, text)| text.lines().count() > LONGEST)
        .map(|(path, _)| path)
        .collect();
    let known: BTreeSet<_> = LONG.iter().map(|(path, _)| (*path).to_owned()).collect();
    assert_eq!(long, known, "files over {LONGEST} lines, and those known to be");
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<_> = everything().into_iter().filter(|(_, text)| !text.starts_with("//! ")).collect();
    assert!(silent.is_empty(), "{:?}", silent.iter().map(|(path, _)| path).collect::<Vec<_>>());
}

#[test]
fn nothing_is_put_off_and_no_test_waits_for_time_to_pass() {
    let everywhere = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("to", "do!"), concat!("unimple", "mented!")];
    let in_tests = concat!("sle", "ep(");
    for (path, text) in everything() {
        for word in everywhere {
            assert!(!text.contains(word), "{path}: {word}");
        }
        assert!(!path.starts_with("tests/") || !text.contains(in_tests), "{path}: {in_tests}");
    }
}

/// Rows change and history doesn't: a step that used today's rows would change with them.
#[test]
fn migrations_do_not_know_the_rows_of_today() {
    let manifest = fs::read_to_string(root().join("migration/Cargo.toml")).unwrap();
    assert!(!manifest.lines().any(|line| line.starts_with("entity")));
}

#[test]
fn every_setting_is_described() {
    let mut described = false;
    for (number, line) in fs::read_to_string(root().join("config/default.toml")).unwrap().lines().enumerate() {
        match line.trim_start().chars().next() {
            None | Some('[') => described = false,
            Some('#') => described = true,
            Some(_) if line.contains('=') => assert!(described, "line {}: {line}", number + 1),
            Some(_) => {}
        }
    }
}

/// Programs read codes: one that was given out never changes its name or its status.
#[test]
fn error_codes_are_frozen() {
    let golden: BTreeSet<_> = include_str!("golden/error_codes.txt").lines().map(str::to_owned).collect();
    let codes = ErrorCode::ALL.iter().map(|code| format!("{} {}", code.as_str(), code.status())).collect();
    let (gone, new): (Vec<_>, Vec<_>) = (golden.difference(&codes).collect(), codes.difference(&golden).collect());
    assert!(gone.is_empty(), "given out and changed: {gone:?}");
    assert!(new.is_empty(), "to be added to tests/it/golden/error_codes.txt: {new:?}");
}

#[test]
fn the_readme_names_every_folder() {
    let Ok(readme) = fs::read_to_string(root().join("README.md")) else { return };
    for entry in fs::read_dir(root().join("src")).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_dir()) {
        let folder = entry.file_name().into_string().unwrap();
        assert!(readme.contains(&format!("{folder}/")), "src/{folder}/");
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// `src/rooms/routes.rs` belongs to `rooms`.
fn top_module(path: &str) -> String {
    word(path.strip_prefix("src/").unwrap())
}

fn everything() -> Vec<(String, String)> {
    sources(&["src", "entity", "migration", "tests"])
}

/// Every Rust file below `folders`, by its path from the root, with its text.
fn sources(folders: &[&str]) -> Vec<(String, String)> {
    let mut sources = Vec::new();
    let mut folders: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                sources.push((name, fs::read_to_string(path).unwrap()));
            }
        }
    }
    sources
}
