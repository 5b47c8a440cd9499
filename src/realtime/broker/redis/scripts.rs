//! Everything that has to happen in one piece, as scripts that Redis runs.

use redis::Script;

/// One script. Redis knows it by its digest, or is sent it.
#[derive(Debug)]
pub(super) struct Lua {
    pub(super) code: String,
    pub(super) digest: String,
}

impl Lua {
    fn new(code: &str) -> Self {
        Self { code: code.to_owned(), digest: Script::new(code).get_hash().to_owned() }
    }
}

macro_rules! scripts {
    ($($name:ident: [$($file:literal),*],)*) => {
        /// All scripts, each described at the top of its file.
        #[derive(Debug)]
        pub(super) struct Scripts { $(pub(super) $name: Lua,)* }

        impl Scripts {
            pub(super) fn new() -> Self {
                Self { $($name: Lua::new(concat!($(include_str!(concat!("lua/", $file, ".lua"))),*)),)* }
            }
        }
    };
}

scripts! {
    publish: ["publish"],
    standing: ["standing"],
    since: ["since"],
    differ: ["differ"],
    refresh: ["refresh"],
    connect: ["presence", "connect"],
    disconnect: ["presence", "disconnect"],
    give_up: ["presence", "give_up"],
    expire: ["presence", "expire"],
    may_tell: ["presence", "may_tell"],
    told: ["presence", "told"],
    reap: ["reap"],
    beat: ["beat"],
    renew: ["renew"],
    tried: ["tried"],
}
