//! Fresh PostgreSQL databases for tests, where `ROOKERY_TEST_POSTGRES` names a server; and rows that no API shows.

use sea_orm::{ConnectionTrait, Database, Statement};

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
        execute(&server, &format!("CREATE DATABASE {name}")).await;
        Some(Self { server, name })
    }

    /// The database's address.
    pub(crate) fn url(&self) -> String {
        let (base, _) = self.server.rsplit_once('/').expect("the address names a database");
        format!("{base}/{}", self.name)
    }

    pub(crate) async fn drop(self) {
        execute(&self.server, &format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
    }
}

/// Changes a database behind the server's back.
pub(crate) async fn execute(url: &str, statement: &str) {
    let database = Database::connect(url).await.expect("the database");
    database.execute_unprepared(statement).await.expect("a database of our own");
    database.close().await.expect("the connection closes");
}

/// The one number that a query of the form `SELECT … AS counted` yields.
pub(crate) async fn count(url: &str, query: &str) -> i64 {
    let database = Database::connect(url).await.expect("the server's own database");
    let statement = Statement::from_string(database.get_database_backend(), query);
    let row = database.query_one_raw(statement).await.expect("a query of our own").expect("a count is one row");
    database.close().await.expect("the connection closes");
    row.try_get("", "counted").expect("a count is a number")
}
