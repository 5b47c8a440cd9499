//! Letters to people, through the same outbox as everything else that was committed.
//!
//! Promises that a letter posted in a transaction is delivered after its commit, at least once, by one instance at a
//! time, and tried again with growing pauses for two days. It knows no feature: what a letter is about is in the
//! letter. No letter and no address is ever logged.

use std::{io::Write, os::unix::fs::OpenOptionsExt, path::PathBuf, time::Duration};

use anyhow::{Context, anyhow};
use entity::{
    Millis,
    outbox::{Column, Entity, Model},
};
use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{
        Body, Mailbox,
        header::{ContentTransferEncoding, ContentType},
    },
};
use sea_orm::{
    ColumnTrait, EntityTrait, ExprTrait, QueryFilter, QueryOrder,
    sea_query::{Expr, LikeExpr},
};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    clock,
    config::{Config, MailTransport},
    db::{self, Db, Tx},
    error::Result,
    outbox,
};

/// The first pause after a failure; it doubles up to the longest. While a letter is on its way nobody else takes it,
/// so the first pause is longer than [`SMTP_TIMEOUT`].
const FIRST_PAUSE: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// A letter that nobody took for so long is given up.
const GIVEN_UP: Duration = Duration::from_secs(48 * 3600);

/// Longest step of a delivery by SMTP.
const SMTP_TIMEOUT: Duration = Duration::from_secs(15);

/// How long nobody looks if nothing is committed here: another process may post, and a pause may end.
const IDLE: Duration = Duration::from_secs(5);

/// After a commit others are likely to follow; one look serves them all.
const GATHER: Duration = Duration::from_millis(50);

/// What a letter is about, and to whom it goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "letter", rename_all = "snake_case")]
#[allow(missing_docs, reason = "a letter's parts are what its text says")]
pub enum Letter {
    /// How to choose a new password.
    PasswordReset { to: String, uid: i64, token: String },
    /// Somebody, hopefully the reader, has changed the password.
    PasswordChanged { to: String },
    /// Somebody with the reader's product key asked for the e-mail.
    EmailFound { to: String },
}

/// Posts `letter` once `tx` is committed.
pub async fn post(tx: &Tx, at: Millis, letter: &Letter) -> Result<()> {
    outbox::post(tx, at, serde_json::to_string(letter).map_err(anyhow::Error::from)?).await
}

/// Takes back every letter to `address` that is not delivered yet.
pub async fn withdraw(tx: &Tx, address: &str) -> Result<()> {
    let quoted = serde_json::to_string(address).map_err(anyhow::Error::from)?;
    let addressed = LikeExpr::new(db::like_contains(&quoted)).escape('\\');
    Entity::delete_many().filter(Column::Channel.is_null()).filter(Column::Body.like(addressed)).exec(&**tx).await?;
    Ok(())
}

/// Where a person chooses a new password. The address is the configuration's, never the caller's.
pub fn reset_link(config: &Config, uid: i64, token: &str) -> String {
    config.auth.reset_link.replace("{uid}", &uid.to_string()).replace("{token}", token)
}

impl Letter {
    fn to(&self) -> &str {
        match self {
            Self::PasswordReset { to, .. } | Self::PasswordChanged { to } | Self::EmailFound { to } => to,
        }
    }

    /// Subject and text: Korean first, English below.
    fn text(&self, config: &Config) -> (&'static str, String) {
        match self {
            Self::PasswordReset { uid, token, .. } => {
                let (link, minutes) = (reset_link(config, *uid, token), config.auth.reset_ttl.as_secs() / 60);
                (
                    "[Solgik] 비밀번호 재설정 / Reset your password",
                    format!(
                        "안녕하세요.\n\n아래 주소에서 새 비밀번호를 정해 주세요. {minutes}분 동안 한 번만 사용할 수 있습니다.\n\n\
                     {link}\n\n요청하신 적이 없다면 이 메일을 무시하셔도 됩니다.\n\n----\n\n\
                     Choose a new password at the address above. It works once, within {minutes} minutes.\n\
                     If you did not ask for this, you can ignore this letter.\n"
                    ),
                )
            }
            Self::PasswordChanged { .. } => (
                "[Solgik] 비밀번호가 변경되었습니다 / Your password was changed",
                "안녕하세요.\n\n회원님의 비밀번호가 변경되었습니다.\n\
                 직접 변경하신 것이 아니라면 지금 비밀번호를 재설정해 주세요.\n\n----\n\n\
                 Your password was changed. If it wasn't you who changed it, please reset it now.\n"
                    .to_owned(),
            ),
            Self::EmailFound { .. } => (
                "[Solgik] 이메일 찾기 안내 / Your e-mail was looked up",
                "안녕하세요.\n\n회원님의 제품 키로 이메일 찾기가 이루어졌습니다.\n\
                 직접 하신 것이 아니라면 제품 키가 다른 사람에게 알려졌을 수 있습니다.\n\n----\n\n\
                 Somebody looked up your e-mail with your product key.\n\
                 If it wasn't you, somebody else may know the key.\n"
                    .to_owned(),
            ),
        }
    }
}

