//! Table `host`, many rows at once: the hosts that an admin means, taken in steps. A step is one transaction, so that no
//! request takes the writer away from devices for long, however many hosts it is about.

use sea_orm::entity::prelude::*;
use sea_orm::{Condition, QueryOrder, QuerySelect};

use crate::host::{self, Column, Entity, Model};
use crate::host_search::Filter;
use crate::{StoreError, Transaction};

/// Hosts of one step.
pub(crate) const STEP: usize = 500;

/// Which hosts are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Movers {
    /// These.
    Hosts(Vec<i64>),
    /// All that a filter lets through, and that were there when it was asked for.
    Filter {
        /// The filter.
        filter: Filter,
        /// When it was asked for.
        asked_at: i64,
    },
}

/// What a step did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// The hosts that it changed.
    pub hosts: Vec<i64>,
    /// Behind which host the next step begins; `None` when there is nothing left.
    pub next: Option<i64>,
}

impl Movers {
    /// The first hosts behind a row that are meant, are there, and fulfil a condition; and where the next ones begin.
    pub(crate) async fn next(
        &self,
        transaction: &Transaction,
        after: i64,
        only: Condition,
    ) -> Result<(Vec<Model>, Option<i64>), StoreError> {
        let rows = Entity::find().filter(host::is_there()).filter(only).filter(Column::Id.gt(after));
        let rows = rows.order_by_asc(Column::Id);
        match self {
            Self::Filter { filter, asked_at } => {
                let meant = rows.filter(filter.condition()).filter(Column::CreatedAt.lte(*asked_at));
                let found = meant.limit(STEP as u64).all(transaction).await?;
                let next = found.last().map(|row| row.id).filter(|_| found.len() == STEP);
                Ok((found, next))
            }
            Self::Hosts(ids) => {
                let mut ids: Vec<i64> = ids.iter().copied().filter(|id| *id > after).collect();
                ids.sort_unstable();
                ids.dedup();
                let next = ids.get(STEP - 1).copied().filter(|_| ids.len() > STEP);
                ids.truncate(STEP);
                Ok((rows.filter(Column::Id.is_in(ids)).all(transaction).await?, next))
            }
        }
    }
}
