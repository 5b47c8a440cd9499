//! People for a server that nobody has prepared: they sign up, make rooms and enter them, as anybody would.
//!
//! Good for a few hundred: each password is hashed, and a server may throttle sign-ups. For more, seed its database.

use anyhow::{Context, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::floor::Address;

/// A token a person, in the order of seeding: user i sits in room i mod R. They stay when the run is over.
pub(super) fn sign_up(address: &Address, people: usize, rooms: usize) -> anyhow::Result<Vec<String>> {
    // A thread of its own, which may wait: the command's runtime is about to wait for this one.
    std::thread::scope(|scope| {
        let work = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(all(address, people, rooms))
        };
        scope.spawn(work).join().map_err(|_| anyhow::anyhow!("signing up ended"))?
    })
}

async fn all(address: &Address, people: usize, rooms: usize) -> anyhow::Result<Vec<String>> {
    let stream = TcpStream::connect(address.socket).await.with_context(|| format!("connecting to {}", address.host))?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with its sender.
    let connection = tokio::spawn(connection);
    let mut door = Door { sender, host: address.host.clone() };
    let tag = format!("{:08x}", rand::random::<u32>());
    let (mut tokens, mut made) = (Vec::with_capacity(people), Vec::with_capacity(rooms));
    for index in 0..people {
        let body = json!({
            "email": format!("load-{tag}-{index}@load.invalid"), "password1": format!("seven quiet pines {tag}"),
            "password2": format!("seven quiet pines {tag}"), "last_name": "부하", "first_name": index.to_string(),
            "gender": 0, "birth_date": "2000-01-01",
        });
        let answer = door.post("/rest-auth/signup/", None, &body).await?;
        let token = answer.get("token").and_then(Value::as_str).context("a sign-up gave no token")?.to_owned();
        match made.get(index % rooms) {
            Some(room) => {
                door.post(&format!("/rooms/{room}/"), Some(&token), &json!({ "action": "enter" })).await?;
            }
            None => {
                let name = format!("load {tag} {index}");
                let answer = door.post("/rooms/", Some(&token), &json!({ "name": name, "description": "" })).await?;
                made.push(answer.pointer("/data/id").and_then(Value::as_i64).context("a new room has no id")?);
            }
        }
        tokens.push(token);
    }
    drop(door);
    connection.await??;
    Ok(tokens)
}

struct Door {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

impl Door {
    async fn post(&mut self, path: &str, token: Option<&str>, body: &Value) -> anyhow::Result<Value> {
        let mut request = Request::post(path).header("host", &self.host).header("content-type", "application/json");
        if let Some(token) = token {
            request = request.header("authorization", format!("JWT {token}"));
        }
        let request = request.body(Full::new(Bytes::from(body.to_string())))?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        ensure!(status.is_success(), "POST {path}: {status} {}", String::from_utf8_lossy(&body));
        Ok(serde_json::from_slice(&body)?)
    }
}
