//! P-15: a restart with many hosts is quick and calm.
//!
//! The rows of a large company, each host with a command waiting and some of them due now, and a fleet of devices that all come back
//! the moment the server is there again, while clients queue commands. The server is ready without looking at every host, wakes
//! those that are due, serves the herd, and gives back the memory of hosts that have nothing to do, while devices come for their
//! commands. SIGTERM in the middle of it is a stop in good order. In the end P-02's reckoning holds.
//!
//! Seen to fail when idle hosts did not retire (actors/src/host/due.rs): "waited in vain: hosts rest again".

use std::time::{Duration, Instant};

use rookery::sim::behaviour::Behaviour;
use rookery::sim::fleet::Persona;
use serde_json::Value;

use crate::harness::admin::{Asked, Row};
use crate::harness::masses::Masses;
use crate::harness::office::Office;
use crate::harness::reckoning::reckon;
use crate::harness::{PATIENCE, Proof, Site, eventually, prove, until_confirmed};

/// A host that did nothing for so long gives its memory back.
const SETTINGS: [(&str, &str); 1] = [("ROOKERY_HOSTS__IDLE", "1s")];
/// API clients.
const CLERKS: u64 = 4;
/// About how often each of them queues something.
const PACE: Duration = Duration::from_millis(300);

#[test]
fn p15_a_restart_with_many_hosts_is_quick_and_calm() {
    prove("P-15", "a restart with many hosts is quick and calm", async |proof| {
        let hosts = proof.size.pick(20_000, 1_000_000);
        let masses = Masses { hosts, due: hosts / proof.size.pick(100, 10) };
        let mut site = Site::open(proof, &SETTINGS).await;
        let devices = proof.size.pick(20, 1000);
        let fleet = site.fleet(proof, devices, &[Persona::Mac, Persona::IPhone], restless()).await;
        let first = [fleet.members()[0].channels[0].clone()];
        let theirs = site.admin.run(&first).await.uuid;
        restart(&mut site, proof, async |site, proof| {
            masses.settle(&site.store, proof.kind, &theirs).await;
            proof.tell(format!("{hosts} hosts are there"));
        })
        .await;
        let office = Office::open(&site, fleet.members(), CLERKS, PACE, proof);
        the_herd_is_served(&mut site, masses, proof).await;
        office.have_accepted(proof.size.pick(20, 200)).await;
        restart(&mut site, proof, async |_, _| ()).await;
        office.have_accepted(office.accepted() + 2 * CLERKS).await;
        let asked = office.close().await;
        let rows = when_all_are_done(&site, &asked).await;
        until_confirmed(&fleet).await;
        proof.figure("hosts", hosts);
        proof.figure("devices", devices);
        proof.judge(reckon(&asked, &rows, &fleet.stop()));
        site.close(proof).await;
    });
}

/// A device that comes every second or two, and comes back soon when there is no server.
const fn restless() -> Behaviour {
    Behaviour {
        polls_every: Some(Duration::from_millis(1500)),
        rests_for: Duration::from_millis(200),
        rests_at_most: Duration::from_secs(1),
        ..Behaviour::calm()
    }
}

/// SIGTERM, whatever is to happen while the server is down, and a new start.
async fn restart(site: &mut Site, proof: &mut Proof, meanwhile: impl AsyncFnOnce(&mut Site, &mut Proof)) {
    let began = Instant::now();
    let status = site.server.terminate().await;
    proof.demand(status.success(), format!("the server ended with {status}: it did not finish in time"));
    proof.figure("stopped within", format!("{} ms", began.elapsed().as_millis()));
    meanwhile(site, proof).await;
    let began = Instant::now();
    site.server.start().await;
    proof.figure("ready within", format!("{} ms", began.elapsed().as_millis()));
    proof.figure("memory when ready", format!("{} MiB", site.server.usage().memory_mib));
}

/// Every host that is due is woken, and rests again.
async fn the_herd_is_served(site: &mut Site, masses: Masses, proof: &mut Proof) {
    let began = Instant::now();
    let started = |census: &Value| census["started"].as_u64().unwrap();
    eventually("hosts that are due are woken", PATIENCE, async || {
        Some(census(site).await).filter(|census| started(census) >= masses.due)
    })
    .await;
    let took = began.elapsed();
    site.server.look();
    let resting = eventually("hosts rest again", PATIENCE, async || {
        Some(census(site).await).filter(|census| census["resident"].as_u64().unwrap() < masses.due / 2)
    })
    .await;
    // A start that looks at everybody would have started everybody. Devices that come by themselves were started, too.
    let most = masses.hosts / 2;
    proof.demand(started(&resting) <= most, format!("{} hosts were started, {most} at most", started(&resting)));
    proof.demand(resting["crashed"] == 0, format!("hosts crashed: {resting}"));
    proof.figure("due hosts woken within", format!("{:.1} s", took.as_secs_f64()));
    proof.figure("hosts at work at last", &resting["resident"]);
    proof.figure("memory with the herd", format!("{} MiB", site.server.peak.memory_mib));
    proof.figure("and at rest", format!("{} MiB", site.server.usage().memory_mib));
}

async fn census(site: &Site) -> Value {
    site.server.ops("/tree").await.unwrap().1["hosts"].clone()
}

/// Waits until none of these commands is on its way any more.
async fn when_all_are_done(site: &Site, asked: &[Asked]) -> Vec<Row> {
    let is_final = |row: &Row| !matches!(row.status.as_str(), "Pending" | "NotNow");
    eventually("commands are done", PATIENCE, async || {
        Some(site.admin.rows_of(asked).await).filter(|rows| rows.iter().all(is_final))
    })
    .await
}
