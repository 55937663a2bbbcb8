use sea_orm::{ActiveValue, ActiveValue::Set, EntityTrait};

use super::*;
use crate::fresh::on_each;
use crate::label::change::{Changed, Save};
use crate::profile::change::{By, Draft, Saved};
use crate::profile::rollout::Rollout;
use crate::profile_label::{INCLUDE_ANY, Named};
use crate::secret_variable::{Deleted, Secret};
use crate::vault::Vault;
use crate::{Reader, label, profile, profile_content, secret_variable, store, team};

/// Hosts of each test.
const HOSTS: i64 = 60;

async fn open(url: &str) -> (Reader, Writer) {
    migration::run(url).await.unwrap();
    let (reader, writer) = store::open(url, Vault::known().unwrap(), 1).await.unwrap();
    writer
        .run((), |transaction, ()| {
            Box::pin(async move {
                for number in 0..HOSTS {
                    let host = host::ActiveModel {
                        id: ActiveValue::NotSet,
                        uuid: Set(Some(format!("U{number}"))),
                        serial: Set(Some(format!("S{number}"))),
                        platform: Set("darwin".into()),
                        hardware_model: Set(String::new()),
                        computer_name: Set(String::new()),
                        os_version: Set(String::new()),
                        build_version: Set(String::new()),
                        mdm_status: Set(host::ON_MANUAL),
                        team_id: Set(None),
                        wake_at: Set(None),
                        created_at: Set(1),
                        updated_at: Set(1),
                        last_seen_at: Set(None),
                        mdm_seen_at: Set(None),
                        deleted_at: Set(None),
                    };
                    host::Entity::insert(host).exec_without_returning(transaction).await?;
                }
                Ok(())
            })
        })
        .await
        .unwrap();
    (reader, writer)
}

fn by() -> By {
    By { name: "admin".into(), at: 2 }
}

fn draft(name: &str, labels: Vec<Named>) -> Draft {
    Draft {
        uuid: format!("a-{name}"),
        team_id: 0,
        kind: profile::MOBILECONFIG,
        name: name.into(),
        identifier: format!("com.example.{name}"),
        scope: profile::SYSTEM,
        part: profile::CONFIGURATION,
        body: name.into(),
        variables: Vec::new(),
        labels,
        managed: false,
        rollout_percent: 100,
        rollout_max_failures: None,
    }
}

async fn create(writer: &Writer, draft: Draft) -> profile::Model {
    match profile::change::create(writer, draft, by()).await.unwrap() {
        Saved::Done(made) => made,
        refused => panic!("{refused:?}"),
    }
}

/// Works off everything; returns the hosts that were looked at, and the rows that were marked.
async fn work_off(writer: &Writer) -> (u64, u64) {
    let (mut hosts, mut marked) = (0, 0);
    loop {
        let step = step(writer, 3).await.unwrap();
        (hosts, marked) = (hosts + step.hosts, marked + step.marked);
        if !step.goes_on {
            return (hosts, marked);
        }
    }
}

async fn give(writer: &Writer, id: Option<i64>, hosts: std::ops::RangeInclusive<i64>) -> label::Model {
    let save = Save { id, name: "L".into(), description: String::new(), rule: None, hosts: Some(hosts.collect()) };
    match label::change::save(writer, save, "admin".into(), 2).await.unwrap() {
        Changed::Done(label) => label,
        refused => panic!("{refused:?}"),
    }
}

#[tokio::test]
async fn a_change_costs_work_for_the_hosts_that_it_is_about() {
    on_each("marking_counted", async |url| {
        let (_reader, writer) = open(url).await;
        create(&writer, draft("all", Vec::new())).await;
        assert_eq!(work_off(&writer).await, (0, HOSTS as u64), "one profile, on all hosts");
        assert_eq!(work_off(&writer).await, (0, 0), "nothing is left");
        let label = give(&writer, None, 1..=5).await;
        create(&writer, draft("some", vec![Named { name: "l".into(), mode: INCLUDE_ANY }])).await;
        assert_eq!(work_off(&writer).await, (0, 5));
        give(&writer, Some(label.id), 1..=15).await;
        assert_eq!(work_off(&writer).await, (10, 10), "ten more hosts have the label");
        give(&writer, Some(label.id), 3..=15).await;
        assert_eq!(work_off(&writer).await, (2, 2), "two lost it");
        label::change::delete(&writer, label.id, "admin".into(), 2).await.unwrap();
        assert_eq!(work_off(&writer).await, (0, 0), "a deleted label breaks nothing");
        assert_eq!(sweep(&writer, 0, 3).await.unwrap().0.marked, 0, "and the sweep finds nothing that was missed");
        let team = team::create(&writer, team::Naming { name: "T".into(), description: String::new() }, "a".into(), 2);
        let team = team.await.unwrap();
        let movers = crate::movers::Movers::Hosts(vec![1, 20]);
        let transfer = team::Transfer { team_id: Some(team.id), movers, by: "a".into(), at: 2 };
        team::transfer_some(&writer, transfer, 0).await.unwrap().unwrap();
        assert_eq!(work_off(&writer).await, (2, 2), "both lose what was never sent to them");
    })
    .await;
}

