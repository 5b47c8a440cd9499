//! Typed actors: people with an account, a token and a door.

use std::ops::Deref;

use entity::{AccountId, account};
use sea_orm::{ActiveValue::Set, EntityTrait};
use serde_json::json;
use solgik::{accounts, app::App, auth::sessions, clock, people};

use super::door::Door;

const LAST_NAME: &str = "김";
const BIRTH_DATE: &str = "2001-02-03";

/// Everybody's password.
pub const PASSWORD: &str = "seven quiet pines";

/// Somebody who is signed in. As a [`Door`], everything is done in this person's name.
#[derive(Clone, Debug)]
pub struct Person {
    pub id: i64,
    pub token: String,
    pub email: String,
    pub first_name: String,
    door: Door,
}

impl Person {
    pub(super) async fn insert(app: &App, door: &Door, first_name: &str, number: u32) -> Self {
        let email = email(number);
        let now = app.clock.now();
        let row = account::ActiveModel {
            email: Set(Some(email.clone())),
            email_key: Set(Some(email.clone())),
            password_hash: Set(Some(app.auth.passwords().hash(PASSWORD.to_owned()).await.unwrap())),
            last_name: Set(LAST_NAME.to_owned()),
            first_name: Set(first_name.to_owned()),
            search_name: Set(people::search_name(LAST_NAME, first_name)),
            gender: Set(1),
            birth_date: Set(BIRTH_DATE.to_owned()),
            staff: Set(false),
            hidden: Set(false),
            epoch: Set(0),
            created_at: Set(now),
            ..Default::default()
        };
        let tx = app.db.begin().await.unwrap();
        let account = account::Entity::insert(row).exec_with_returning(&*tx).await.unwrap();
        accounts::enter(&tx, std::slice::from_ref(&account)).await.unwrap();
        tx.commit_quietly().await.unwrap();
        let token = sign_in(app, &account).await;
        Self::new(account.id, token, email, first_name, door)
    }

    /// The same person after signing in once more.
    pub async fn signed_in_again(&self, app: &App) -> Self {
        let account = people::get(&*app.db, AccountId(self.id)).await.unwrap();
        let token = sign_in(app, &account).await;
        Self { door: self.door.with_token(&token), token, ..self.clone() }
    }

    /// The same person at another instance's door.
    pub fn at(&self, door: &Door) -> Self {
        Self { door: door.with_token(&self.token), ..self.clone() }
    }

    /// Makes a room and sits in it.
    pub async fn make_room(&self) -> i64 {
        self.post("/rooms/", json!({"name": "새벽반"})).await.ok()["id"].as_i64().unwrap()
    }

    /// Sits in `room`.
    pub async fn enter(&self, room: i64) {
        self.post(&format!("/rooms/{room}/"), json!({"action": "enter"})).await.ok();
    }

    /// Asks `other` for friendship, and is accepted.
    pub async fn befriend(&self, other: &Self) {
        self.post(&format!("/accounts/friend/{}/", other.id), json!({"flag": true})).await.ok();
        other.post(&format!("/accounts/friend/{}/accept/", self.id), json!({})).await.ok();
    }

    pub async fn sign_up(door: &Door, first_name: &str, number: u32) -> Self {
        let email = email(number);
        let body = json!({
            "email": email, "password1": PASSWORD, "password2": PASSWORD,
            "last_name": LAST_NAME, "first_name": first_name, "gender": 1, "birth_date": BIRTH_DATE,
        });
        let answer = door.post("/rest-auth/signup/", body).await.bare(201);
        let id = AccountId(answer["user"]["pk"].as_i64().unwrap());
        Self::new(id, answer["token"].as_str().unwrap().to_owned(), email, first_name, door)
    }

    fn new(id: AccountId, token: String, email: String, first_name: &str, door: &Door) -> Self {
        let door = door.with_token(&token);
        Self { id: id.0, token, email, first_name: first_name.to_owned(), door }
    }
}

async fn sign_in(app: &App, account: &account::Model) -> String {
    let now = app.clock.now();
    let ends = clock::after(now, app.config.auth.session_ttl);
    let tx = app.db.begin().await.unwrap();
    let session = sessions::begin(&tx, account, now, ends).await.unwrap();
    tx.commit_quietly().await.unwrap();
    app.auth.issue(account.id, session.id, ends).unwrap().token
}

fn email(number: u32) -> String {
    format!("person{number}@solgik.example")
}

impl Deref for Person {
    type Target = Door;

    fn deref(&self) -> &Door {
        &self.door
    }
}
