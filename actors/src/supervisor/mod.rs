//! The supervisor: starts a group of children in order, watches them, starts them again after a rest, gives up when
//! that happens too often, and stops them in reverse order.
//!
//! It knows nothing of devices. actix's own `Supervisor` does not survive a panic, so this one rests on [`Guard`]: each
//! child owns one, and its drop is the notice of death. The tree is data ([`Node`]); this file reads it.
//!
//! The rules are Erlang/OTP's: `one_for_one` and `rest_for_one`; more than `restarts` in `window` and the group stops its
//! children and ends itself, for its own supervisor to decide; the root giving up ends the process.

mod gauge;
mod group;
mod guard;

#[cfg(test)]
mod tests;

use std::time::Duration;

use actix::prelude::{Actor, Addr, Recipient};
use tokio::sync::oneshot;

pub use gauge::{Board, Gauge, Health, Snapshot};
pub use group::Supervisor;
pub(crate) use guard::ending;
pub use guard::{Ending, Exited, Guard, Stop, watch_panics};

/// One node of the tree: what runs, and who is started again together with whom. `P` holds what children are made of.
#[derive(Debug)]
pub enum Node<P: 'static> {
    /// An actor. The function starts it and returns where it can be asked to stop.
    Worker(&'static str, fn(&P, Guard) -> Recipient<Stop>),
    /// A group with rules of its own.
    Group(&'static str, Strategy, Limit, &'static [Node<P>]),
}

/// Who is started again when a child ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// The child alone.
    OneForOne,
    /// The child and all that were started after it, because they may rely on it.
    RestForOne,
}

/// How often children of a group may be started again before the group gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Restarts in a window that are still bearable.
    pub restarts: usize,
    /// The window.
    pub window: Duration,
}

/// How the whole tree ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TreeEnd {
    /// It was asked to stop, and every child did.
    Asked,
    /// The root gave up: restarts did not help.
    GaveUp,
}

/// A running tree.
#[derive(Debug)]
pub struct Tree<P: Clone + Unpin + 'static> {
    /// The root; send it [`Stop`] to stop everything in reverse order.
    pub root: Addr<Supervisor<P>>,
    /// Tells how the tree ended.
    pub ended: oneshot::Receiver<TreeEnd>,
    /// What operators see.
    pub board: Board,
}

impl Limit {
    /// So many restarts in a minute.
    pub const fn per_minute(restarts: usize) -> Self {
        Self { restarts, window: Duration::from_secs(60) }
    }
}

impl<P> Node<P> {
    /// What the node is called.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Worker(name, _) | Self::Group(name, ..) => name,
        }
    }
}

/// Starts a tree on the present arbiter.
pub fn start<P: Clone + Unpin + 'static>(tree: &'static Node<P>, parts: P) -> Tree<P> {
    let (on_end, ended) = oneshot::channel();
    let board = Board::default();
    let root = Supervisor::root(tree, parts, board.clone(), on_end).start();
    Tree { root, ended, board }
}
