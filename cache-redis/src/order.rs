//! The order of a partition's writes while some of them wait for the server: later ones come after them, reads look for them first.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use cache_core::{Error, ErrorKind, PartitionKey, Result};

use crate::error::{is_away, is_final, late};
use crate::inner::Inner;
use crate::link::Within;
use crate::queue::Write;
use crate::recovery;
use crate::replay::write_queued;
use crate::running::to_its_end;

/// Runs `work`, which does this write, after what waits of its partition. If the server is away the write waits too, and the
/// error says so; that the queue is full is `Unavailable` as ever.
pub(crate) async fn or_queue<T>(
    inner: &Arc<Inner>,
    partition: &PartitionKey,
    write: Write,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let (done, waits) = match catch_up(inner, partition, inner.link.deadline(Within::Request)).await {
        Ok(()) => {
            let done = work.await;
            let waits = done.as_ref().is_err_and(is_away);
            (done, waits)
        }
        // For whatever those before it wait: they would come after it.
        Err(error) => {
            let waits = !is_final(&error);
            (Err(error), waits)
        }
    };
    match done {
        Err(error) if waits && inner.queue.add(partition, write, inner.now()) => {
            recovery::begin(inner);
            let message = format!("{}; the commit is queued, and written when the server is back", error.message());
            Err(Error::new(ErrorKind::Unavailable, message).queued())
        }
        done => done,
    }
}

/// Writes what waits of the partition, if anything does, within this time. `Unavailable`: some of it still waits.
pub(crate) async fn catch_up(inner: &Arc<Inner>, partition: &PartitionKey, within: Duration) -> Result<()> {
    if inner.queue.turn(partition).is_none() {
        return Ok(());
    }
    inner.link.check()?;
    // A request goes on when its caller does not: the server is not heard to answer otherwise, nor to be silent.
    let writing = {
        let (inner, partition) = (Arc::clone(inner), partition.clone());
        async move { write_queued(&inner, &partition).await }
    };
    tokio::time::timeout(within, to_its_end(inner, writing)).await.unwrap_or_else(|_| Err(late()))
}
