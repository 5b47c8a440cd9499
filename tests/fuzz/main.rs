//! What reads what strangers write, fed with mutations of what they should write.
//!
//! Promises that nothing panics, hangs or forgets its own rules, whatever comes. A part of the test command for a moment,
//! and for as long as one likes by `.ci/fuzz SECONDS`. It mutates at random and knows nothing of coverage: that needs a
//! compiler which is not the stable one. `SOLGIK_FUZZ_SEED` repeats a run; an input that has broken something goes into
//! the seeds of its target.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "a test that fails shows what it printed")]

use std::{
    env, thread,
    time::{Duration, Instant},
};

use axum::{
    body::Body as Bytes,
    extract::{FromRequest, FromRequestParts, Request},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use solgik::{
    accounts::Email,
    auth::token_of,
    config::{Config, Flags, Rate},
    http::{Body, Paging},
    locale::Locale,
    product_keys::ProductKey,
    realtime::{
        Channel,
        protocol::ops::{self, Incoming},
    },
};

/// Inputs of one target without a bound in time.
const SHORT: u32 = 3000;

/// Feeds `target` with mutations of `seeds`; shows the input that broke it.
fn fuzz(name: &str, seeds: &[&[u8]], target: impl Fn(&[u8])) {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seed = number("SOLGIK_FUZZ_SEED").unwrap_or_else(rand::random);
    let until = number("SOLGIK_FUZZ_SECS").map(|secs| Instant::now() + Duration::from_secs(secs));
    let mut random = StdRng::seed_from_u64(seed);
    for input in seeds {
        Guard { name, seed, input }.feed(&target);
    }
    let mut fed = 0;
    while until.map_or(fed < SHORT, |until| Instant::now() < until) {
        let mut input = seeds[random.random_range(0..seeds.len())].to_vec();
        for _ in 0..random.random_range(1..6) {
            mutate(&mut random, &mut input, seeds);
        }
        Guard { name, seed, input: &input }.feed(&target);
        fed += 1;
    }
    println!("{name}: {fed} inputs, seed {seed}");
}

/// Shows its input if the test panics while it lives.
struct Guard<'a> {
    name: &'a str,
    seed: u64,
    input: &'a [u8],
}

impl Guard<'_> {
    fn feed(self, target: &impl Fn(&[u8])) {
        target(self.input);
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("{} with SOLGIK_FUZZ_SEED={}: b\"{}\"", self.name, self.seed, self.input.escape_ascii());
        }
    }
}

/// Bytes and pieces that parsers stumble over.
const PIECES: &[&[u8]] = &[
    b"\0",
    b"\n",
    b"\r\n",
    b"\"",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"{",
    b"}",
    b"[[[[[[[[",
    b"1e999",
    b"-0",
    b"null",
    b"true",
    b"18446744073709551616",
    b"-9223372036854775808",
    b"%",
    b"%00",
    b"%FF",
    b"&",
    b"=",
    b";",
    b",",
    b".",
    b"..",
    b"/",
    b":",
    b"-",
    b"_",
    b"'",
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xe2\x80\xae",
    b"\xf0\x9f\x98\x80",
    b"\xea\xb9\x80",
];

fn mutate(random: &mut StdRng, input: &mut Vec<u8>, seeds: &[&[u8]]) {
    let at = random.random_range(0..=input.len());
    let end = random.random_range(at..=input.len());
    match random.random_range(0..7) {
        0 if at < input.len() => input[at] ^= 1 << random.random_range(0..8),
        1 => drop(input.drain(at..end)),
        2 => input.insert(at, random.random()),
        3 => drop(input.splice(at..at, PIECES[random.random_range(0..PIECES.len())].iter().copied())),
        4 => {
            let copy = input[at..end].to_vec();
            let times = if copy.len() < 64 { random.random_range(1..40) } else { 1 };
            drop(input.splice(at..at, copy.repeat(times)));
        }
        5 => {
            let other = seeds[random.random_range(0..seeds.len())];
            let from = random.random_range(0..=other.len());
            drop(input.splice(at..end, other[from..].iter().copied()));
        }
        _ => input.reverse(),
    }
    input.truncate(64 * 1024);
}

