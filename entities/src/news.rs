//! What a transaction changed that others remember outside of the rows: noted while it runs, told once it is committed, and before
//! whoever asked for it gets an answer. So memory that is kept beside the rows is never older than the last write that anybody
//! knows of.
//!
//! Whoever adds a statement that changes what [`crate::agent_known`] reads notes it beside the statement.

use std::cell::RefCell;
use std::future::Future;
use std::sync::{Arc, OnceLock};

use tokio::task_local;

task_local! {
    static NOTED: RefCell<Vec<News>>;
}

/// Something that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum News {
    /// A host, its agents or its enrollments.
    Host(i64),
    /// There is work for a host that there was not before.
    Work(i64),
}

/// Who is told.
type Listener = Box<dyn Fn(&[News]) + Send + Sync>;

/// The place of the one who is told. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Ear {
    listener: Arc<OnceLock<Listener>>,
}

/// Notes something that the transaction under way changes. Outside of the writing task nobody is told of anything.
pub(crate) fn note(news: News) {
    // No task that writes: a test that calls a query by itself.
    let _ = NOTED.try_with(|noted| noted.borrow_mut().push(news));
}

/// Notes what is noted while this runs.
pub(crate) async fn noting<T>(running: impl Future<Output = T>) -> (T, Vec<News>) {
    let noted = async {
        let done = running.await;
        (done, NOTED.with(RefCell::take))
    };
    NOTED.scope(RefCell::default(), noted).await
}

impl Ear {
    /// Lets somebody be told of everything from now on. Once.
    pub(crate) fn listen(&self, listener: impl Fn(&[News]) + Send + Sync + 'static) {
        let first = self.listener.set(Box::new(listener)).is_ok();
        debug_assert!(first, "one listener is enough");
    }

    /// Tells what was noted. What was taken back is told too: to forget what still holds only costs reading it again.
    pub(crate) fn tell(&self, news: &[News]) {
        if let (false, Some(listener)) = (news.is_empty(), self.listener.get()) {
            listener(news);
        }
    }
}

impl std::fmt::Debug for Ear {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Ear")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_noted_belongs_to_the_work_that_noted_it() {
        note(News::Host(1));
        let (done, noted) = noting(async {
            note(News::Host(2));
            note(News::Work(3));
            7
        })
        .await;
        assert_eq!((done, noted), (7, vec![News::Host(2), News::Work(3)]));
        assert_eq!(noting(async {}).await.1, vec![]);
    }
}
