//! What piles up goes in steps, and takes its events along.

use sea_orm::PaginatorTrait;

use super::*;
use crate::fresh::on_each;
use crate::turn::Turn;
use crate::vault::Vault;
use crate::webhook::{New, Settings};
use crate::webhook_event::NewEvent;
use crate::webhook_key::NewKey;
use crate::{store, webhook_delivery};

/// More than two steps.
const MANY: i64 = 2 * AT_ONCE as i64 + 100;

fn by(at: i64) -> By {
    By { name: "admin".into(), at }
}

fn event(number: i64, webhooks: Vec<i64>) -> NewEvent {
    let id = format!("event-{number:05}");
    NewEvent { id, host_id: 1, topic: "mdm.Connect", tally: None, created_at: number, payload: vec![1], webhooks }
}

async fn made(writer: &Writer) -> i64 {
    let settings = Settings {
        name: "here".into(),
        url: "https://here.example/".into(),
        topics: String::new(),
        idle: false,
        enabled: true,
    };
    let key = NewKey { key_id: "key".into(), secret: "secret".to_owned().into() };
    webhook::create(writer, New { uuid: "uuid".into(), form: 0, settings, key }, by(0)).await.unwrap()
}

async fn events(reader: &Reader) -> u64 {
    let counting = reader.run(|database| async move { Ok(webhook_event::Entity::find().count(&database).await?) });
    counting.await.unwrap()
}

async fn rows(reader: &Reader, webhook: i64, state: i16) -> i64 {
    let counts = counts(reader).await.unwrap();
    counts.iter().find(|count| count.webhook_id == webhook && count.state == state).map_or(0, |count| count.rows)
}

async fn steps(mut step: impl AsyncFnMut() -> u64) -> (u64, u64) {
    let (mut count, mut all) = (0, 0);
    loop {
        match step().await {
            0 => return (count, all),
            some => (count, all) = (count + 1, all + some),
        }
    }
}

#[tokio::test]
async fn what_piles_up_goes_in_steps_and_takes_its_events_along() {
    on_each("backlog", async |url: &str| {
        migration::run(url).await.unwrap();
        let (reader, writer) = store::open(url, Vault::known().unwrap(), 0).await.unwrap();
        let (here, gone) = (made(&writer).await, 99);
        let told = (0..MANY).map(|number| event(number, vec![here, gone])).collect();
        writer.host_turn(Turn { events: told, ..Turn::default() }).await.unwrap();
        let nobodys = (MANY..MANY + 10).map(|number| event(number, vec![])).collect();
        writer.host_turn(Turn { events: nobodys, ..Turn::default() }).await.unwrap();

        let forgotten = steps(async || forget_gone(&reader, &writer).await.unwrap()).await;
        assert_eq!(forgotten, (3, MANY as u64), "the rows of a webhook that is gone");
        assert_eq!(events(&reader).await, MANY as u64 + 10, "others wait for them still");
        let died = steps(async || age(&writer, MANY - 50, 0, 5000).await.unwrap().0).await;
        assert_eq!(died, (3, MANY as u64 - 50), "what is too old");
        assert_eq!(rows(&reader, here, PENDING).await, 50);
        let shown = list(&reader, here, DEAD, 1, 2).await.unwrap();
        assert_eq!(shown.iter().map(|row| row.created_at).collect::<Vec<_>>(), [1, 2]);

        let one = Letters { webhook: here, only: Some(shown[0].id) };
        assert_eq!(replay(&writer, one, by(6000)).await.unwrap(), 1);
        assert_eq!(replay(&writer, one, by(6000)).await.unwrap(), 0, "it is dead no more");
        let first = webhook_delivery::first_of_host(&reader, here, 1).await.unwrap().unwrap().0;
        assert_eq!((first.id, first.since, first.attempts), (shown[0].id, 6000, 0), "it comes before the others again");
        let all = Letters { webhook: here, only: None };
        assert_eq!(replay(&writer, Letters { webhook: gone, only: None }, by(6000)).await.unwrap(), 0);
        assert_eq!(drop_dead(&writer, all, by(6000)).await.unwrap(), AT_ONCE, "one step of many");
        let forgotten = steps(async || age(&writer, 0, 5001, 7000).await.unwrap().1).await;
        assert_eq!(forgotten.1, MANY as u64 - 51 - AT_ONCE, "dead for too long");
        assert_eq!(events(&reader).await, 51 + 10);
        assert_eq!(webhook_event::tidy(&reader, &writer, String::new()).await.unwrap(), (10, None));
        assert_eq!(events(&reader).await, 51);
        assert!(webhook::delete(&writer, here, by(8000)).await.unwrap());
        assert_eq!((events(&reader).await, counts(&reader).await.unwrap()), (0, vec![]));
    })
    .await;
}
