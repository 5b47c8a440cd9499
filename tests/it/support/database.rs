//! Which database the run is on, and a fresh one for each server.

use std::{env, thread};

use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection};

/// `postgres` puts the run on PostgreSQL; anything else, on SQLite.
const BACKEND: &str = "SOLGIK_TEST_DATABASE";
/// A `postgres://…` address whose user may create databases.
const SERVER: &str = "SOLGIK_TEST_POSTGRES";

/// A PostgreSQL database that goes with its server.
pub struct Scratch {
    server: String,
    name: String,
}

impl Scratch {
    /// A fresh database, or nothing on SQLite, which lives in the server's own folder.
    pub async fn create() -> Option<Self> {
        match env::var(BACKEND).as_deref() {
            Err(_) | Ok("sqlite") => return None,
            Ok("postgres") => {}
            Ok(other) => panic!("{BACKEND}={other}: write sqlite or postgres"),
        }
        let server = env::var(SERVER).unwrap_or_else(|_| panic!("{BACKEND}=postgres needs {SERVER}"));
        let name = format!("solgik_test_{:016x}", rand::random::<u64>());
        let maintenance = connect(&server).await;
        maintenance.execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();
        maintenance.close().await.unwrap();
        Some(Self { server, name })
    }

    /// The fresh database's address: the server's, with another name.
    pub fn url(&self) -> String {
        let (address, query) = self.server.split_once('?').unwrap_or((&self.server, ""));
        let (host, _) = address.rsplit_once('/').expect("an address ends in /database");
        format!("{host}/{}?{query}", self.name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A destructor can't await, and the test's runtime may be going: the last word has a runtime of its own.
        let (server, name) = (self.server.clone(), self.name.clone());
        let dropped = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let maintenance = connect(&server).await;
                maintenance.execute_unprepared(&format!("DROP DATABASE {name} WITH (FORCE)")).await.unwrap();
                maintenance.close().await.unwrap();
            });
        });
        if dropped.join().is_err() && !thread::panicking() {
            panic!("the database {} is left behind", self.name);
        }
    }
}

async fn connect(server: &str) -> DatabaseConnection {
    let mut options = ConnectOptions::new(server);
    options.max_connections(1).sqlx_logging(false);
    Database::connect(options).await.unwrap()
}
