//! `solgik keys`: the operator's product keys, also while a server runs on the same database.
//!
//! Promises that keys go to standard output alone, and there only the one time that they are made. What is said about
//! the work goes to standard error, with line numbers instead of keys.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Subcommand;

use crate::{
    app::App,
    clock::Clock,
    config::Config,
    http::page::Span,
    product_keys::{self, KeyView, ProductKey},
};

/// Rows that `keys list` reads at once.
const PAGE: u64 = 1000;

#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// Make new keys and print them, one a line; they can't be printed again
    Generate {
        /// How many
        #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        count: u32,
    },
    /// Add keys that devices carry already: one a line, 8 to 64 letters, digits and hyphens
    Import {
        /// A text file; - reads standard input
        file: PathBuf,
    },
    /// Print id, state, account and dates of every key, never the key itself
    List,
    /// Remove a key for good, whoever holds it
    Revoke {
        #[arg(value_parser = ProductKey::parse, allow_hyphen_values = true)]
        key: ProductKey,
    },
}

pub(super) async fn run(command: Keys, config: Config) -> anyhow::Result<()> {
    let app = App::build(config, Clock::default()).await?;
    match command {
        Keys::Generate { count } => generate(&app, count).await,
        Keys::Import { file } => import(&app, &file).await,
        Keys::List => list(&app).await,
        Keys::Revoke { key } => revoke(&app, &key).await,
    }
}

async fn generate(app: &App, count: u32) -> anyhow::Result<()> {
    let keys = product_keys::generate(app, usize::try_from(count)?).await?;
    let mut out = io::stdout().lock();
    for key in keys {
        writeln!(out, "{}", key.expose())?;
    }
    Ok(out.flush()?)
}

#[allow(clippy::print_stderr, reason = "what a command says about its work")]
async fn import(app: &App, file: &Path) -> anyhow::Result<()> {
    let (lines, keys): (Vec<_>, Vec<_>) = parse(&read(file)?)?.into_iter().unzip();
    let new = product_keys::import(app, &keys).await?;
    for (line, _) in lines.iter().zip(&new).filter(|(_, new)| !**new) {
        eprintln!("line {line}: this key is known already");
    }
    let imported = new.iter().filter(|new| **new).count();
    eprintln!("imported: {imported}, known already: {}", new.len() - imported);
    Ok(())
}

fn read(file: &Path) -> anyhow::Result<String> {
    if file == Path::new("-") {
        return io::read_to_string(io::stdin()).context("reading standard input");
    }
    std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))
}

/// Keys with the numbers of their lines. All or nothing: a file with a mistake is mended first.
fn parse(text: &str) -> anyhow::Result<Vec<(usize, ProductKey)>> {
    // Spreadsheets begin their text files with this mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| {
            let key = ProductKey::parse(line).with_context(|| format!("line {number}, nothing was imported"))?;
            Ok((number, key))
        })
        .collect()
}

async fn list(app: &App) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "id\tstate\taccount\tcreated_at\tregistered_at")?;
    for offset in (0..).step_by(usize::try_from(PAGE)?) {
        let (keys, _) = product_keys::list(app, Span { offset, limit: PAGE }).await?;
        if keys.is_empty() {
            break;
        }
        for key in &keys {
            writeln!(out, "{}", row(key))?;
        }
    }
    Ok(out.flush()?)
}

fn row(key: &KeyView) -> String {
    let state = if key.in_use { "in use" } else { "free" };
    let account = key.account.map_or("-".to_owned(), |account| account.to_string());
    let registered_at = key.registered_at.as_deref().unwrap_or("-");
    format!("{}\t{state}\t{account}\t{}\t{registered_at}", key.id, key.created_at)
}

#[allow(clippy::print_stderr, reason = "what a command says about its work")]
async fn revoke(app: &App, key: &ProductKey) -> anyhow::Result<()> {
    let revoked = product_keys::revoke(app, key).await?;
    eprintln!("key {} is revoked", revoked.id);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_a_line_and_blank_lines_are_ignored() {
        let keys = parse("\u{feff}kit1-2300\r\n\n  \nKIT1-2301\n").unwrap();
        let keys: Vec<_> = keys.iter().map(|(line, key)| (*line, key.expose())).collect();
        assert_eq!(keys, [(1, "KIT1-2300"), (4, "KIT1-2301")]);
        assert!(parse("").unwrap().is_empty());
    }

    #[test]
    fn a_malformed_line_refuses_the_whole_import_and_is_named() {
        let error = format!("{:#}", parse("KIT1-2300\n\nCANARY KEY\nKIT1-2301").unwrap_err());
        assert!(error.contains("line 3") && !error.contains("CANARY"), "{error}");
    }
}
