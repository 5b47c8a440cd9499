//! Around every request: its id, its language, where it comes from; and the spelling of its failure.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{ConnectInfo, FromRequestParts, Request, State},
    http::{HeaderMap, HeaderValue, header, request::Parts},
    middleware::Next,
    response::Response,
};

use super::failure;
use crate::{config::Config, locale::Locale};

/// What a handler may know about its request beside the body.
#[derive(Clone, Debug)]
pub struct Context {
    /// In the answer, in the log, and in what a person reports.
    pub request_id: String,
    /// The caller's language.
    pub locale: Locale,
    /// The caller's address, as far as it can be believed.
    pub peer: IpAddr,
}

impl<S: Sync> FromRequestParts<S> for Context {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        // Without the layer below, a handler sees the most restricted caller there is.
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or(Self {
            request_id: String::new(),
            locale: Locale::default(),
            peer: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        }))
    }
}

/// The outermost layer of the service's own.
pub async fn layer(State(config): State<Arc<Config>>, mut request: Request, next: Next) -> Response {
    let address = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let encrypted = is_encrypted(address, request.headers(), &config);
    let context = Context {
        request_id: format!("{:016x}", rand::random::<u64>()),
        locale: language(request.headers()),
        peer: peer(address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), request.headers(), &config),
    };
    request.extensions_mut().insert(context.clone());
    let method = request.method().clone();
    // Only the path: a query can carry a token.
    let path = redact(request.uri().path());
    let response = next.run(request).await;
    let mut response = failure::spell(response, context.locale, &context.request_id);
    tracing::debug!(request_id = context.request_id, %method, path, status = response.status().as_u16(), "answered");
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&context.request_id) {
        headers.insert("x-request-id", id);
    }
    headers.entry(header::CONTENT_LANGUAGE).or_insert(HeaderValue::from_static(context.locale.tag()));
    headers.append(header::VARY, HeaderValue::from_static("accept-language"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::REFERRER_POLICY).or_insert(HeaderValue::from_static("no-referrer"));
    if encrypted {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// A path without the product key that may stand in it, also where a slip of the pen made it one that doesn't exist.
fn redact(path: &str) -> String {
    let mut secret = false;
    let shown = path.split('/').map(|segment| {
        let shown = if secret && !segment.is_empty() { "(key)" } else { segment };
        let before_a_key = ["certification", "registration", "find", "productkey"];
        secret |= before_a_key.iter().any(|word| segment.eq_ignore_ascii_case(word));
        shown
    });
    shown.collect::<Vec<_>>().join("/")
}

fn language(headers: &HeaderMap) -> Locale {
    Locale::negotiate(headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default())
}

/// The address that counts: the peer's own, or, if the peer is a trusted proxy, the entry of `X-Forwarded-For` that the
/// outermost trusted hop wrote. Entries left of it are the client's own invention.
fn peer(address: IpAddr, headers: &HeaderMap, config: &Config) -> IpAddr {
    let address = address.to_canonical();
    if !config.server.trusted_proxies.contains(&address) {
        return address;
    }
    let entries: Vec<_> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    let hops = config.server.trusted_hops.max(1);
    let forwarded = entries.len().checked_sub(hops).and_then(|index| entries.get(index));
    forwarded.and_then(|entry| entry.parse::<IpAddr>().ok()).map_or(address, |ip| ip.to_canonical())
}

/// Whether a trusted proxy says that the client came to it over TLS.
fn is_encrypted(address: Option<IpAddr>, headers: &HeaderMap, config: &Config) -> bool {
    address.is_some_and(|address| config.server.trusted_proxies.contains(&address.to_canonical()))
        && headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https")
}

/// What throttles count by: an IPv4 address, or the /64 that one IPv6 customer owns.
pub fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Flags;

    #[test]
    fn a_forged_forwarding_header_is_not_believed() {
        let config = |proxies: &str, hops: &str| {
            let environment = [
                ("SOLGIK__SERVER__TRUSTED_PROXIES".to_owned(), proxies.to_owned()),
                ("SOLGIK__SERVER__TRUSTED_HOPS".to_owned(), hops.to_owned()),
            ];
            Config::load(&Flags::default(), environment).unwrap()
        };
        for (from, forwarded, proxies, hops, expected) in [
            ("9.9.9.9", "1.1.1.1", "", "1", "9.9.9.9"),
            ("10.0.0.1", "1.1.1.1", "10.0.0.1", "1", "1.1.1.1"),
            ("10.0.0.1", "6.6.6.6, 1.1.1.1", "10.0.0.1", "1", "1.1.1.1"),
            ("10.0.0.1", "6.6.6.6, 1.1.1.1, 10.0.0.2", "10.0.0.1", "2", "1.1.1.1"),
            ("10.0.0.1", "", "10.0.0.1", "1", "10.0.0.1"),
            ("10.0.0.1", "nonsense", "10.0.0.1", "1", "10.0.0.1"),
            ("9.9.9.9", "127.0.0.1", "10.0.0.1", "1", "9.9.9.9"),
            ("::ffff:10.0.0.1", "1.1.1.1", "10.0.0.1", "1", "1.1.1.1"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", forwarded.parse().unwrap());
            let seen = peer(from.parse().unwrap(), &headers, &config(proxies, hops));
            assert_eq!(seen.to_string(), expected, "{from} {forwarded}");
        }
    }

    #[test]
    fn one_ipv6_customer_is_one_network() {
        let a = network("2001:db8:1:2:aaaa::1".parse().unwrap());
        assert_eq!(a, network("2001:db8:1:2:bbbb::2".parse().unwrap()));
        assert_ne!(a, network("2001:db8:1:3::1".parse().unwrap()));
    }

    #[test]
    fn a_product_key_never_reaches_the_log() {
        assert_eq!(redact("/certification/SECRET/"), "/certification/(key)/");
        assert_eq!(redact("/accounts/registration/SECRET"), "/accounts/registration/(key)");
        assert_eq!(redact("/accounts/find/SECRET/"), "/accounts/find/(key)/");
        assert_eq!(redact("//Certification//SECRET/more"), "//Certification//(key)/(key)");
        assert_eq!(redact("/accounts/productkey/"), "/accounts/productkey/");
        assert_eq!(redact("/rooms/7/"), "/rooms/7/");
    }
}
