//! Notes the end of the audit log outside the database, so that whoever can change the database cannot take away its last
//! rows unseen: a file beside it, and a line in the log now and then.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use entities::Reader;
use entities::audit::{self, Anchor};
use tokio::runtime::Handle as Io;

use crate::ask::{Answer, Refusal};
use crate::clock::Clock;
use crate::supervisor::{Guard, Stop};
use crate::tree::Parts;

/// How often the end is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// How many looks lie between two lines in the log.
const LOOKS_PER_LINE: u32 = 3600;

/// The actor.
pub struct Notary {
    guard: Guard,
    reader: Reader,
    clock: Clock,
    io: Io,
    file: Option<Arc<PathBuf>>,
    noted: Option<Anchor>,
    looks: u32,
}

impl Notary {
    /// Starts the actor.
    pub fn launch(parts: &Parts, guard: Guard) -> Recipient<Stop> {
        let notary = Self {
            guard,
            reader: parts.reader.clone(),
            clock: parts.clock.clone(),
            io: parts.io.clone(),
            file: parts.config.audit_anchor.clone(),
            noted: None,
            looks: 0,
        };
        notary.start().recipient()
    }

    fn look(&mut self) -> ResponseActFuture<Self, ()> {
        self.guard.gauge().turn(self.clock.now());
        let (reader, io, file) = (self.reader.clone(), self.io.clone(), self.file.clone());
        let noted = self.noted.clone();
        let noting = async move {
            let end = audit::end(&reader).await?;
            if noted.as_ref() != Some(&end)
                && let Some(file) = file
            {
                let written = end.clone();
                io.spawn_blocking(move || note(&file, &written))
                    .await
                    .map_err(Refusal::soon)?
                    .map_err(Refusal::soon)?;
            }
            Answer::Ok(end)
        };
        Box::pin(noting.into_actor(self).map(|end, notary, _| match end {
            Ok(end) => {
                if notary.looks % LOOKS_PER_LINE == 0 {
                    tracing::info!(audit.end = %end, "the audit log ends here now");
                }
                notary.looks = notary.looks.wrapping_add(1);
                notary.noted = Some(end);
            }
            Err(error) => tracing::warn!("the end of the audit log cannot be noted: {error}"),
        }))
    }
}

/// Replaces the file as a whole.
fn note(file: &Path, end: &Anchor) -> std::io::Result<()> {
    let beside = file.with_extension("new");
    let mut new = std::fs::File::create(&beside)?;
    writeln!(new, "{end}")?;
    new.sync_all()?;
    std::fs::rename(beside, file)
}

impl Actor for Notary {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.run_interval(EVERY, |notary, context| {
            let looking = notary.look();
            context.wait(looking);
        });
    }
}

impl Handler<Stop> for Notary {
    type Result = ();

    fn handle(&mut self, _: Stop, context: &mut Self::Context) {
        let looking = self.look();
        context.wait(looking.map(|(), _, context: &mut Context<Self>| context.stop()));
    }
}
