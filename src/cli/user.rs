//! `solgik user`: what an operator does about people, beside a running server or without one.
//!
//! Promises the same rules as the doors: the same operations run. A server that runs elsewhere hears of ended sessions
//! from the database, not from here: its cache remembers a token for some seconds more.

use std::io::{IsTerminal, Read};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use entity::AccountId;

use super::{say, seed};
use crate::{
    accounts::{self, Email, NewAccount, deletion, email, password_rules, recovery},
    app::App,
    auth::secret::random_token,
    clock::Clock,
    config::Config,
    http::body::{check_visible, visible},
    locale::Locale,
};

/// Characters of a generated password: 80 bits.
const GENERATED: usize = 20;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make an account; the password is read from standard input, or generated and printed
    Create(Create),
    /// Let an account use the operator's routes, or no longer
    Staff {
        /// Whose
        email: String,
        #[command(flatten)]
        switch: Switch,
    },
    /// Print a link under which a new password can be chosen
    ResetPassword {
        /// Whose
        email: String,
    },
    /// Delete an account as its owner could
    Delete {
        /// Whose
        email: String,
    },
    /// Make many users with tokens, seated in rooms in order, for load tests
    Seed(seed::Seed),
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// The e-mail to sign in with
    email: String,
    /// Family name
    #[arg(long)]
    last_name: String,
    /// Given name
    #[arg(long)]
    first_name: String,
    /// 0 man, 1 woman
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i16).range(0..=1))]
    gender: i16,
    /// YYYY-MM-DD
    #[arg(long, default_value = "2000-01-01")]
    birth_date: jiff::civil::Date,
    /// May use the operator's routes
    #[arg(long)]
    staff: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Switch {
    /// From now on
    #[arg(long)]
    on: bool,
    /// No longer
    #[arg(long)]
    off: bool,
}

pub(super) async fn run(command: Command, config: Config) -> anyhow::Result<()> {
    let app = App::build(config, Clock::default()).await?;
    match command {
        Command::Create(create) => self::create(&app, create).await?,
        Command::Staff { email, switch } => accounts::set_staff(&app, find(&app, &email).await?, switch.on).await?,
        Command::ResetPassword { email } => {
            find(&app, &email).await?;
            say(recovery::reset_link(&app, &email).await?)?;
        }
        Command::Delete { email } => {
            deletion::delete(&app, find(&app, &email).await?).await?;
        }
        Command::Seed(seed) => seed::run(&app, &seed).await?,
    }
    Ok(())
}

async fn find(app: &App, email: &str) -> anyhow::Result<AccountId> {
    let found = accounts::find_by_email(app, email).await?;
    Ok(found.with_context(|| format!("nobody has the e-mail {}", email::key(email)))?.id)
}

async fn create(app: &App, create: Create) -> anyhow::Result<()> {
    let email = Email::parse(&create.email).context("this is no e-mail")?;
    let (password, generated) = match given_password()? {
        Some(password) => (password, false),
        None => (random_token().chars().take(GENERATED).collect(), true),
    };
    let (last_name, first_name) = (visible(&create.last_name), visible(&create.first_name));
    let owner = password_rules::Owner { email: email.address(), last_name: &last_name, first_name: &first_name };
    let checks = [
        check_visible("--last-name", &last_name, accounts::NAME),
        check_visible("--first-name", &first_name, accounts::NAME),
        password_rules::check("password", &password, owner),
    ];
    if let Some(wrong) = checks.into_iter().find_map(Result::err) {
        bail!("{}: {}", wrong.field, wrong.code.sentence(Locale::En, &wrong.params));
    }
    let (gender, birth_date) = (create.gender, create.birth_date.to_string());
    let new = NewAccount { email, password: password.clone(), last_name, first_name, gender, birth_date };
    let account = accounts::create(app, new).await?;
    accounts::set_staff(app, account.id, create.staff).await?;
    if generated {
        say(&password)?;
    }
    Ok(())
}

/// The first line of standard input, if somebody has put one there.
fn given_password() -> anyhow::Result<Option<String>> {
    let mut stdin = std::io::stdin();
    if stdin.is_terminal() {
        return Ok(None);
    }
    let mut text = String::new();
    stdin.read_to_string(&mut text).context("reading the password")?;
    Ok(text.lines().next().map(str::to_owned).filter(|line| !line.is_empty()))
}
