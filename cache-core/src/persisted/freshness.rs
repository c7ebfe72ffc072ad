//! How old a resident partition may be when an access token is taken from it.

use std::time::Duration;

/// How old a resident partition may be when an access token is taken from it.
///
/// Only [`access_token`](crate::PersistedTokenCache::access_token) makes use of it: reads and updates always work on
/// validated content, and a refresh token is never taken from content that was not validated.
///
/// A store that tells its stamp cheaply and locally, as files do by one `stat`, is asked at every call whatever the
/// freshness; so is a change of another process seen at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Freshness {
    /// The store's stamp is compared at every call.
    Strict,
    /// For this long after it was compared, the stamp is not asked for again. Past that time, and with the store out of
    /// reach, a token that is still usable is handed out all the same.
    Bounded(Duration),
    /// While the store [watches](crate::CacheStore::watch), content is used until the store tells that it has changed: a
    /// change by another node is seen as soon as its notice is here, and hits need no network. Five minutes after it was
    /// compared, or the bound if that is longer, the stamp is asked for all the same.
    ///
    /// While the store does not watch, since it cannot or its connection broke, this is `Bounded(bound)`. How soon it
    /// knows that a connection is broken is the store's to say; a bound that is shorter than that does not hold in between.
    ///
    /// A notice does not say who made the change: after a commit of its own, a cache asks for the stamp once more.
    /// [`push`](Self::push) is this with the usual bound.
    Push {
        /// The window while the store does not watch.
        bound: Duration,
    },
}

/// The window of a cache that is not told otherwise.
const USUAL: Duration = Duration::from_secs(30);

impl Freshness {
    /// Pushed by the store, and bounded to 30 seconds while it does not watch.
    pub const fn push() -> Self {
        Self::Push { bound: USUAL }
    }
}

impl Default for Freshness {
    /// Bounded to 30 seconds.
    fn default() -> Self {
        Self::Bounded(USUAL)
    }
}
