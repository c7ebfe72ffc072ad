//! Where the work of an operation runs, and what begins with it.

use std::future::Future;
use std::sync::Arc;

use cache_core::{Error, ErrorKind, Result};

use crate::inner::Inner;
use crate::recovery;

/// Runs `work` to its end, also if the caller does not wait for it: what was begun is known to have been done, or not.
pub(crate) async fn to_its_end<T: Send + 'static>(
    inner: &Arc<Inner>,
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let runtime = inner.runtime()?;
    inner.watch.start(&runtime);
    match runtime.spawn(work).await {
        Ok(done) => recovering(inner, done),
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::new(ErrorKind::Unavailable, "the runtime was shut down; what was done is unknown")),
        },
    }
}

/// Runs `work` here if a runtime is current, else on the one that was given.
///
/// `work` begins it. Given as what it is, it would be moved about, and stand here twice.
pub(crate) async fn here<T: Send + 'static, Work: Future<Output = Result<T>> + Send + 'static>(
    inner: &Arc<Inner>,
    work: impl FnOnce() -> Work,
) -> Result<T> {
    if inner.settings.runtime.is_none() {
        inner.watch.start(&inner.runtime()?);
        return recovering(inner, work().await);
    }
    Box::pin(to_its_end(inner, work())).await
}

/// The same result; if the server is away, somebody looks for it from now on.
fn recovering<T>(inner: &Arc<Inner>, done: Result<T>) -> Result<T> {
    if done.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unavailable) {
        recovery::begin(inner);
    }
    done
}
