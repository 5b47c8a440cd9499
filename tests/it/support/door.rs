//! The REST door as a client sees it: requests out, replies with what every one of them must promise.

use std::ops::Deref;

use reqwest::{
    Client, Method, RequestBuilder, StatusCode,
    header::{AUTHORIZATION, HeaderMap},
    redirect,
};
use serde_json::Value;

use super::socket::WsClient;

/// Somebody in front of a server, with or without a token.
#[derive(Clone, Debug)]
pub struct Door {
    /// `http://127.0.0.1:port`
    pub base: String,
    /// Follows no redirect: the API promises none.
    pub client: Client,
    token: Option<String>,
}

impl Door {
    pub fn new(base: String) -> Self {
        let client = Client::builder().redirect(redirect::Policy::none()).no_proxy().build().unwrap();
        Self { base, client, token: None }
    }

    /// The same door with a token in hand.
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// A request that the test completes; send it with [`Reply::to`].
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.header(AUTHORIZATION, format!("JWT {token}")),
            None => request,
        }
    }

    pub async fn get(&self, path: &str) -> Reply {
        Reply::to(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Reply {
        Reply::to(self.request(Method::POST, path).json(&body)).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Reply {
        Reply::to(self.request(Method::PUT, path).json(&body)).await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        Reply::to(self.request(Method::DELETE, path)).await
    }

    /// A socket opened with exactly these headers, or the answer that refused it.
    pub async fn open(&self, path: &str, headers: &[(&'static str, &str)]) -> Result<WsClient, Reply> {
        WsClient::open(&self.base, path, headers).await
    }

    /// A socket opened as our own clients do, by header.
    pub async fn connect(&self) -> WsClient {
        let authorization = format!("JWT {}", self.token.as_deref().expect("nobody is signed in"));
        let headers = [("authorization", authorization.as_str()), ("sec-websocket-protocol", "solgik.v1")];
        self.open("/ws", &headers).await.expect("the socket is refused")
    }
}

/// What came back. As a [`Value`] it is its body.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// JSON, or the text of whatever else it was.
    pub body: Value,
}

impl Reply {
    /// Sends `request` and reads the answer.
    pub async fn to(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Self::new(status, headers, &response.bytes().await.unwrap())
    }

    pub(super) fn new(status: StatusCode, headers: HeaderMap, body: &[u8]) -> Self {
        let body = serde_json::from_slice(body).unwrap_or_else(|_| String::from_utf8_lossy(body).into());
        Self { status, headers, body }
    }

    /// A header's text; empty if it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// The data of a success.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert!(self.status.is_success(), "{self:?}");
        assert_eq!(self.body["status"], "OK", "{self:?}");
        assert_eq!(self.header("content-type"), "application/json", "{self:?}");
        self.body["data"].clone()
    }

    /// The whole body of a success without the envelope, as `/rest-auth/*` answers.
    #[track_caller]
    pub fn bare(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        self.body.clone()
    }

    /// The whole body of a refusal, which has everything that every refusal has.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) -> Value {
        assert_eq!((self.status.as_u16(), &self["code"]), (status, &code.into()), "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        assert_eq!(self["status"], "FAIL", "{self:?}");
        assert_eq!(self["status_code"], status, "{self:?}");
        assert_eq!(self["type"], format!("/docs/errors#{code}"), "{self:?}");
        assert_eq!(self["detail"], self["error_msg"], "{self:?}");
        assert!(self["detail"].as_str().is_some_and(|sentence| !sentence.contains(['{', '}'])), "{self:?}");
        assert_eq!(self["request_id"], self.header("x-request-id"), "{self:?}");
        assert_ne!(self["request_id"], "", "{self:?}");
        self.body.clone()
    }
}

impl Deref for Reply {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.body
    }
}
