//! Sending what waits for the server.

use std::sync::Arc;

use cache_core::{PartitionKey, Result};
use futures_util::{StreamExt as _, stream};
use tracing::debug;

use crate::commit::commit;
use crate::error::{behind, is_final};
use crate::inner::Inner;
use crate::queue::Write;
use crate::reading::remove;

/// Writes what waits of all partitions; each goes on to where the server does not take it.
pub(crate) async fn write_all(inner: &Arc<Inner>) {
    /// So many partitions at once: the server has others to serve.
    const AT_ONCE: usize = 16;
    let writing = stream::iter(inner.queue.partitions()).for_each_concurrent(AT_ONCE, |partition| async move {
        if inner.link.check().is_ok() {
            drop(write_queued(inner, &partition).await);
        }
    });
    writing.await;
}

/// Writes what waits of the partition, in order. `Unavailable`: some of it still waits.
pub(crate) async fn write_queued(inner: &Arc<Inner>, partition: &PartitionKey) -> Result<()> {
    while let Some(turn) = inner.queue.turn(partition) {
        let Some(taken) = turn.take().await else { return Err(behind()) };
        if !inner.queue.is_turn(partition, &turn) {
            continue;
        }
        while let Some((number, write)) = inner.queue.first(partition, inner.now()) {
            match send(inner, partition, &write).await {
                Ok(()) => inner.queue.note_sent(number),
                Err(error) if !is_final(&error) => {
                    taken.note_failure();
                    // It may have had to make room meanwhile.
                    inner.queue.end_line(partition);
                    return Err(error);
                }
                Err(error) => {
                    debug!(kind = ?error.kind(), "a queued commit is refused: {error}");
                    inner.queue.give_up(number);
                }
            }
        }
        inner.queue.end_line(partition);
    }
    Ok(())
}

async fn send(inner: &Arc<Inner>, partition: &PartitionKey, write: &Write) -> Result<()> {
    match write {
        Write::Commit(changes) => {
            let committed = commit(inner, partition, changes).await?;
            debug!(skipped = committed.skipped.len(), "a queued commit is written");
            Ok(())
        }
        Write::Removal => remove(inner, partition).await,
    }
}
