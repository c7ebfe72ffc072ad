//! What is resident of a partition: all of it, or, of one that is too large for that, the answers to what was asked.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use foldhash::fast::RandomState;

use crate::entry::{Snapshot, Version};
use crate::environment::Environments;
use crate::error::Result;
use crate::lookup_term::TermHashing;
use crate::partition::PartitionKey;
use crate::schema::AccessToken;
use crate::time::{UnixMillis, UnixSeconds};
use crate::token_cache::{AccessTokenQuery, TokenCache};

/// A partition as it was loaded, or as a commit of ours left it; or a part of it.
///
/// Access tokens are taken from either. Everything else needs a [`Whole`], and only that hands out the cache.
pub(super) struct Loaded {
    pub(super) partition: PartitionKey,
    tokens: TokenCache,
    /// What `tokens` can answer; `None`: everything.
    answers: Option<Answers>,
    /// The store's stamp of this content; `None`: it held nothing.
    pub(super) stamp: Option<Version>,
    /// Whether it has changes that the store may not have.
    is_ahead: bool,
    weight: u64,
    /// When the stamp was last compared, in milliseconds since 1970.
    checked_at: AtomicI64,
    /// How many notices of a change had come by then.
    notices: AtomicU64,
    /// Whether there was a look since the clock hand came by.
    used: AtomicBool,
}

/// What a part of a large partition can answer.
#[derive(Clone, Default)]
struct Answers {
    hashing: TermHashing,
    /// Hashes of the terms that the store was asked for: all tokens that have one of these are here.
    terms: HashSet<u64, RandomState>,
    /// How often the part began anew since the store said that the partition is large.
    renewals: u32,
}

/// Within no window.
const LONG_AGO: UnixMillis = UnixMillis(i64::MIN);

/// The whole of a partition.
#[derive(Clone)]
pub(super) struct Whole {
    loaded: Arc<Loaded>,
    is_large: bool,
}

/// A moment before the store is asked: what it answers is at least as new as this.
#[derive(Debug, Clone, Copy)]
pub(super) struct AsOf {
    pub(super) time: UnixMillis,
    /// How many notices of a change of the partition had come by then.
    pub(super) notices: u64,
}

/// Why resident content may answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fresh {
    /// Its stamp is the store's.
    Validated,
    /// Its stamp was compared not long ago.
    WithinWindow,
}

/// Resident content may not answer: the store is to be asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NotFresh;

impl Loaded {
    /// The whole content that the store held as of then, or later.
    pub(super) fn new(partition: PartitionKey, tokens: TokenCache, stamp: Option<Version>, as_of: AsOf) -> Self {
        Self::with(partition, tokens, None, stamp, as_of)
    }

    /// The whole content that the store will hold when it has written what it has queued. Nothing makes it fresh: it is served
    /// while the store is out of reach, and loaded anew after that.
    pub(super) fn ahead(partition: PartitionKey, tokens: TokenCache) -> Self {
        let as_of = AsOf { time: LONG_AGO, notices: 0 };
        Self { is_ahead: true, ..Self::with(partition, tokens, None, None, as_of) }
    }

    /// A part, which can answer nothing yet, of a partition that had this stamp as of then, or later.
    pub(super) fn part(partition: PartitionKey, environments: Environments, stamp: Version, as_of: AsOf) -> Self {
        let tokens = TokenCache::with_environments(environments);
        Self::with(partition, tokens, Some(Answers::default()), Some(stamp), as_of)
    }

    /// What is known once the partition was seen to have another stamp: that it is large, and nothing of it. `None`:
    /// this is no part.
    pub(super) fn anew(&self, stamp: Version, as_of: AsOf) -> Option<Self> {
        self.answers.is_some().then(|| self.nothing_of(stamp, as_of))
    }

