use sea_orm::ConnectionTrait;

use super::*;
use crate::enqueue::{Channel, Enqueue, enqueue};
use crate::webhook_event::{self, NewEvent};
use crate::{audit, store, webhook_delivery};

const CHANNEL: i64 = 1;
const NOBODY: i64 = 99;

/// A database with one host that takes commands.
async fn opened(name: &str) -> (crate::Reader, Writer, std::path::PathBuf) {
    let file = std::env::temp_dir().join(format!("rookery-writer-{name}-{}.sqlite", std::process::id()));
    let _ = std::fs::remove_file(&file);
    let url = format!("sqlite:{}?mode=rwc", file.display());
    migration::run(&url).await.unwrap();
    let (reader, writer) = store::open(&url, Vault::known().unwrap(), 0).await.unwrap();
    let rows = [
        "INSERT INTO host (id, platform, hardware_model, computer_name, os_version, build_version, mdm_status, created_at, \
         updated_at) VALUES (1, 'darwin', '', '', '', '', 1, 0, 0)",
        "INSERT INTO enrollment (id, host_id, external_id, kind, generation, enabled, token_update_tally, \
         awaiting_configuration) VALUES (1, 1, 'channel', 0, 1, true, 1, false)",
    ];
    let made = writer.run(rows, |transaction, rows| {
        Box::pin(async move {
            for row in rows {
                transaction.execute_unprepared(row).await?;
            }
            Ok(())
        })
    });
    made.await.unwrap();
    (reader, writer, file)
}

fn request(uuid: &str, enrollment_id: i64) -> Enqueue {
    Enqueue {
        uuid: uuid.to_owned(),
        request_type: "ProfileList".into(),
        body: Vec::new(),
        created_by: Some("admin".into()),
        priority: 0,
        no_blind_resend: false,
        expires_at: 100,
        expires_as_asked: false,
        after: None,
        channels: vec![Channel { enrollment_id, due_at: 5 }],
        brake: None,
        answers: None,
        action: None,
        now: 1,
    }
}

#[tokio::test]
async fn what_is_at_fault_in_a_batch_harms_nothing_beside_it() {
    let (reader, writer, file) = opened("batch").await;
    let requests: Vec<Enqueue> = (0..60)
        .map(|number| match number {
            17 | 41 => request("the same", CHANNEL),
            30 => request("for nobody", NOBODY),
            _ => request(&format!("command-{number}"), CHANNEL),
        })
        .collect();
    let asked = requests.into_iter().map(|request| {
        let writer = writer.clone();
        tokio::spawn(async move { (request.uuid.clone(), enqueue(&writer, request).await) })
    });
    let (mut queued, mut refused) = (Vec::new(), Vec::new());
    for asked in asked.collect::<Vec<_>>() {
        match asked.await.unwrap() {
            (uuid, Ok(made)) => queued.push((uuid, made.entries.len())),
            (uuid, Err(StoreError::Conflict(_))) => refused.push(uuid),
            (uuid, Err(other)) => panic!("{uuid}: {other}"),
        }
    }
    refused.sort();
    assert_eq!(refused, ["for nobody", "the same"]);
    assert_eq!(queued.len(), 58);
    assert!(queued.iter().all(|(_, entries)| *entries == 1));
    let chain = audit::verify(&reader, &[]).await.unwrap();
    assert_eq!((chain.end.id, chain.fault), (58, None), "each has its row in the audit log, and nothing else has");
    assert!(writer.tally().commits.load(Relaxed) < 30, "they were written together");
    let _ = std::fs::remove_file(&file);
}

/// A turn that tells a webhook something; `entry` is the command that it ends, and there is none.
fn telling(name: &str, entry: Option<i64>) -> Turn {
    let end = |id| turn::EntryChange { id, state: 10, attempts: 0, not_now_tally: 0, sent_at: None, changed_at: 1 };
    let event = NewEvent {
        id: name.to_owned(),
        host_id: 1,
        topic: "mdm.Connect",
        tally: None,
        created_at: 1,
        payload: b"canary".to_vec(),
        webhooks: vec![1, 2],
    };
    Turn { entries: entry.map(end).into_iter().collect(), events: vec![event], ..Turn::default() }
}

#[tokio::test]
async fn a_turn_that_is_refused_tells_nobody_and_those_beside_it_do() {
    let (reader, writer, file) = opened("events").await;
    let turns = (0..40).map(|number| {
        let (writer, refused) = (writer.clone(), number % 10 == 3);
        let turn = telling(&format!("event-{number}"), refused.then_some(NOBODY));
        tokio::spawn(async move { (refused, writer.host_turn(turn).await) })
    });
    for turn in turns.collect::<Vec<_>>() {
        let (refused, stored) = turn.await.unwrap();
        assert_eq!(stored.is_err(), refused, "{stored:?}");
    }
    assert!(writer.tally().commits.load(Relaxed) < 20, "they were written together");
    let waiting = webhook_delivery::waiting(&reader, 1, 0, 100).await.unwrap();
    assert_eq!(waiting.len(), 36);
    assert!(webhook_event::by_id(&reader, "event-3".into()).await.unwrap().is_none());
    let event = webhook_event::by_id(&reader, "event-4".into()).await.unwrap().unwrap();
    assert_eq!(event.open(reader.vault()).unwrap(), b"canary");
    assert!(!format!("{:?}", event.payload).contains("canary"));
    let (first, length) = webhook_delivery::first_of_host(&reader, 2, 1).await.unwrap().unwrap();
    assert!(length > 6 && first.webhook_id == 2);
    webhook_delivery::delivered(&writer, first.id, first.event_id.clone()).await.unwrap();
    assert!(webhook_event::by_id(&reader, first.event_id).await.unwrap().is_some(), "the other one was not told yet");
    let _ = std::fs::remove_file(&file);
}