fn text(input: &[u8]) -> String {
    String::from_utf8_lossy(input).into_owned()
}

#[test]
fn messages_of_clients() {
    let seeds: &[&[u8]] = &[
        b"{}",
        b"{\"id\":7,\"op\":\"room.enter\",\"d\":{\"room\":42,\"password\":\"x\"}}",
        b"{\"op\":\"auth\",\"d\":{\"token\":\"a.b.c\",\"since\":{\"room:42\":[\"e1\",1042]},\"locale\":\"ko\"}}",
        b"{\"id\":1,\"op\":\"timer.start\",\"d\":{\"total_time\":60,\"work_time\":25,\"break_time\":5,\"cmd\":\"c\"}}",
        b"{\"id\":4294967295,\"op\":\"room.watch\",\"d\":{\"rooms\":[1,2,3]}}\n{\"id\":2,\"op\":\"whoami\"}\n{}",
        b"{\"id\":2,\"op\":\"sync\",\"d\":{\"since\":{\"user:9\":[\"e\",18446744073709551615]}}}",
    ];
    fuzz("messages of clients", seeds, |input| {
        if let Ok(messages) = ops::parse_frame(&text(input)) {
            assert!((1..=16).contains(&messages.len()));
            for message in messages {
                let Incoming::Request(request) = message else { continue };
                drop(format!("{:?}", request.op));
            }
        }
    });
}

#[test]
fn channels_rates_and_languages() {
    let seeds: &[&[u8]] = &[b"room:42", b"user:9", b"5/600", b"en-US,en;q=0.9,ko;q=0.8", b"*;q=0.1"];
    fuzz("channels, rates and languages", seeds, |input| {
        let text = text(input);
        if let Ok(channel) = text.parse::<Channel>() {
            assert_eq!(channel.to_string().parse::<Channel>(), Ok(channel), "{text:?}");
        }
        if let Ok(rate) = text.parse::<Rate>() {
            assert!(rate.tries > 0 && !rate.window.is_zero());
        }
        assert!(["ko", "en"].contains(&Locale::negotiate(&text).tag()));
    });
}

#[test]
fn product_keys_and_emails() {
    let ours = ProductKey::generate(0x0123_4567_89ab_cdef_fedc_ba98_7654_3210);
    let seeds: &[&[u8]] = &[ours.expose().as_bytes(), b"KIT1-2300", b"12345678", b"sumi@example.com", b"a@[::1]"];
    fuzz("product keys and e-mails", seeds, |input| {
        let text = text(input);
        if let Ok(key) = ProductKey::parse(&text) {
            assert!((8..=64).contains(&key.expose().len()) && key.expose().is_ascii());
            assert_eq!(ProductKey::parse(key.expose()).as_ref(), Ok(&key), "{text:?}");
        }
        if let Some(email) = Email::parse(&text) {
            assert!(email.address().contains('@') && !email.address().contains(['\r', '\n', '\0']), "{text:?}");
            assert!(Email::parse(email.address()).is_some_and(|again| again.key() == email.key()), "{text:?}");
        }
    });
}

