//! Where blocking stores do their blocking.

/// Runs `work` on the blocking pool of the tokio runtime that is current, if the feature `tokio` is on and there is
/// one; else inline on the caller's thread. With the pool, `work` goes on to its end if the future is dropped.
///
/// Stores over files and other blocking interfaces do their I/O through this call.
pub async fn run<T, F>(work: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    #[cfg(feature = "tokio")]
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        match runtime.spawn_blocking(work).await {
            Ok(value) => return value,
            // Blocking work cannot be cancelled once it runs; a runtime that shuts down drops work that has not
            // begun, and then nobody polls this future any more.
            Err(failed) => match failed.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => return std::future::pending().await,
            },
        }
    }
    work()
}

/// Begins `work` on the blocking pool of the tokio runtime that is current, if the feature `tokio` is on and there is one;
/// else does it at once. For work that nobody waits for, as where something is dropped.
pub fn detach(work: impl FnOnce() + Send + 'static) {
    #[cfg(feature = "tokio")]
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        // It goes on when the handle is dropped.
        drop(runtime.spawn_blocking(work));
        return;
    }
    work();
}
