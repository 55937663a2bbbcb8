use sea_orm::ConnectionTrait;

use super::*;
use crate::enqueue::{Channel, Enqueue, enqueue};
use crate::{audit, store};

const CHANNEL: i64 = 1;
const NOBODY: i64 = 99;

/// A database with one host that takes commands.
async fn opened() -> (crate::Reader, Writer, std::path::PathBuf) {
    let file = std::env::temp_dir().join(format!("rookery-writer-{}.sqlite", std::process::id()));
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
        channels: vec![Channel { enrollment_id, due_at: 5 }],
        brake: None,
        answers: None,
        now: 1,
    }
}

#[tokio::test]
async fn what_is_at_fault_in_a_batch_harms_nothing_beside_it() {
    let (reader, writer, file) = opened().await;
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