/// How letters leave.
enum Carrier {
    File(PathBuf),
    Log,
    Smtp(AsyncSmtpTransport<Tokio1Executor>),
}

struct Office {
    from: Mailbox,
    carrier: Carrier,
}

impl Office {
    fn open(config: &Config) -> anyhow::Result<Self> {
        let carrier = match config.mail.transport {
            MailTransport::File => Carrier::File(config.data_dir.join("mail")),
            MailTransport::Log => Carrier::Log,
            MailTransport::Smtp => {
                let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(config.mail.smtp_url.expose());
                // The address holds a password; the library's own error could repeat it.
                let builder = builder.map_err(|_| anyhow!("mail.smtp_url can't be understood"))?;
                Carrier::Smtp(builder.timeout(Some(SMTP_TIMEOUT)).build())
            }
        };
        Ok(Self { from: config.mail.from.parse().context("mail.from")?, carrier })
    }

    async fn carry(&self, config: &Config, row: &Model, letter: &Letter) -> anyhow::Result<()> {
        match &self.carrier {
            Carrier::Log => tracing::info!(id = %row.id, "a letter goes nowhere: mail.transport is log"),
            Carrier::File(folder) => {
                let message = self.write(config, row, letter)?.formatted();
                let path = folder.join(format!("{}-{}.eml", row.at, row.id));
                tokio::task::spawn_blocking(move || keep(&path, &message)).await??;
            }
            Carrier::Smtp(transport) => {
                transport.send(self.write(config, row, letter)?).await?;
            }
        }
        Ok(())
    }

    fn write(&self, config: &Config, row: &Model, letter: &Letter) -> anyhow::Result<Message> {
        let to: Address = letter.to().parse().context("the recipient")?;
        let (subject, text) = letter.text(config);
        let body = match self.carrier {
            // Files are there to be read as they are.
            Carrier::File(_) => {
                let lines = text.replace('\n', "\r\n").into_bytes();
                Body::dangerous_pre_encoded(lines, ContentTransferEncoding::EightBit)
            }
            // On its way through the world a letter stays within seven bits.
            Carrier::Log | Carrier::Smtp(_) => Body::new(text),
        };
        let message = Message::builder()
            .from(self.from.clone())
            .to(to.into())
            .subject(subject)
            // The same for every try, so that a letter that arrives twice can be seen to be one.
            .message_id(Some(format!("<{}.{}@{}>", row.at, row.id, self.from.email.domain())))
            .header(ContentType::TEXT_PLAIN);
        Ok(message.body(body)?)
    }
}

/// Written whole under another name first: whoever watches the folder never reads half a letter.
fn keep(path: &std::path::Path, message: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().context("a letter needs a folder")?;
    std::fs::create_dir_all(folder)?;
    let draft = path.with_extension("draft");
    // A reset link is a secret: nobody but the service's own user reads it.
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(message)?;
    file.sync_all()?;
    std::fs::rename(&draft, path)?;
    Ok(())
}

/// Delivers until `stop`. A letter under way is finished first.
pub async fn deliver(app: App, stop: CancellationToken) {
    let office = match Office::open(&app.config) {
        Ok(office) => office,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "no letter can be delivered; all of them wait");
            return;
        }
    };
    let mut commits = app.db.commits();
    loop {
        commits.mark_unchanged();
        while !stop.is_cancelled() {
            match deliver_next(&app, &office).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::warn!(%error, "letters wait");
                    break;
                }
            }
        }
        let woken = async {
            let _ = tokio::time::timeout(IDLE, commits.changed()).await;
            tokio::time::sleep(GATHER).await;
        };
        if stop.run_until_cancelled(woken).await.is_none() {
            return;
        }
    }
}