/// What a token or a ticket is read from: headers, and the token itself.
#[tokio::test]
async fn tokens() {
    let folder = tempfile::tempdir().unwrap();
    let flags = Flags { data: Some(folder.path().to_owned()), ..Flags::default() };
    let config = Config::load(&flags, [("SOLGIK__AUTH__SECRET".to_owned(), "s".repeat(32))]).unwrap();
    let keys = solgik::auth::secret::Keys::load(&config).unwrap();
    let tokens = solgik::auth::Tokens::new(&keys, Duration::from_secs(60));
    let now = entity::Millis(1_700_000_000_000);
    let good = tokens.issue(entity::AccountId(9), entity::SessionId(3), now, entity::Millis(i64::MAX)).unwrap().token;
    let (header, bearer) = (format!("JWT {good}"), format!("Bearer {good}"));
    let seeds = [header.as_bytes(), bearer.as_bytes(), b"Token a.b.c", b"jwt eyJhbGciOiJub25lIn0.e30."];
    fuzz("tokens", &seeds, |input| {
        let text = text(input);
        let Ok(token) = token_of(&text) else { return };
        if let Ok(claims) = tokens.read(token, now) {
            // The last letter of a signature has bits that mean nothing.
            assert_eq!(token[..token.len() - 1], good[..good.len() - 1], "a token that is not ours");
            assert_eq!(claims.account(), entity::AccountId(9));
        }
    });
}

#[test]
fn bodies_and_queries() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let seeds: &[&[u8]] = &[
        b"{\"email\":\"a@b.example\",\"gender\":1,\"name\":\"\\uae40\",\"flag\":true,\"until\":\"2026-01-02T03:04:05Z\"}",
        b"email=a%40b.example&gender=1&name=%EA%B9%80&flag=true&until=",
        b"_page=2&_limit=6&kw=%27%EC%88%98%EB%AF%B8%27&order_by='point'",
        b"null",
        b"",
    ];
    fuzz("bodies and queries", seeds, |input| {
        for media in ["application/json", "application/x-www-form-urlencoded", "application/json; charset=utf-8", "x"] {
            let request = Request::post("/").header("content-type", media).body(Bytes::from(input.to_vec())).unwrap();
            let Ok(body) = runtime.block_on(Body::from_request(request, &())) else { continue };
            let mut fields = body.fields();
            drop((fields.text("email"), fields.visible("name", 50), fields.visible_lines("name", 50)));
            assert!(fields.int("gender", 0, 1).is_none_or(|gender| (0..=1).contains(&gender)));
            drop((fields.flag("flag"), fields.instant("until"), fields.required("missing")));
            let _ = fields.finish();
        }
        let query: String = text(input).chars().filter(|c| c.is_ascii_graphic() && *c != '#').collect();
        let Ok(request) = Request::get(format!("/rooms/?{query}")).body(Bytes::empty()) else { return };
        let (mut parts, _) = request.into_parts();
        let Ok(paging) = runtime.block_on(Paging::from_request_parts(&mut parts, &())) else { return };
        drop(paging.parameter("kw").map(str::to_owned));
        if let Ok(page) = paging.page(20) {
            assert!((1..=100).contains(&page.span().limit));
        }
    });
}

#[test]
fn settings() {
    let seeds: &[&[u8]] = &[
        b"SERVER__LISTEN=127.0.0.1:0",
        b"SERVER__ORIGINS=https://a.example, https://b.example",
        b"LIMITS__SIGNUP_PER_ADDRESS=5/600",
        b"BOARD__ZONE=Asia/Seoul",
        b"ADMIN__LISTEN=",
        b"PRESENCE__GRACE_SECS=15",
        b"AUTH__SECRET=canary-canary-canary-canary-canary",
        b"MAIL__SMTP_URL=smtp://user:canary@127.0.0.1",
    ];
    fuzz("settings", seeds, |input| {
        let text = text(input);
        let Some((key, value)) = text.split_once('=') else { return };
        // A name that ends so is a file's, and would be read.
        if key.to_lowercase().ends_with("_file") {
            return;
        }
        if let Ok(config) = Config::load(&Flags::default(), [(format!("SOLGIK__{key}"), value.to_owned())]) {
            let secret = ["auth__secret", "database__url", "mail__smtp_url"].contains(&key.to_lowercase().as_str());
            assert!(!secret || !format!("{config:?}").contains("canary"), "{text:?}");
        }
    });
}
