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
}

impl Default for Freshness {
    /// Bounded to 30 seconds.
    fn default() -> Self {
        Self::Bounded(Duration::from_secs(30))
    }
}
