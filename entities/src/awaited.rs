//! What new commands wait for: the entries of an earlier command on the same channels, as of the transaction that queues them.

use std::collections::HashMap;

use sea_orm::entity::prelude::*;
use sea_orm::{JoinType, QuerySelect};

use crate::enqueue::{After, Enqueue};
use crate::queue_entry::{ACKNOWLEDGED, Column, Entity, QUEUED, TERMINAL, to_command};
use crate::{StoreError, Transaction, command};

/// The pending entries that requests wait for, by the name of the request's command and the channel. What has ended already is
/// waited for by nobody.
#[derive(Debug, Default)]
pub(crate) struct Awaited(HashMap<(String, i64), i64>);

impl Awaited {
    /// Looks for what requests wait for.
    ///
    /// # Errors
    /// [`StoreError::Conflict`]: a channel never got the awaited command, it is held, or it ended otherwise than the request
    /// needs.
    pub(crate) async fn by<'r>(
        transaction: &Transaction,
        requests: impl Iterator<Item = &'r Enqueue>,
    ) -> Result<Self, StoreError> {
        let mut awaited = Self::default();
        for request in requests {
            if let Some(after) = &request.after {
                awaited.add(transaction, request, after).await?;
            }
        }
        Ok(awaited)
    }

    /// The entry that a request's entry for a channel waits for.
    pub(crate) fn entry_of(&self, uuid: &str, enrollment_id: i64) -> Option<i64> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get(&(uuid.to_owned(), enrollment_id)).copied()
    }

    async fn add(&mut self, transaction: &Transaction, request: &Enqueue, after: &After) -> Result<(), StoreError> {
        let channels: Vec<i64> = request.channels.iter().map(|channel| channel.enrollment_id).collect();
        let mut found = 0;
        for some in channels.chunks(500) {
            let entries = Entity::find()
                .select_only()
                .columns([Column::Id, Column::EnrollmentId, Column::State])
                .join(JoinType::InnerJoin, to_command())
                .filter(command::Column::Uuid.eq(after.uuid.as_str()))
                .filter(Column::EnrollmentId.is_in(some.iter().copied()));
            for (id, enrollment_id, state) in entries.into_tuple::<(i64, i64, i16)>().all(transaction).await? {
                found += 1;
                if state < QUEUED {
                    return Err(StoreError::Conflict("what it comes after still waits for a second admin".to_owned()));
                }
                if state < TERMINAL {
                    self.0.insert((request.uuid.clone(), enrollment_id), id);
                } else if after.needs_success && state != ACKNOWLEDGED {
                    return Err(StoreError::Conflict("what it comes after has not succeeded on every host".to_owned()));
                }
            }
        }
        if found == channels.len() {
            return Ok(());
        }
        let without = channels.len() - found;
        Err(StoreError::Conflict(format!("{without} of the hosts have no command of the name that it comes after")))
    }
}
