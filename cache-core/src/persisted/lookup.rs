//! Lookups of access tokens: in what is resident, else in the store. A large partition is not loaded for them: the store
//! finds the few tokens that have the query's term, and these stay resident.

use std::sync::Arc;

use tracing::debug_span;

use super::loaded::{AsOf, Fresh, Loaded, NotFresh, Whole};
use super::{Freshness, PersistedTokenCache};
use crate::error::{Error, ErrorKind, Result};
use crate::lookup_term::LookupTerm;
use crate::observe::{Count, Lookup, Operation, partition_tag};
use crate::partition::PartitionKey;
use crate::schema::AccessToken;
use crate::token_cache::AccessTokenQuery;

impl PersistedTokenCache {
    /// The answer of resident content: without a future, a lock, an allocation.
    pub(crate) fn resident_access_token(
        &self,
        partition: &PartitionKey,
        query: &AccessTokenQuery<'_>,
    ) -> Result<Option<Arc<AccessToken>>, NotFresh> {
        let inner = &*self.0;
        // Asked before the look. So is content that has this stamp no older than the question, and a store that takes
        // long to answer keeps no content from being freed.
        let stamp = inner.store.stamp_now(partition);
        let time = inner.clock.now();
        let window = inner.window(time);
        let find = |loaded: &Arc<Loaded>, notices| {
            let fresh = loaded.fresh(stamp.as_ref(), window, AsOf { time, notices })?;
            match loaded.access_token(query, time.to_seconds())? {
                Some(token) => Ok(Some(Arc::clone(token))),
                // It leads to a request to the identity provider, so that only validated content may say so.
                None if fresh == Fresh::Validated => Ok(None),
                None => Err(NotFresh),
            }
        };
        let token = inner.resident.look_and_notices(partition, find).unwrap_or(Err(NotFresh))?;
        inner.counters.count_lookup(if token.is_some() { Lookup::L1Hit } else { Lookup::L1Miss });
        Ok(token)
    }

    /// The answer of content that is the store's now, else of what may be served while the store is out of reach.
    pub(crate) async fn validated_access_token(
        &self,
        partition: &PartitionKey,
        query: &AccessTokenQuery<'_>,
    ) -> Result<Option<Arc<AccessToken>>> {
        let token = match self.stored_access_token(partition, query).await {
            Ok(token) => token,
            Err(error) => return self.serve_stale(partition, query, error),
        };
        self.0.counters.count_lookup(if token.is_some() { Lookup::L2Hit } else { Lookup::L2Miss });
        Ok(token)
    }

    /// The answer of what the store holds now.
    async fn stored_access_token(
        &self,
        partition: &PartitionKey,
        query: &AccessTokenQuery<'_>,
    ) -> Result<Option<Arc<AccessToken>>> {
        let of_whole = |whole: &Whole| whole.tokens().access_token(query, self.now()).cloned();
        let mut seen = self.0.resident.get(partition);
        if let Some(loaded) = seen.take_if(|loaded| loaded.knows(query)) {
            seen = self.revalidated(loaded).await?;
        }
        // Of a large partition that has changed, nothing is known.
        if let Some(Ok(token)) = seen.as_ref().map(|loaded| loaded.access_token(query, self.now())) {
            return Ok(token.cloned());
        }
        let is_large = seen.as_ref().is_some_and(|seen| seen.is_known_to_be_large());
        if !is_large && let Some(whole) = self.load_within(partition, seen.as_ref()).await? {
            return Ok(of_whole(&whole));
        }
        match query.lookup_term() {
            Some(term) => self.find(partition, query, term).await,
            None => Ok(of_whole(&self.load(partition).await?)),
        }
    }

    /// The answer of the tokens that the store finds by the query's term. They are kept.
    async fn find(
        &self,
        partition: &PartitionKey,
        query: &AccessTokenQuery<'_>,
        term: LookupTerm,
    ) -> Result<Option<Arc<AccessToken>>> {
        let inner = &*self.0;
        let span = debug_span!("token_cache.find", partition = %partition_tag(partition));
        // Taken before the read, as for a load.
        let (as_of, began) = (inner.as_of(partition), inner.resident.moment(partition));
        let found = self.ask(Operation::Find, span, inner.store.find(partition, &[term])).await?;
        inner.counters.add(Count::Finds, 1);
        let Some(found) = found else {
            // The whole of it is nothing.
            let whole = self.index(partition, None, as_of).await;
            inner.resident.keep(whole.loaded(), began);
            return Ok(None);
        };
        let nothing = Loaded::part(partition.clone(), inner.environments.clone(), found.stamp.clone(), as_of);
        loop {
            let seen = inner.resident.get(partition);
            let of_stamp = seen.as_ref().filter(|seen| seen.has_stamp(Some(&found.stamp)));
            if let Some(Ok(token)) = of_stamp.map(|seen| seen.access_token(query, self.now())) {
                return Ok(token.cloned());
            }
            let known = seen.as_deref().unwrap_or(&nothing).and(&found, query, inner.resident_entries, as_of);
            let known = Arc::new(known);
            // What others find at the same time is kept too.
            if inner.resident.keep_instead(seen.as_ref(), &known, began) {
                let token = known.access_token(query, self.now());
                return Ok(token.ok().flatten().cloned());
            }
        }
    }

    /// The token of content that could not be validated, if the freshness allows that and the store is out of reach.
    fn serve_stale(
        &self,
        partition: &PartitionKey,
        query: &AccessTokenQuery<'_>,
        error: Error,
    ) -> Result<Option<Arc<AccessToken>>> {
        let away = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Busy);
        let bounded = self.0.freshness != Freshness::Strict;
        // Content that is known to be old is not resident any more.
        let find = |loaded: &Arc<Loaded>| loaded.access_token(query, self.now()).ok().flatten().cloned();
        let token = if away && bounded { self.0.resident.look(partition, find).flatten() } else { None };
        match token {
            Some(token) => {
                self.0.counters.count_lookup(Lookup::L1StaleHit);
                Ok(Some(token))
            }
            None => {
                self.0.counters.count_lookup(Lookup::Failed(error.kind()));
                Err(error)
            }
        }
    }
}
