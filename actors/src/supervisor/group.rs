//! One supervisor: the children of one group.

use std::collections::VecDeque;
use std::time::Duration;

use actix::prelude::{Actor, ActorContext, AsyncContext, Context, Handler, Recipient};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::gauge::{Board, Health};
use super::guard::{Ending, Exited, Guard, Stop, rest_before};
use super::{Limit, Node, Strategy, TreeEnd};

/// How long a child may take to stop; then it counts as gone.
const PATIENCE: Duration = Duration::from_secs(8);

/// The actor that watches one group.
#[derive(Debug)]
pub struct Supervisor<P: Clone + Unpin + 'static> {
    path: String,
    strategy: Strategy,
    limit: Limit,
    parts: P,
    board: Board,
    children: Vec<Child<P>>,
    restarts: VecDeque<Instant>,
    course: Course,
    above: Above,
}

#[derive(Debug)]
struct Child<P: 'static> {
    node: &'static Node<P>,
    path: String,
    epoch: u64,
    stop: Option<Recipient<Stop>>,
}

/// What the supervisor is busy with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    /// Watching.
    Watch,
    /// Stopping children down to `from`, to start them again from there after a rest.
    Renew { from: usize, rest: Duration },
    /// Stopping all children, to end.
    End { gave_up: bool },
}

/// Who learns that this group ended.
#[derive(Debug)]
enum Above {
    Root(Option<oneshot::Sender<TreeEnd>>),
    Group(Guard),
}

impl<P: Clone + Unpin + 'static> Supervisor<P> {
    pub(super) fn root(tree: &'static Node<P>, parts: P, board: Board, on_end: oneshot::Sender<TreeEnd>) -> Self {
        Self::new(tree, parts, board, tree.name().to_owned(), Above::Root(Some(on_end)))
    }

    fn new(node: &'static Node<P>, parts: P, board: Board, path: String, above: Above) -> Self {
        let (strategy, limit, nodes) = match node {
            Node::Group(_, strategy, limit, nodes) => (*strategy, *limit, *nodes),
            Node::Worker(..) => (Strategy::OneForOne, Limit::per_minute(0), std::slice::from_ref(node)),
        };
        let child = |node: &'static Node<P>| {
            let path = format!("{path}/{}", node.name());
            board.gauge(&path);
            Child { node, path, epoch: 0, stop: None }
        };
        let children = nodes.iter().map(child).collect();
        let (restarts, course) = (VecDeque::new(), Course::Watch);
        Self { path, strategy, limit, parts, board, children, restarts, course, above }
    }

    fn start_child(&mut self, index: usize, context: &mut Context<Self>) {
        let child = &mut self.children[index];
        child.epoch += 1;
        let gauge = self.board.gauge(&child.path);
        gauge.set(Health::Running);
        let guard = Guard {
            supervisor: context.address().recipient(),
            child: index,
            epoch: child.epoch,
            gauge,
            path: child.path.clone(),
            failure: None,
        };
        child.stop = Some(match child.node {
            Node::Worker(_, start) => start(&self.parts, guard),
            Node::Group(..) => {
                let (parts, board, path) = (self.parts.clone(), self.board.clone(), child.path.clone());
                Self::new(child.node, parts, board, path, Above::Group(guard)).start().recipient()
            }
        });
    }

    fn start_missing(&mut self, range: std::ops::Range<usize>, context: &mut Context<Self>) {
        for index in range {
            if self.children[index].stop.is_none() {
                self.start_child(index, context);
            }
        }
    }

    /// A child ended although nobody asked it to.
    fn lost(&mut self, index: usize, ending: &Ending, context: &mut Context<Self>) {
        let gauge = self.board.gauge(&self.children[index].path);
        let why = match ending {
            Ending::Stopped => "stopped without being asked".to_owned(),
            Ending::Failed(why) | Ending::Panicked(why) => why.clone(),
        };
        tracing::warn!(node.path = %self.children[index].path, "ended: {why}");
        gauge.failed(why);
        if self.is_too_much() {
            gauge.set(Health::Failed);
            tracing::error!(node.path = %self.path, "restarts do not help: this group gives up");
            return self.set_course(Course::End { gave_up: true }, context);
        }
        gauge.restarted();
        gauge.set(Health::Restarting);
        let rest = rest_before(u32::try_from(self.restarts.len()).unwrap_or(u32::MAX));
        match self.strategy {
            Strategy::OneForOne => self.start_later(index, index + 1, rest, context),
            Strategy::RestForOne => self.set_course(Course::Renew { from: index, rest }, context),
        }
    }

    /// Starts the children from `from` up to `end` that do not run, unless other plans were made meanwhile.
    fn start_later(&mut self, from: usize, end: usize, rest: Duration, context: &mut Context<Self>) {
        context.run_later(rest, move |supervisor, context| {
            if supervisor.course == Course::Watch {
                supervisor.start_missing(from..end, context);
            }
        });
    }

    /// Counts one more restart, and says whether that is more than the limit allows.
    fn is_too_much(&mut self) -> bool {
        let now = Instant::now();
        self.restarts.push_back(now);
        while self.restarts.front().is_some_and(|first| now.duration_since(*first) > self.limit.window) {
            self.restarts.pop_front();
        }
        self.restarts.len() > self.limit.restarts
    }

    fn set_course(&mut self, course: Course, context: &mut Context<Self>) {
        self.course = course;
        self.stop_next(context);
    }

    /// Stops the last child that still runs, or goes on when none is left to stop.
    fn stop_next(&mut self, context: &mut Context<Self>) {
        let lowest = match self.course {
            Course::Watch => return,
            Course::Renew { from, .. } => from,
            Course::End { .. } => 0,
        };
        let running = (lowest..self.children.len()).rev().find(|index| self.children[*index].stop.is_some());
        let Some(index) = running else { return self.all_stopped(context) };
        let child = &self.children[index];
        if let Some(stop) = &child.stop {
            stop.do_send(Stop);
        }
        let epoch = child.epoch;
        context.run_later(PATIENCE, move |supervisor, context| {
            let child = &mut supervisor.children[index];
            if child.epoch == epoch && child.stop.take().is_some() {
                tracing::error!(node.path = %child.path, "did not stop in time and is left behind");
                supervisor.stop_next(context);
            }
        });
    }

    fn all_stopped(&mut self, context: &mut Context<Self>) {
        match self.course {
            Course::Watch => {}
            Course::Renew { from, rest } => {
                self.course = Course::Watch;
                self.start_later(from, self.children.len(), rest, context);
            }
            Course::End { gave_up } => {
                self.board.gauge(&self.path).set(if gave_up { Health::Failed } else { Health::Stopped });
                match &mut self.above {
                    Above::Root(on_end) => {
                        let end = if gave_up { TreeEnd::GaveUp } else { TreeEnd::Asked };
                        on_end.take().map(|on_end| on_end.send(end));
                    }
                    Above::Group(guard) if gave_up => guard.fail("its children failed too often"),
                    Above::Group(_) => {}
                }
                context.stop();
            }
        }
    }
}

