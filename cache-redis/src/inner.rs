//! The store behind its handles: what each operation needs, and where it runs.

use std::future::Future;
use std::sync::Arc;

use cache_core::{Clock as _, Error, ErrorKind, Result, SystemClock, UnixMillis};
use tokio::runtime::Handle;
use tokio::sync::OnceCell;

use crate::NAME;
use crate::head::{Finding, Heads};
use crate::link::Link;
use crate::settings::Settings;
use crate::unreadable::Unreadable;

/// The store behind its handles.
pub(crate) struct Inner {
    pub(crate) link: Link,
    pub(crate) settings: Settings,
    /// Whether the protector has had its keys.
    pub(crate) prepared: OnceCell<()>,
    /// What was met and could not be read.
    pub(crate) unreadable: Unreadable,
    heads: Heads,
}

impl Inner {
    pub(crate) fn new(link: Link, settings: Settings) -> Self {
        Self { link, settings, prepared: OnceCell::new(), unreadable: Unreadable::default(), heads: Heads::default() }
    }

    pub(crate) fn head(&self) -> Finding<'_> {
        let Settings { prefix, protection, .. } = &self.settings;
        Finding { heads: &self.heads, link: &self.link, prefix, protection }
    }

    /// The clock that a script goes by, as it takes it: empty for the server's own.
    pub(crate) fn script_clock(&self) -> Vec<u8> {
        self.settings.clock.as_ref().map_or_else(Vec::new, |clock| clock.now().0.to_string().into())
    }

    /// The clock of this process, for what it holds itself.
    pub(crate) fn now(&self) -> UnixMillis {
        self.settings.clock.as_ref().map_or_else(|| SystemClock.now(), |clock| clock.now())
    }

    /// The runtime that drives the connection. `InvalidInput`: there is none.
    pub(crate) fn runtime(&self) -> Result<Handle> {
        let given = self.settings.runtime.clone();
        given.map_or_else(|| Handle::try_current().map_err(|_| no_runtime()), Ok)
    }
}

/// Runs `work` to its end, also if the caller does not wait for it: what was begun is known to have been done, or not.
pub(crate) async fn to_its_end<T: Send + 'static>(
    inner: &Arc<Inner>,
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    match inner.runtime()?.spawn(work).await {
        Ok(done) => done,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::new(ErrorKind::Unavailable, "the runtime was shut down; what was done is unknown")),
        },
    }
}

/// Runs `work` here if a runtime is current, else on the one that was given.
pub(crate) async fn here<T: Send + 'static>(
    inner: &Arc<Inner>,
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    if inner.settings.runtime.is_none() {
        inner.runtime()?;
        return work.await;
    }
    to_its_end(inner, work).await
}

fn no_runtime() -> Error {
    let message =
        "there is no tokio runtime; call the store within one, or give it one by `RedisStoreBuilder::runtime`";
    Error::new(ErrorKind::InvalidInput, message)
}

pub(crate) fn named(error: Error) -> Error {
    if error.store().is_some() { error } else { error.in_store(NAME) }
}
