//! Keys that come from elsewhere: a key service, an operating system's keychain, a hardware token.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use cache_core::Result;

use crate::key::{Key, KeyId};

/// Gives master keys on demand. Implement it for a key service and hand it to
/// [`Envelope::with_source`](crate::Envelope::with_source) or [`KeyRing::from_source`](crate::KeyRing::from_source).
///
/// # When it is called
/// By [`Protector::prepare`](cache_core::Protector::prepare), which stores call before they take a lock, on a thread
/// that may wait. That is why these methods block instead of being async: nearly every source (a keychain, a file, a
/// hardware token) blocks anyhow, and a source over the network brings its own client and its own time limit. Keys
/// that were given are kept, so `find` is called once for each id. `current` is called by each `prepare`, so that a
/// rotation is seen; a source whose keys are far away answers from memory for as long as it sees fit.
///
/// # Errors
/// An error is handed on as it is. `KeyUnavailable`: the source is locked, or the caller has no right to the key.
/// `Unavailable`: the source cannot be reached; that is never an absent key. Errors hold no secrets.
///
/// ```
/// use cache_core::Result;
/// use cache_crypto::{Envelope, Key, KeyId, KeySource};
///
/// #[derive(Debug)]
/// struct Vault {
///     versions: Vec<Key>,
/// }
///
/// impl KeySource for Vault {
///     fn name(&self) -> &str {
///         "vault"
///     }
///
///     fn current(&self) -> Result<Key> {
///         Ok(self.versions[0].clone())
///     }
///
///     fn find(&self, id: KeyId) -> Result<Option<Key>> {
///         Ok(self.versions.iter().find(|key| key.id() == id).cloned())
///     }
/// }
///
/// let protector = Envelope::with_source(Vault { versions: vec![Key::generate()?] });
/// assert_eq!(protector.describe(), "AES-256-GCM, vault");
/// # Ok::<(), cache_core::Error>(())
/// ```
pub trait KeySource: fmt::Debug + Send + Sync + 'static {
    /// What the keys come from, for people, for example `key vault`. No secrets.
    fn name(&self) -> &str;

    /// The key that new bytes are protected with. [`find`](Self::find) must know it for as long as such bytes exist.
    fn current(&self) -> Result<Key>;

    /// The key with this id; `None` if the source is at hand and has no such key.
    fn find(&self, id: KeyId) -> Result<Option<Key>>;
}

/// A source and the keys that it has given.
#[derive(Debug)]
pub(crate) struct KeptKeys {
    source: Box<dyn KeySource>,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    current: Option<Key>,
    found: Vec<Key>,
}

impl KeptKeys {
    pub(crate) fn new(source: impl KeySource) -> Self {
        Self { source: Box::new(source), kept: Mutex::default() }
    }

    pub(crate) fn name(&self) -> &str {
        self.source.name()
    }

    /// Asks the source for its present key and keeps the answer. The source is never called with the keys locked.
    pub(crate) fn refresh(&self) -> Result<Key> {
        let key = self.source.current()?;
        self.with_kept(|kept| kept.current = Some(key.clone()));
        Ok(key)
    }

    /// The present key as last heard of.
    pub(crate) fn current(&self) -> Result<Key> {
        self.with_kept(|kept| kept.current.clone()).map_or_else(|| self.refresh(), Ok)
    }

    /// The key of this id, if the source has given it already.
    pub(crate) fn kept(&self, id: KeyId) -> Option<Key> {
        self.with_kept(|kept| kept.current.iter().chain(&kept.found).find(|key| key.id() == id).cloned())
    }

    pub(crate) fn find(&self, id: KeyId) -> Result<Option<Key>> {
        if let Some(kept) = self.kept(id) {
            return Ok(Some(kept));
        }
        let found = self.source.find(id)?.map(|key| key.with_id(id));
        self.with_kept(|kept| kept.found.extend(found.clone()));
        Ok(found)
    }

    fn with_kept<R>(&self, look: impl FnOnce(&mut Kept) -> R) -> R {
        look(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
