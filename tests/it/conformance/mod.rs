//! The conformance suite: what every device and admin may rely on, as cases that run through real HTTPS against one
//! server on SQLite and, by the same code, against one on PostgreSQL.
//!
//! A case is text ([`script`]). Those that differ in more than a word stand in `cases/`, those that follow from a table are
//! written by [`generated`]; what takes two requests at the same moment is code ([`at_once`]). Every reply to a device is
//! judged whole: status, headers and body. To add a case, add it to the text; every case has devices of its own, or
//! shares those of its group.

mod admin_steps;
mod at_once;
mod device_steps;
mod generated;
mod pc_steps;
mod proxied;
mod resumption;
mod script;
mod stage;

use std::time::Instant;

use rookery::config::HostSettings;

use crate::world::{World, on_each_store_with};
use script::{Group, Step};
use stage::Stage;

/// The cases that were written by hand. Those that put the clock forward come last: certificates end meanwhile.
const WRITTEN: &[(&str, &str)] = &[
    ("enrollment", include_str!("cases/enrollment.txt")),
    ("channels", include_str!("cases/channels.txt")),
    ("identity", include_str!("cases/identity.txt")),
    ("renewal", include_str!("cases/renewal.txt")),
    ("queue", include_str!("cases/queue.txt")),
    ("tokens", include_str!("cases/tokens.txt")),
    ("admin", include_str!("cases/admin.txt")),
    ("push", include_str!("cases/push.txt")),
    ("windows-enrollment", include_str!("cases/windows_enrollment.txt")),
    ("windows-quirks", include_str!("cases/windows_quirks.txt")),
    ("windows-proof", include_str!("cases/windows_proof.txt")),
    ("windows-queue", include_str!("cases/windows_queue.txt")),
    ("windows-session", include_str!("cases/windows_session.txt")),
    ("time", include_str!("cases/time.txt")),
    ("windows-time", include_str!("cases/windows_time.txt")),
];

/// Fewer cases than this, and some were lost.
const LEAST: usize = 800;

#[actix::test]
async fn every_case_holds_on_every_store() {
    let written = WRITTEN.iter().flat_map(|(name, text)| named(name, text));
    let groups: Vec<Group> = named("generated", &generated::script()).into_iter().chain(written).collect();
    let count: usize = groups.iter().map(Group::count).sum();
    assert!(count >= LEAST, "the suite has {count} cases");
    on_each_store_with(
        |settings| {
            settings.hosts = HostSettings::default();
            settings.brakes.erase_per_hour = u32::MAX; // many a host is erased here in its own case
            settings.brakes.lock_per_hour = u32::MAX;
        },
        async |world: &mut World| {
            let begun = Instant::now();
            let (count, failures) = run(world, &groups).await;
            println!("conformance on {}: {count} cases in {:.1?}", world.store(), begun.elapsed());
            assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
        },
    )
    .await;
}

fn named(name: &str, text: &str) -> Vec<Group> {
    let mut groups = script::parse(text);
    groups.iter_mut().for_each(|group| group.title = format!("{name}: {}", group.title));
    groups
}

/// Runs all groups one after the other: how many cases there were, and what failed, a line each.
async fn run(world: &World, groups: &[Group]) -> (usize, Vec<String>) {
    let only = std::env::var("ROOKERY_CONFORMANCE").unwrap_or_default();
    let (mut count, mut failures) = (0, Vec::new());
    for (number, group) in groups.iter().enumerate().filter(|(_, group)| group.title.contains(&only)) {
        count += group.count();
        let mut stage = Stage::new(world, u32::try_from(number).unwrap());
        if let Err(why) = play(&mut stage, &group.setup).await {
            failures.push(format!("{}: {why}", group.title));
            continue;
        }
        for case in &group.cases {
            if let Err(why) = play(&mut stage, &case.steps).await {
                failures.push(format!("{} -- {}: {why}", group.title, case.title));
            }
        }
        failures.extend(stage.findings().into_iter().map(|finding| format!("{}: {finding}", group.title)));
    }
    (count, failures)
}

async fn play(stage: &mut Stage<'_>, steps: &[Step]) -> Result<(), String> {
    for step in steps {
        stage.play(step).await.map_err(|why| format!("`{}`: {why}", step.text))?;
    }
    Ok(())
}
