//! Where a server's rows are: a file of its own, or a database of its own on the PostgreSQL server that
//! `ROOKERY_TEST_POSTGRES` names. It can be locked, moved away, copied and put back, as accidents do.

use std::fmt;
use std::path::{Path, PathBuf};

use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, Statement};

/// The files of one SQLite database, by what follows its name.
const PARTS: [&str; 3] = ["", "-wal", "-shm"];

/// The kind of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A file.
    Sqlite,
    /// A server.
    Postgres,
}

/// The database of one server. Dropped by [`Store::remove`].
pub(crate) struct Store {
    kind: Kind,
    /// SQLite: the file. PostgreSQL: the name of the database.
    place: PathBuf,
    /// Names under which databases were put away.
    shelf: Vec<String>,
}

/// A write lock on an SQLite database, held by this process.
pub(crate) struct Lock(DatabaseConnection);

impl Kind {
    /// The kinds that can be used here.
    pub(crate) fn available() -> Vec<Self> {
        let postgres = postgres_url().map(|_| Self::Postgres);
        std::iter::once(Self::Sqlite).chain(postgres).collect()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        })
    }
}

impl Store {
    /// A fresh database for the server in this folder.
    pub(crate) async fn make(kind: Kind, folder: &Path) -> Self {
        let place = match kind {
            Kind::Sqlite => folder.join("data/rookery.sqlite"),
            Kind::Postgres => format!("rookery_prove_{}", uuid::Uuid::new_v4().simple()).into(),
        };
        let store = Self { kind, place, shelf: Vec::new() };
        store.make_empty().await;
        store
    }

    /// The setting `database_url` for it.
    pub(crate) fn url(&self) -> String {
        match self.kind {
            Kind::Sqlite => String::new(),
            Kind::Postgres => {
                let server = postgres_url().unwrap();
                let (base, _) = server.rsplit_once('/').unwrap();
                format!("{base}/{}", self.name())
            }
        }
    }

    /// Where the PostgreSQL server listens: `host:port`.
    pub(crate) fn server_address() -> String {
        let url = postgres_url().unwrap();
        let after = url.split_once("://").unwrap().1;
        let host = after.rsplit_once('@').map_or(after, |(_, host)| host);
        let host = host.split('/').next().unwrap();
        if host.contains(':') { host.to_owned() } else { format!("{host}:5432") }
    }

    /// The same address with another `host:port`, for example a proxy's.
    pub(crate) fn url_through(&self, address: &str) -> String {
        self.url().replacen(&Self::server_address(), address, 1)
    }

    /// Runs one statement on the rows.
    pub(crate) async fn execute(&self, statement: &str) -> u64 {
        let database = Database::connect(self.direct_url()).await.unwrap();
        let done = database.execute_unprepared(statement).await.unwrap();
        database.close().await.unwrap();
        done.rows_affected()
    }

    /// Takes the write lock as another process would; SQLite only.
    pub(crate) async fn lock(&self) -> Lock {
        let mut options = ConnectOptions::new(self.direct_url());
        options.max_connections(1);
        let connection = Database::connect(options).await.unwrap();
        connection.execute_unprepared("BEGIN IMMEDIATE").await.unwrap();
        Lock(connection)
    }

    /// Lets the database take nothing more, as a hosted PostgreSQL does when its disk is full; or everything again.
    /// PostgreSQL only.
    pub(crate) async fn read_only(&self, on: bool) {
        let word = if on { "on" } else { "off" };
        run(&format!("ALTER DATABASE {} SET default_transaction_read_only = {word}", self.name())).await;
        self.cut_connections().await;
    }

    /// How large the log of changes is; SQLite only.
    pub(crate) fn wal_bytes(&self) -> u64 {
        std::fs::metadata(format!("{}-wal", self.name())).unwrap().len()
    }

    /// What is wrong with the file; SQLite only.
    pub(crate) async fn faults(&self) -> Vec<String> {
        let database = Database::connect(self.direct_url()).await.unwrap();
        let rows =
            database.query_all_raw(Statement::from_string(database.get_database_backend(), "PRAGMA integrity_check"));
        let said = rows.await.unwrap().iter().map(|row| row.try_get_by_index::<String>(0).unwrap()).collect::<Vec<_>>();
        database.close().await.unwrap();
        said.into_iter().filter(|line| line != "ok").collect()
    }