/// Takes the next letter that is due and carries it; false if none is.
async fn deliver_next(app: &App, office: &Office) -> Result<bool> {
    let now = app.clock.now();
    let Some(row) = find_due(&app.db, now).await? else { return Ok(false) };
    if !claim(&app.db, &row, now).await? {
        return Ok(true);
    }
    let carried = match serde_json::from_str::<Letter>(&row.body) {
        Ok(letter) => office.carry(&app.config, &row, &letter).await,
        Err(error) => Err(error.into()),
    };
    let late = row.at.0.saturating_add(clock::millis(GIVEN_UP)) <= now.0;
    match carried {
        Ok(()) => outbox::remove(&app.db, vec![row.id]).await?,
        Err(error) if late => {
            tracing::error!(id = %row.id, error = format!("{error:#}"), "a letter is given up");
            outbox::remove(&app.db, vec![row.id]).await?;
        }
        Err(error) => tracing::warn!(id = %row.id, error = format!("{error:#}"), "a letter waits to be tried again"),
    }
    Ok(true)
}

async fn find_due(db: &Db, now: Millis) -> Result<Option<Model>> {
    let due = Entity::find().filter(Column::Channel.is_null()).filter(Column::DueAt.lte(now)).order_by_asc(Column::Id);
    Ok(due.one(&**db).await?)
}

/// Whether this instance is the one that tries. The pause begins before the try: an instance that dies meanwhile
/// leaves a letter that is due again later, not one that nobody owns.
async fn claim(db: &Db, row: &Model, now: Millis) -> Result<bool> {
    let claimed = Entity::update_many()
        .col_expr(Column::Attempts, Expr::col(Column::Attempts).add(1))
        .col_expr(Column::DueAt, Expr::value(clock::after(now, pause(row.attempts))))
        .filter(Column::Id.eq(row.id))
        .filter(Column::Attempts.eq(row.attempts))
        .exec(&*db.alone().await?)
        .await?;
    Ok(claimed.rows_affected == 1)
}

/// How long a letter waits after it has failed `attempts` times and once more.
fn pause(attempts: i32) -> Duration {
    let doublings = u32::try_from(attempts).unwrap_or(0);
    FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(doublings)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Flags;

    #[test]
    fn pauses_double_up_to_an_hour() {
        for (attempts, secs) in [(0, 30), (1, 60), (2, 120), (6, 1920), (7, 3600), (1000, 3600)] {
            assert_eq!(pause(attempts).as_secs(), secs, "{attempts}");
        }
    }

    #[test]
    fn a_letter_by_file_can_be_read_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let flags = Flags { data: Some(dir.path().to_owned()), ..Flags::default() };
        let config = Config::load(&flags, []).unwrap();
        let office = Office::open(&config).unwrap();
        let row = Model {
            id: entity::OutboxId(7),
            channel: None,
            body: String::new(),
            at: Millis(1),
            due_at: Millis(1),
            attempts: 0,
        };
        let letter = Letter::PasswordReset { to: "sumi@example.com".into(), uid: 9, token: "t0k3n".into() };
        let written = office.write(&config, &row, &letter).unwrap().formatted();
        let written = String::from_utf8(written).unwrap();
        assert!(written.contains("http://127.0.0.1:8000/#reset?uid=9&token=t0k3n\r\n"), "{written}");
        assert!(written.contains("To: sumi@example.com\r\n"), "{written}");
        assert!(written.contains("Message-ID: <1.7@localhost>\r\n"), "{written}");
        assert!(written.contains("30분") && written.contains("30 minutes"), "{written}");
    }

    #[test]
    fn a_letter_is_read_as_it_is_posted() {
        let letter = Letter::PasswordChanged { to: "\"sumi kim\"@example.com".into() };
        let text = serde_json::to_string(&letter).unwrap();
        assert_eq!(serde_json::from_str::<Letter>(&text).unwrap(), letter);
    }
}
