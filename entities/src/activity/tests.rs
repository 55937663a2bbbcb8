//! Old activities are forgotten in steps, with their places in feeds; lists need no look at all of them.

use sea_orm::{ConnectionTrait, Database};

use super::*;
use crate::fresh::{by_index_alone, on_each};
use crate::store;

/// More than two steps.
const MANY: i64 = 2 * STEP as i64 + 100;

#[tokio::test]
async fn old_activities_go_in_steps_and_lists_are_read_by_index() {
    on_each("activities", async |url: &str| {
        migration::run(url).await.unwrap();
        let (reader, writer) = store::open(url, Vault::known().unwrap(), 0).await.unwrap();
        let database = Database::connect(url).await.unwrap();
        let numbers = format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {MANY})");
        let rows = "INSERT INTO activity (created_at, kind, details) SELECT i, 'kind' || (i % 10), '{}' FROM n";
        let feeds = "INSERT INTO activity_host (host_id, activity_id) SELECT id % 100, id FROM activity";
        for statement in [format!("{numbers} {rows}"), feeds.to_owned(), "ANALYZE".to_owned()] {
            database.execute_unprepared(&statement).await.unwrap();
        }
        let page = |filter: Filter| Entity::find().filter(filter.condition()).order_by_desc(Column::Id).limit(20);
        by_index_alone(&database, &page(Filter { kind: "kind3".into(), ..Filter::default() }), "activity_kind").await;

        let of_host = Filter { host: Some(7), ..Filter::default() };
        let feed = list(&reader, of_host.clone(), true, 0, 3).await.unwrap();
        assert_eq!(feed.iter().map(|row| row.created_at).collect::<Vec<_>>(), [7, 107, 207]);
        let walked = list_after(&reader, of_host.clone(), feed[2].id, 1).await.unwrap();
        assert_eq!(walked[0].created_at, 307);

        let mut steps = Vec::new();
        while steps.last() != Some(&0) {
            steps.push(forget_before(&writer, MANY - 50).await.unwrap());
        }
        assert_eq!(steps, [STEP, STEP, 49, 0]);
        let left = list(&reader, Filter::default(), false, 0, 1000).await.unwrap();
        assert_eq!((left.len(), left[0].created_at), (51, MANY));
        let feeds = about::Entity::find().all(&database).await.unwrap();
        assert_eq!(feeds.len(), 51, "their places in feeds are gone with them");
        database.close().await.unwrap();
    })
    .await;
}