    /// This part together with what the store `found` for the query's term as of then, or later. Only what was found, if
    /// this is of another stamp or no part, or if together they are more than `limit` entries or terms.
    pub(super) fn and(&self, found: &Snapshot, query: &AccessTokenQuery<'_>, limit: usize, as_of: AsOf) -> Self {
        if self.answers.is_some() && self.stamp.as_ref() == Some(&found.stamp) {
            let (partition, tokens, answers) = (self.partition.clone(), self.tokens.clone(), self.answers.clone());
            // It was the store's stamp at either time.
            let notices = as_of.notices.max(self.notices.load(Ordering::Relaxed));
            let as_of = AsOf { time: as_of.time.max(self.checked_at()), notices };
            let mut both = Self::with(partition, tokens, answers, self.stamp.clone(), as_of);
            both.take_in(found, query);
            if both.fits(limit) {
                return both;
            }
        }
        let mut alone = self.nothing_of(found.stamp.clone(), as_of);
        alone.take_in(found, query);
        alone
    }

    /// Whether this is a part that knows the partition to be large. After some time it had better be asked again.
    pub(super) fn is_known_to_be_large(&self) -> bool {
        /// Parts begin anew with every change of a partition, and one that shrinks changes.
        const RENEWALS: u32 = 32;
        self.answers.as_ref().is_some_and(|answers| answers.renewals < RENEWALS)
    }

    /// Whether an access token that this does not hold is not in the store either. Allocates nothing.
    pub(super) fn knows(&self, query: &AccessTokenQuery<'_>) -> bool {
        match &self.answers {
            None => true,
            Some(answers) => answers.hashing.hash(query).is_some_and(|term| answers.terms.contains(&term)),
        }
    }

    /// The access token that answers the query best; an error if that may be one which is not here. Allocates nothing.
    pub(super) fn access_token(
        &self,
        query: &AccessTokenQuery<'_>,
        now: UnixSeconds,
    ) -> Result<Option<&Arc<AccessToken>>, NotFresh> {
        if self.knows(query) { Ok(self.tokens.access_token(query, now)) } else { Err(NotFresh) }
    }

    /// Whether there is anything of this account, in its cloud.
    pub(super) fn holds_any_of(&self, home_account_id: &str, environment: &str) -> bool {
        self.tokens.holds_any_of(home_account_id, environment)
    }

    /// Whether it has changes that the store may not have.
    pub(super) fn is_ahead(&self) -> bool {
        self.is_ahead
    }

    /// Whether it is what the store holds under this stamp.
    pub(super) fn has_stamp(&self, stamp: Option<&Version>) -> bool {
        !self.is_ahead && self.stamp.as_ref() == stamp
    }

    /// Notes that the store may hold something else: the stamp is to be compared before any look.
    pub(super) fn distrust(&self) {
        self.checked_at.store(LONG_AGO.0, Ordering::Relaxed);
    }

    /// Notes that the stamp was compared as of then, and is still this one.
    pub(super) fn confirm(&self, as_of: AsOf) {
        self.checked_at.store(as_of.time.0, Ordering::Relaxed);
        self.notices.store(as_of.notices, Ordering::Relaxed);
    }

    /// Whether an access token may be taken from this content, with the answer to
    /// [`stamp_now`](crate::CacheStore::stamp_now), and how long a comparison is good for.
    pub(super) fn fresh(
        &self,
        stamp: Option<&Result<Option<Version>>>,
        window: Option<Duration>,
        now: AsOf,
    ) -> Result<Fresh, NotFresh> {
        match (stamp, window) {
            (Some(Ok(stamp)), _) if self.has_stamp(stamp.as_ref()) => Ok(Fresh::Validated),
            (None, Some(window)) if self.is_within(window, now) => Ok(Fresh::WithinWindow),
            // Of an error, the full validation decides what it means.
            _ => Err(NotFresh),
        }
    }

    /// When the stamp was last compared.
    pub(super) fn checked_at(&self) -> UnixMillis {
        UnixMillis(self.checked_at.load(Ordering::Relaxed))
    }

    /// What this takes, in bytes, about.
    pub(super) fn weight(&self) -> u64 {
        self.weight
    }

