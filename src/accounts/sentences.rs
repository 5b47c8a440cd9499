//! What the bare answers of `/rest-auth/*` say to a person, in both languages.

use crate::locale::Locale;

/// One sentence of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sentence {
    LoggedOut,
    PasswordChanged,
    ResetAsked,
    PasswordReset,
}

impl Sentence {
    pub(super) fn text(self, locale: Locale) -> &'static str {
        let (ko, en) = match self {
            Self::LoggedOut => ("로그아웃되었습니다.", "You are signed out."),
            Self::PasswordChanged => ("비밀번호가 변경되었습니다.", "The password has been changed."),
            Self::ResetAsked => (
                "가입된 이메일이라면 비밀번호 재설정 메일이 발송됩니다.",
                "If the e-mail belongs to an account, a letter with a reset link is on its way.",
            ),
            Self::PasswordReset => (
                "비밀번호가 재설정되었습니다. 새 비밀번호로 로그인해 주세요.",
                "The password has been reset. Please sign in with the new one.",
            ),
        };
        match locale {
            Locale::Ko => ko,
            Locale::En => en,
        }
    }
}