impl<P: Clone + Unpin + 'static> Actor for Supervisor<P> {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.board.gauge(&self.path).set(Health::Running);
        self.start_missing(0..self.children.len(), context);
    }
}

impl<P: Clone + Unpin + 'static> Handler<Exited> for Supervisor<P> {
    type Result = ();

    fn handle(&mut self, exited: Exited, context: &mut Self::Context) {
        let child = &mut self.children[exited.child];
        if child.epoch != exited.epoch || child.stop.take().is_none() {
            return; // an older incarnation, left behind long ago
        }
        match self.course {
            Course::Watch => self.lost(exited.child, &exited.ending, context),
            Course::Renew { from, .. } if exited.child < from => self.lost(exited.child, &exited.ending, context),
            Course::Renew { .. } | Course::End { .. } => {
                self.board.gauge(&self.children[exited.child].path).set(Health::Stopped);
                self.stop_next(context);
            }
        }
    }
}

impl<P: Clone + Unpin + 'static> Handler<Stop> for Supervisor<P> {
    type Result = ();

    fn handle(&mut self, _: Stop, context: &mut Self::Context) {
        if !matches!(self.course, Course::End { .. }) {
            self.set_course(Course::End { gave_up: false }, context);
        }
    }
}

/// A supervisor that dies itself leaves nobody running unwatched.
impl<P: Clone + Unpin + 'static> Drop for Supervisor<P> {
    fn drop(&mut self) {
        for child in self.children.iter().rev() {
            if let Some(stop) = &child.stop {
                stop.do_send(Stop);
            }
        }
    }
}
