//! What the polls of agents cost: statements are counted, in a world where every agent polls again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use entities::agent::{self, Enrollment, Kind};
use entities::fault::{Fate, Plan, Statement};
use entities::news::News;
use entities::{agent_report, host};
use openssl::sha::sha256;

use crate::apns::line;
use crate::stage::{BEGIN, Life, Stage};

/// Agents that poll.
const AGENTS: usize = 40;
/// How often each of them does.
const POLLS: usize = 25;
/// How old details may get.
const INTERVAL: Duration = Duration::from_secs(3600);

/// Counts statements and lets them be.
#[derive(Debug, Default)]
struct Counting {
    statements: AtomicU64,
}

impl Plan for Counting {
    fn next(&self, _: Statement) -> (Duration, Fate) {
        self.statements.fetch_add(1, Relaxed);
        (Duration::ZERO, Fate::Runs)
    }
}

impl Counting {
    /// How many statements this takes.
    async fn of<T>(&self, work: impl Future<Output = T>) -> (u64, T) {
        let before = self.statements.load(Relaxed);
        let done = work.await;
        (self.statements.load(Relaxed) - before, done)
    }
}

fn key(number: usize) -> String {
    format!("key-{number}")
}

async fn enroll(life: &Life, number: usize) -> i64 {
    agent::enroll(&life.parts.writer, enrollment(number)).await.unwrap()
}

fn enrollment(number: usize) -> Enrollment {
    Enrollment {
        kind: Kind::Orbit,
        description: host::Description {
            serial: Some(format!("POLL{number}")),
            platform: if number.is_multiple_of(2) { "darwin".into() } else { "windows".into() },
            ..host::Description::default()
        },
        identifier: String::new(),
        key: sha256(key(number).as_bytes()).to_vec(),
        team_id: None,
        at: BEGIN.millis(),
    }
}

/// All agents poll once; returns how many are known, and how many are asked for details.
async fn poll(life: &Life) -> (usize, usize) {
    let (mut known, mut asked) = (0, 0);
    for number in 0..AGENTS {
        let now = life.parts.clock.now();
        let found = life.parts.agents.recognize(Kind::Orbit, &key(number), now).await.unwrap();
        known += usize::from(found.is_some());
        asked += usize::from(found.is_some_and(|found| found.is_to_be_asked(INTERVAL, now)));
    }
    (known, asked)
}

#[test]
fn polls_of_agents_that_are_known_cost_no_statement() {
    let counting = Arc::new(Counting::default());
    Stage::new().live((BEGIN, 0), counting.clone(), Arc::new(line().0), async |life| {
        let mut hosts = Vec::new();
        for number in 0..AGENTS {
            hosts.push(enroll(&life, number).await);
        }
        let (first, found) = counting.of(poll(&life)).await;
        assert!(first >= AGENTS as u64, "nobody was known: {first}");
        assert_eq!(found, (AGENTS, AGENTS), "all are asked for details");
        for _ in 0..POLLS {
            assert_eq!(counting.of(poll(&life)).await, (0, (AGENTS, 0)));
        }

        agent_report::refetch(&life.parts.writer, hosts[3], BEGIN.millis()).await.unwrap();
        let (changed, found) = counting.of(poll(&life)).await;
        assert_eq!(found, (AGENTS, 1), "its agent is asked again");
        assert!((1..=5).contains(&changed), "one host is read again: {changed}");
        assert_eq!(counting.of(poll(&life)).await, (0, (AGENTS, 0)));

        // Work for a host whose agent starts no sessions changes nothing that its agent is told.
        life.parts.agents.hear(&[News::Work(hosts[4])]);
        assert_eq!(counting.of(poll(&life)).await.0, 0);
        life.parts.agents.hear(&[News::Host(hosts[4])]);
        assert!(counting.of(poll(&life)).await.0 > 0);

        // An agent that enrolls again is known by its new key alone, at once.
        let new = Enrollment { key: sha256(b"new").to_vec(), ..enrollment(5) };
        agent::enroll(&life.parts.writer, new).await.unwrap();
        let now = life.parts.clock.now();
        assert!(life.parts.agents.recognize(Kind::Orbit, &key(5), now).await.unwrap().is_none());
        let found = life.parts.agents.recognize(Kind::Orbit, "new", now).await.unwrap();
        assert_eq!(found.map(|found| found.known.host_id), Some(hosts[5]));
    });
}