#[tokio::test]
async fn a_roll_out_reaches_a_share_of_the_hosts_and_stops_when_too_many_fail() {
    on_each("marking_rollout", async |url| {
        let (reader, writer) = open(url).await;
        let first = Draft { rollout_percent: 20, rollout_max_failures: Some(3), ..draft("staged", Vec::new()) };
        let made = create(&writer, first).await;
        assert_eq!(work_off(&writer).await, (0, 12), "a fifth of {HOSTS}");
        let rows = host_profile_rows(&reader).await;
        let reached: Vec<i64> = rows.iter().map(|row| row.host_id).collect();
        for (number, host) in reached.iter().take(4).enumerate() {
            assert_eq!(profile::rollout::stop_failing(&writer, 4).await.unwrap(), [], "{number} failed");
            fail(&writer, *host, made.id).await;
        }
        let stopped = profile::rollout::stop_failing(&writer, 4).await.unwrap();
        assert_eq!(stopped.iter().map(|profile| profile.id).collect::<Vec<_>>(), [made.id]);
        let rows = host_profile_rows(&reader).await;
        assert!(rows.iter().all(|row| row.status == HELD || row.status == crate::host_profile::FAILED), "{rows:?}");
        let on = Rollout { percent: 100, max_failures: None, stopped: false };
        profile::rollout::roll_out(&writer, made.uuid.clone(), on, by()).await.unwrap().unwrap();
        assert_eq!(work_off(&writer).await, (0, HOSTS as u64 - 12));
        let rows = host_profile_rows(&reader).await;
        let waiting = rows.iter().filter(|row| row.status == UNSENT).count();
        assert_eq!(waiting, HOSTS as usize - 4, "those that were held go on, those that failed stay as they are");
    })
    .await;
}

#[tokio::test]
async fn a_secret_that_changes_sends_again_what_names_it() {
    on_each("marking_secret", async |url| {
        let (reader, writer) = open(url).await;
        let secret =
            |value: &str| vec![Secret { name: "WIFI".into(), value: zeroize::Zeroizing::new(value.to_owned()) }];
        let named = Draft { variables: vec!["FLEET_SECRET_WIFI".into()], ..draft("wifi", Vec::new()) };
        let missing = profile::change::create(&writer, named.clone(), by()).await.unwrap();
        assert_eq!(missing, Saved::UnknownSecrets(vec!["WIFI".into()]));
        assert_eq!(secret_variable::set(&writer, secret("one"), by()).await.unwrap(), 1);
        create(&writer, named).await;
        create(&writer, draft("other", Vec::new())).await;
        work_off(&writer).await;
        assert_eq!(secret_variable::set(&writer, secret("one"), by()).await.unwrap(), 0);
        assert_eq!(work_off(&writer).await, (0, 0), "the same value changes nothing");
        assert_eq!(secret_variable::set(&writer, secret("two"), by()).await.unwrap(), 1);
        assert_eq!(work_off(&writer).await, (0, HOSTS as u64), "the profile that names it, and no other");
        let id = secret_variable::list(&reader).await.unwrap()[0].id;
        let deleted = secret_variable::delete(&writer, id, "a".into(), 2).await.unwrap();
        assert_eq!(deleted, Deleted::Used(vec!["wifi".into()]));
        let values = secret_variable::values(&reader, vec!["WIFI".into()]).await.unwrap();
        assert_eq!(values["WIFI"].as_str(), "two");
    })
    .await;
}

#[tokio::test]
async fn a_version_goes_when_no_profile_and_no_host_has_it() {
    on_each("marking_versions", async |url| {
        let (reader, writer) = open(url).await;
        let made = create(&writer, draft("kept", Vec::new())).await;
        work_off(&writer).await;
        let edited = Draft { body: b"other".to_vec(), ..draft("kept", Vec::new()) };
        profile::set::replace(&writer, 0, vec![edited], false, by()).await.unwrap().unwrap();
        let is_there = async || profile_content::body(&reader, made.content_id).await.unwrap().is_some();
        assert_eq!(profile_content::forget_unused(&writer, 0).await.unwrap(), None);
        assert!(is_there().await, "hosts are still to get the former version");
        work_off(&writer).await;
        profile_content::forget_unused(&writer, 0).await.unwrap();
        assert!(!is_there().await, "nobody has it");
        let now = profile::by_uuid(&reader, made.uuid).await.unwrap().unwrap();
        assert!(profile_content::body(&reader, now.content_id).await.unwrap().is_some());
    })
    .await;
}

async fn host_profile_rows(reader: &Reader) -> Vec<crate::host_profile::Model> {
    crate::host_profile::of_hosts(reader, (1..=HOSTS).collect()).await.unwrap()
}

async fn fail(writer: &Writer, host_id: i64, profile_id: i64) {
    writer
        .run((host_id, profile_id), |transaction, (host_id, profile_id)| {
            Box::pin(async move {
                Entity::update_many()
                    .col_expr(Column::Status, crate::host_profile::FAILED.into())
                    .filter(Column::HostId.eq(host_id))
                    .filter(Column::ProfileId.eq(profile_id))
                    .exec(transaction)
                    .await?;
                Ok(())
            })
        })
        .await
        .unwrap();
}
