//! Finding people and rooms by a part of their name: what is found is what one sees, whatever index is behind it.

use std::collections::BTreeSet;

use migration::MigratorTrait;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use sea_orm::ConnectionTrait;
use serde_json::json;

use crate::support::{Person, TestApp, pick, seed};

/// Syllables that come often together, and what SQL would take for something else.
const PARTS: [&str; 16] = ["김", "수", "미", "하", "나", "a", "b", "Ab", "%", "_", "\\", ";", "é", "ß", "🚀", " "];

fn word(random: &mut StdRng, most: usize) -> String {
    let length = random.random_range(1..=most);
    let word: String = (0..length).map(|_| *pick(random, &PARTS)).collect();
    // Spaces at the edges are trimmed away, and a name needs something else.
    let word = word.trim().to_owned();
    if word.is_empty() { "수".to_owned() } else { word }
}

async fn found(person: &Person, path: &str, keyword: &str) -> BTreeSet<i64> {
    let value = serde_urlencoded::to_string([("", keyword)]).unwrap();
    let reply = person.get(&format!("{path}{value}&_limit=100")).await;
    let ids: BTreeSet<_> = reply.ok().as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect();
    assert_eq!(reply["page"]["total"], ids.len(), "{keyword}");
    ids
}

#[tokio::test]
async fn people_are_found_by_every_part_of_their_name_and_by_no_other() {
    let mut random = StdRng::seed_from_u64(seed());
    let app = TestApp::start().await;
    let mut people = Vec::new();
    for _ in 0..12 {
        let person = app.person("수").await;
        people.push((person, String::new()));
    }
    for step in 0..60 {
        // Names change, and now and then somebody goes.
        if step % 5 == 0 {
            for (person, search) in &mut people {
                let (last, first) = (word(&mut random, 3), word(&mut random, 4));
                let (path, body) =
                    (format!("/accounts/{}/", person.id), json!({"last_name": last, "first_name": first}));
                let told = person.put(&path, body).await.ok();
                let (last, first) = (told["last_name"].as_str().unwrap(), told["first_name"].as_str().unwrap());
                *search = format!("{last}{first}\n{first}{last}\n{first} {last}").to_lowercase();
            }
        }
        if step % 15 == 14 {
            let (person, _) = people.remove(random.random_range(1..people.len()));
            person.delete(&format!("/accounts/{}/", person.id)).await.ok();
        }
        let keyword = word(&mut random, 5);
        let expected: BTreeSet<_> = people
            .iter()
            .filter(|(_, search)| search.contains(&keyword.to_lowercase()))
            .map(|(person, _)| person.id)
            .collect();
        for path in ["/accounts/?kw", "/accounts/?order_by=name&kw", "/accounts/?order_by=point&kw"] {
            assert_eq!(found(&people[0].0, path, &keyword).await, expected, "{path} {keyword:?}");
        }
    }
    app.stop().await;
}

#[tokio::test]
async fn an_e_mail_finds_its_holder_beside_those_whose_name_it_is_in() {
    let app = TestApp::start().await;
    let (sumi, hana, mira) = (app.person("수미").await, app.person("하나").await, app.person("미라").await);
    hana.put(&format!("/accounts/{}/", hana.id), json!({"first_name": mira.email})).await.ok();
    assert_eq!(found(&sumi, "/accounts/?kw", &mira.email).await, BTreeSet::from([hana.id, mira.id]));
    assert_eq!(found(&sumi, "/accounts/?order_by=point&kw", &sumi.email).await, BTreeSet::from([sumi.id]));
    mira.delete(&format!("/accounts/{}/", mira.id)).await.ok();
    assert_eq!(found(&sumi, "/accounts/?kw", &mira.email).await, BTreeSet::from([hana.id]));
    app.stop().await;
}

#[tokio::test]
async fn rooms_are_found_by_every_part_of_their_name_while_they_are_open() {
    let mut random = StdRng::seed_from_u64(seed());
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    let mut rooms = Vec::new();
    for _ in 0..15 {
        let (person, name) = (app.person("하나").await, word(&mut random, 8));
        let room = person.post("/rooms/", json!({"name": name})).await.ok();
        rooms.push((room["id"].as_i64().unwrap(), room["name"].as_str().unwrap().to_lowercase(), person));
    }
    for step in 0..60 {
        if step % 10 == 9 {
            let (room, _, person) = rooms.remove(random.random_range(0..rooms.len()));
            person.delete(&format!("/rooms/{room}/")).await.ok();
        }
        let keyword = word(&mut random, 5);
        let expected: BTreeSet<_> =
            rooms.iter().filter(|(_, name, _)| name.contains(&keyword.to_lowercase())).map(|(id, ..)| *id).collect();
        assert_eq!(found(&sumi, "/rooms/?keyword", &keyword).await, expected, "{keyword:?}");
    }
    app.stop().await;
}

/// What the step of the schema wrote for names that were there before it is what the service writes.
#[tokio::test]
async fn names_that_were_there_before_are_found_as_well() {
    let app = TestApp::start().await;
    let sumi = app.person("수미").await;
    for (number, name) in ["수미", "a", "남궁 민수", "Ada-Łucja von Ñuñoa", "🚀%_"].into_iter().enumerate() {
        let person = app.person(name).await;
        person.post("/rooms/", json!({"name": format!("{name} {number}")})).await.ok();
    }
    sumi.delete(&format!("/accounts/{}/", sumi.id)).await.ok();
    let grams = async |table: &str| {
        let rows = app.app.db.query_all_raw(sea_orm::Statement::from_string(
            app.app.db.get_database_backend(),
            format!("SELECT gram, id FROM {table}"),
        ));
        let rows = rows.await.unwrap();
        rows.iter()
            .map(|row| (row.try_get_by_index::<String>(0).unwrap(), row.try_get_by_index::<i64>(1).unwrap()))
            .collect::<BTreeSet<_>>()
    };
    let written = [grams("account_gram").await, grams("room_gram").await];
    let steps = migration::Migrator::migrations();
    let grams_at = steps.iter().position(|step| step.name().ends_with("_grams")).unwrap();
    let back = u32::try_from(steps.len() - grams_at).unwrap();
    migration::Migrator::down(app.app.db.pool(), Some(back)).await.unwrap();
    migration::Migrator::up(app.app.db.pool(), None).await.unwrap();
    assert_eq!([grams("account_gram").await, grams("room_gram").await], written);
    assert!(written.iter().all(|grams| grams.len() > 20));
    assert_eq!(solgik::study::audit::verify(&app.app.db).await.unwrap(), []);
    app.stop().await;
}
