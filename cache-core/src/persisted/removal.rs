//! Removing a whole partition, and an account from all of them.

use tracing::debug_span;

use super::PersistedTokenCache;
use crate::changes::{Change, Changes};
use crate::error::{Error, Result};
use crate::observe::{Operation, partition_tag};
use crate::partition::PartitionKey;

impl PersistedTokenCache {
    /// Deletes the whole partition from the store and from memory.
    pub async fn remove_partition(&self, partition: &PartitionKey) -> Result<()> {
        let _write = self.0.resident.write(partition);
        let span = debug_span!("token_cache.remove", partition = %partition_tag(partition));
        self.ask(Operation::Remove, span, self.0.store.remove(partition)).await
    }

    /// Signs an account out everywhere: removes what any client has of it in its cloud, from every partition of the store: the
    /// user's own, those of on-behalf-of assertions and sessions, those that others share. Answers from how many partitions
    /// something went.
    ///
    /// Partition by partition: what is written meanwhile for an account that a partition does not hold any more is skipped, as
    /// after a removal from one. A sign-in meanwhile stands. How long it takes depends on the store: one that does not list
    /// its partitions [by account](crate::CacheStore::partitions_with) looks into all.
    ///
    /// An error is the first one: the account may still be in some partitions. The others were tried all the same, as far as the
    /// store has listed them, and memory holds nothing of the account. Call again, unless it [is queued](Error::is_queued): then
    /// so is all that failed.
    pub async fn remove_account_everywhere(&self, home_account_id: &str, environment: &str) -> Result<usize> {
        const PAGE: usize = 1_000;
        let environments = self.0.environments.aliases(environment);
        let removal = Change::RemoveAccount { home_account_id: home_account_id.into(), environments };
        let changes = Changes::new(vec![removal]);
        let (mut removed, mut failed, mut after) = (0, None, None);
        loop {
            let page = self.0.store.partitions_with(home_account_id, after.as_ref(), PAGE);
            let page = match self.ask(Operation::List, debug_span!("token_cache.list"), page).await {
                Ok(page) => page,
                Err(error) => {
                    failed = worse(failed, error);
                    break;
                }
            };
            for partition in &page {
                let _write = self.0.resident.write(partition);
                match self.committed(partition, &changes).await {
                    Ok(done) => removed += usize::from(done.before != done.after),
                    Err(error) => failed = worse(failed, error),
                }
            }
            let Some(last) = page.last() else { break };
            after = Some(last.clone());
        }
        // Of partitions too that the store does not list, since it has lost them, or never had what is in memory.
        self.0.resident.forget_all(|loaded| loaded.holds_any_of(home_account_id, environment));
        failed.map_or(Ok(removed), Err)
    }
}

/// What is queued will be done; what is not is worse, and the first of it is told.
#[allow(clippy::unnecessary_wraps)] // it stands beside the first one, of which there is none
fn worse(first: Option<Error>, next: Error) -> Option<Error> {
    first.filter(|first| !first.is_queued()).or(Some(next))
}