    /// Moves the database away under a name and leaves an empty one; connections to it are cut.
    pub(crate) async fn put_away(&mut self, name: &str) {
        self.take_away(name).await;
        self.make_empty().await;
    }

    /// Moves the database away under a name and leaves none; connections to it are cut.
    pub(crate) async fn take_away(&mut self, name: &str) {
        match self.kind {
            Kind::Sqlite => self.each_file(name, |from, to| std::fs::rename(from, to)),
            Kind::Postgres => {
                // Whoever connects anew meanwhile, as servers do at once, would hold the database in its place.
                run(&format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", self.name())).await;
                self.cut_connections().await;
                run(&format!("ALTER DATABASE {0} RENAME TO {0}_{name}", self.name())).await;
                run(&format!("ALTER DATABASE {}_{name} ALLOW_CONNECTIONS true", self.name())).await;
            }
        }
        self.shelf.push(name.to_owned());
    }

    /// Keeps a copy under a name; no server may use the database meanwhile.
    pub(crate) async fn copy(&mut self, name: &str) {
        match self.kind {
            Kind::Sqlite => self.each_file(name, |from, to| std::fs::copy(from, to).map(drop)),
            Kind::Postgres => run(&format!("CREATE DATABASE {0}_{name} TEMPLATE {0}", self.name())).await,
        }
        self.shelf.push(name.to_owned());
    }

    /// Puts a database back that was moved away or copied; whatever is in its place is lost.
    pub(crate) async fn bring_back(&mut self, name: &str) {
        self.shelf.retain(|other| other != name);
        match self.kind {
            Kind::Sqlite => {
                self.remove_files();
                self.each_file(name, |to, from| std::fs::rename(from, to));
            }
            Kind::Postgres => {
                run(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name())).await;
                run(&format!("ALTER DATABASE {0}_{name} RENAME TO {0}", self.name())).await;
            }
        }
    }

    /// Puts something into the empty database that is none of ours.
    pub(crate) async fn spoil(&self) {
        match self.kind {
            Kind::Sqlite => std::fs::write(&self.place, vec![b'x'; 8192]).unwrap(),
            Kind::Postgres => drop(self.execute("CREATE TABLE host (name text)").await),
        }
    }

    /// Ends every connection to the database; PostgreSQL only.
    pub(crate) async fn cut_connections(&self) {
        let ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ";
        run(&format!("{ended}'{}'", self.name())).await;
    }

    /// Removes everything; files go with their folder.
    pub(crate) async fn remove(self) {
        if self.kind == Kind::Postgres {
            let shelved = self.shelf.iter().map(|name| format!("{}_{name}", self.name()));
            for name in shelved.chain([self.name().to_owned()]) {
                run(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
            }
        }
    }

    async fn make_empty(&self) {
        if self.kind == Kind::Postgres {
            run(&format!("CREATE DATABASE {}", self.name())).await;
        }
    }

    fn direct_url(&self) -> String {
        match self.kind {
            Kind::Sqlite => format!("sqlite:{}?mode=rw", self.place.display()),
            Kind::Postgres => self.url(),
        }
    }

    fn name(&self) -> &str {
        self.place.to_str().unwrap()
    }

    /// Does something with each file of the database that is there, and its place under a name.
    fn each_file(&self, name: &str, act: impl Fn(&str, &str) -> std::io::Result<()>) {
        for part in PARTS {
            let (own, other) = (format!("{}{part}", self.name()), format!("{}-{name}{part}", self.name()));
            if Path::new(&own).exists() || Path::new(&other).exists() {
                act(&own, &other).unwrap();
            }
        }
    }

    fn remove_files(&self) {
        for part in PARTS {
            let _ = std::fs::remove_file(format!("{}{part}", self.name()));
        }
    }
}

impl Lock {
    /// Gives the lock back.
    pub(crate) async fn release(self) {
        self.0.execute_unprepared("ROLLBACK").await.unwrap();
        self.0.close().await.unwrap();
    }
}

fn postgres_url() -> Option<String> {
    std::env::var("ROOKERY_TEST_POSTGRES").ok().filter(|url| !url.is_empty())
}

/// Runs a statement on the PostgreSQL server itself.
async fn run(statement: &str) {
    let server = Database::connect(postgres_url().unwrap()).await.unwrap();
    server.execute_unprepared(statement).await.unwrap();
    server.close().await.unwrap();
}