    /// Notes that there was a look.
    pub(super) fn mark_used(&self) {
        // A store would take the cache line away from the other threads even if it changed nothing.
        if !self.is_marked() {
            self.used.store(true, Ordering::Relaxed);
        }
    }

    /// Whether there was a look since the mark was taken.
    pub(super) fn is_marked(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes the mark; answers whether there was one.
    pub(super) fn take_mark(&self) -> bool {
        self.used.swap(false, Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(super) fn with_weight(self, weight: u64) -> Self {
        Self { weight, ..self }
    }

    fn with(
        partition: PartitionKey,
        tokens: TokenCache,
        answers: Option<Answers>,
        stamp: Option<Version>,
        as_of: AsOf,
    ) -> Self {
        let weight = weigh(&tokens, answers.as_ref());
        let (checked_at, notices) = (AtomicI64::new(as_of.time.0), AtomicU64::new(as_of.notices));
        let used = AtomicBool::new(true);
        Self { partition, tokens, answers, stamp, is_ahead: false, weight, checked_at, notices, used }
    }

    /// A part that can answer nothing yet.
    fn nothing_of(&self, stamp: Version, as_of: AsOf) -> Self {
        let renewals = self.answers.as_ref().map_or(0, |answers| answers.renewals + 1);
        let part = Self::part(self.partition.clone(), self.tokens.environments().clone(), stamp, as_of);
        Self { answers: Some(Answers { renewals, ..Answers::default() }), ..part }
    }

    /// Adds what the store found for the query's term.
    fn take_in(&mut self, found: &Snapshot, query: &AccessTokenQuery<'_>) {
        if let Some(answers) = &mut self.answers {
            self.tokens.load_stored(&found.entries);
            answers.terms.extend(answers.hashing.hash(query));
        }
        self.weight = weigh(&self.tokens, self.answers.as_ref());
    }

    fn fits(&self, limit: usize) -> bool {
        self.tokens.len() <= limit && self.answers.as_ref().is_none_or(|answers| answers.terms.len() <= limit)
    }

    /// Whether the stamp was compared less than `window` ago, and no notice has come since. A clock that was set back counts
    /// as long ago.
    fn is_within(&self, window: Duration, now: AsOf) -> bool {
        let checked_at = self.checked_at();
        self.notices.load(Ordering::Relaxed) == now.notices
            && checked_at <= now.time
            && now.time.since(checked_at) < window
    }
}

/// What resident content takes, in bytes, about.
fn weigh(tokens: &TokenCache, answers: Option<&Answers>) -> u64 {
    /// The partition's key and its place in the table.
    const OVERHEAD: usize = 512;
    /// A hash and its place in the set.
    const TERM: usize = 16;
    (tokens.weight() + answers.map_or(0, |answers| answers.terms.len() * TERM) + OVERHEAD) as u64
}

impl Whole {
    /// The whole content that the store held as of then, or later.
    pub(super) fn new(partition: PartitionKey, tokens: TokenCache, stamp: Option<Version>, as_of: AsOf) -> Self {
        Self { loaded: Arc::new(Loaded::new(partition, tokens, stamp, as_of)), is_large: false }
    }

    /// The whole, if this is no part.
    pub(super) fn of(loaded: &Arc<Loaded>) -> Option<Self> {
        loaded.answers.is_none().then(|| Self { loaded: Arc::clone(loaded), is_large: false })
    }

    /// The same, said to be too large to be resident.
    pub(super) fn large(self) -> Self {
        Self { is_large: true, ..self }
    }

    /// The content as it is kept.
    pub(super) fn loaded(&self) -> &Arc<Loaded> {
        &self.loaded
    }

    /// The partition's content.
    pub(super) fn tokens(&self) -> &TokenCache {
        &self.loaded.tokens
    }

    /// The store's stamp of it; `None`: it held nothing.
    pub(super) fn stamp(&self) -> Option<&Version> {
        self.loaded.stamp.as_ref()
    }

    /// Whether the partition is too large to be resident.
    pub(super) fn is_large(&self) -> bool {
        self.is_large
    }
}
