//! Fresh PostgreSQL databases for tests, where `ROOKERY_TEST_POSTGRES` names a server.

use sea_orm::{ConnectionTrait, Database};

/// A database that is dropped at the end of its test.
pub(crate) struct Fresh {
    server: String,
    name: String,
}

impl Fresh {
    /// Makes a database; `None` when no server is named.
    pub(crate) async fn make() -> Option<Self> {
        let server = std::env::var("ROOKERY_TEST_POSTGRES").ok()?;
        let name = format!("rookery_it_{}", uuid::Uuid::new_v4().simple());
        run(&server, &format!("CREATE DATABASE {name}")).await;
        Some(Self { server, name })
    }

    /// The database's address.
    pub(crate) fn url(&self) -> String {
        let (base, _) = self.server.rsplit_once('/').expect("the address names a database");
        format!("{base}/{}", self.name)
    }

    pub(crate) async fn drop(self) {
        run(&self.server, &format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
    }
}

async fn run(server: &str, statement: &str) {
    let database = Database::connect(server).await.expect("the PostgreSQL server of ROOKERY_TEST_POSTGRES");
    database.execute_unprepared(statement).await.expect("a database of our own");
    database.close().await.expect("the connection closes");
}
