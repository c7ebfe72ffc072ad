//! One error type: branch on the [kind](Error::kind), show the message, walk the source.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// The result of every fallible operation of this workspace.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What failed, in which store, and what to do next.
///
/// A miss is never an error: lookups answer `None`. An outage is never a miss: a store that cannot be read answers
/// with an error. No error carries a secret; messages of JSON parsers, which print values, are reduced to line,
/// column and category.
///
/// Cheap to clone, so that one failure can be handed to every caller that waits for it.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

struct Inner {
    kind: ErrorKind,
    store: Option<Cow<'static, str>>,
    message: Cow<'static, str>,
    is_queued: bool,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What a caller can decide upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Somebody else holds the lock or lease; trying again later can succeed. The message names holder and age where known.
    Busy,
    /// The stored bytes are damaged: torn, truncated, altered, or another partition's.
    Corrupt,
    /// The operating system or the store refuses access, or the place is not safe to use (a symlink, a foreign owner).
    Denied,
    /// The caller's argument cannot be used with this store.
    InvalidInput,
    /// The key that these bytes need is not at hand: unknown key id, no key configured, key store locked.
    KeyUnavailable,
    /// The store's size limit is exceeded; nothing was written.
    TooLarge,
    /// The store cannot be reached or an I/O operation failed; what is stored is unknown.
    Unavailable,
    /// The bytes are intact but were protected with another key.
    Undecryptable,
    /// A newer format version, not our format at all, or plaintext where protected bytes are demanded.
    Unsupported,
    /// A defect of this library or of a store plugged into it.
    Internal,
}

impl Error {
    /// An error of `kind` with a message that names what failed and what the user can do next.
    ///
    /// The message must not hold a secret, a key, or a partition's name.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Arc::new(Inner { kind, store: None, message: message.into(), is_queued: false, source: None }))
    }

    /// The same error, naming the store that it happened in, for example `file`.
    #[must_use]
    pub fn in_store(self, store: impl Into<Cow<'static, str>>) -> Self {
        let store = store.into();
        match Arc::try_unwrap(self.0) {
            Ok(inner) => Self(Arc::new(Inner { store: Some(store), ..inner })),
            Err(shared) => Self(Arc::new(Inner {
                kind: shared.kind,
                store: Some(store),
                message: shared.message.clone(),
                is_queued: shared.is_queued,
                // The source cannot be cloned; the shared error becomes the source, so nothing of the chain is lost.
                source: shared.source.is_some().then(|| Box::new(Self(shared)) as _),
            })),
        }
    }

    /// The same error with the error that caused it. `source` must not print secrets.
    #[must_use]
    pub fn with_source(self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let Inner { kind, is_queued, .. } = *self.0;
        let (store, message) = (self.0.store.clone(), self.0.message.clone());
        Self(Arc::new(Inner { kind, store, message, is_queued, source: Some(source.into()) }))
    }

    /// The same error, of a commit that its store has kept to write it when it can be reached again.
    #[must_use]
    pub fn queued(self) -> Self {
        let Inner { kind, .. } = *self.0;
        let (store, message) = (self.0.store.clone(), self.0.message.clone());
        // As in `in_store`.
        let source = self.0.source.is_some().then(|| Box::new(self) as _);
        Self(Arc::new(Inner { kind, store, message, is_queued: true, source }))
    }

    /// What a caller can decide upon.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The store that failed, for example `file`; `None` where no store was involved.
    pub fn store(&self) -> Option<&str> {
        self.0.store.as_deref()
    }

    /// Whether the store keeps the commit that failed, and writes it when it can be reached again. That is no promise: what is
    /// kept is bounded, and is lost with the process. A caller need not commit the same again, and may.
    pub fn is_queued(&self) -> bool {
        self.0.is_queued
    }

    /// What failed and what to do next, without the store's name.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// An I/O failure as the kind that a caller can act upon: missing rights are `Denied`, all else `Unavailable`.
    pub fn io(action: impl fmt::Display, error: std::io::Error) -> Self {
        let kind = match error.kind() {
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => ErrorKind::Denied,
            _ => ErrorKind::Unavailable,
        };
        Self::new(kind, format!("{action}: {error}")).with_source(error)
    }

    /// A JSON failure reduced to where it is: `serde_json` prints the offending value, which may be a token.
    pub(crate) fn json(what: &str, error: &serde_json::Error) -> Self {
        Self::new(
            ErrorKind::Corrupt,
            format!(
                "{what} is not valid JSON: {} error at line {}, column {}",
                category(error),
                error.line(),
                error.column()
            ),
        )
    }
}

fn category(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        serde_json::error::Category::Io => "read",
        serde_json::error::Category::Syntax => "syntax",
        serde_json::error::Category::Data => "data",
        serde_json::error::Category::Eof => "end of input",
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.store {
            Some(store) => write!(f, "{store}: {}", self.0.message),
            None => f.write_str(&self.0.message),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("store", &self.0.store)
            .field("message", &self.0.message)
            .field("is_queued", &self.0.is_queued)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_queued_stays_so_whatever_is_added() {
        let error = Error::new(ErrorKind::Unavailable, "away");
        assert!(!error.is_queued());
        let queued = error.clone().queued();
        assert!(!error.is_queued() && queued.is_queued());
        let shared = queued.clone();
        for error in [queued.clone().in_store("redis"), shared.in_store("redis").with_source(fmt::Error)] {
            assert!(error.is_queued(), "{error:?}");
            assert_eq!((error.kind(), error.message(), error.store()), (ErrorKind::Unavailable, "away", Some("redis")));
        }
        let caused = error.in_store("redis").with_source(fmt::Error).queued();
        assert!(caused.is_queued() && caused.source().is_some_and(|source| source.source().is_some()));
        assert_eq!(caused.store(), Some("redis"));
    }
}
