//! For tests: fresh databases of each kind that is at hand, and how they find rows.

use sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbBackend, EntityTrait, QueryTrait, Select, Statement};

/// Runs a test on a fresh SQLite database, and on a fresh one of PostgreSQL where a server is named.
pub(crate) async fn on_each(name: &str, test: impl AsyncFn(&str)) {
    let name = format!("rookery_{name}_{}", std::process::id());
    let file = std::env::temp_dir().join(format!("{name}.sqlite"));
    let _ = std::fs::remove_file(&file);
    test(&format!("sqlite:{}?mode=rwc", file.display())).await;
    std::fs::remove_file(file).unwrap();
    let Ok(server) = std::env::var("ROOKERY_TEST_POSTGRES") else {
        return println!("left out: PostgreSQL (ROOKERY_TEST_POSTGRES is not set)");
    };
    let admin = Database::connect(&server).await.unwrap();
    admin.execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();
    let (base, _) = server.rsplit_once('/').unwrap();
    test(&format!("{base}/{name}")).await;
    admin.execute_unprepared(&format!("DROP DATABASE {name} WITH (FORCE)")).await.unwrap();
}

async fn plan<E: EntityTrait>(database: &DatabaseConnection, query: &Select<E>) -> Vec<String> {
    let backend = database.get_database_backend();
    let (explain, column) =
        if backend == DbBackend::Sqlite { ("EXPLAIN QUERY PLAN", "detail") } else { ("EXPLAIN", "QUERY PLAN") };
    let Statement { sql, values, .. } = query.build(backend);
    let explained = Statement { sql: format!("{explain} {sql}"), values, db_backend: backend };
    let lines = database.query_all_raw(explained).await.unwrap();
    lines.iter().map(|line| line.try_get::<String>("", column).unwrap()).collect()
}

/// No step of a plan reads a whole table or sorts.
pub(crate) async fn by_index_alone<E: EntityTrait>(database: &DatabaseConnection, query: &Select<E>, index: &str) {
    let plan = plan(database, query).await;
    let bad = ["SCAN ", "TEMP B-TREE", "Seq Scan", "Sort", "Hash"];
    assert!(!plan.iter().any(|line| bad.iter().any(|word| line.contains(word))), "{plan:#?}");
    assert!(plan.iter().any(|line| line.contains(index)), "{index}: {plan:#?}");
}
