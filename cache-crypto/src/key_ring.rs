//! Several keys: the first protects, all of them open.

use std::fmt;

use cache_core::Result;

use crate::header::{Header, Source};
use crate::key::Key;
use crate::key_source::{KeptKeys, KeySource};
use crate::passphrase::Passphrase;

/// Keys in order: new bytes are protected with the first, and each opens what was protected with it.
///
/// To rotate, put the new key first and keep the old one until everything has been written again.
///
/// ```
/// use cache_core::{Context, PartitionKey, Protector};
/// use cache_crypto::{Envelope, Key, KeyRing};
///
/// let (old, new) = (Key::generate()?, Key::generate()?);
/// let place = Context::document("file", &PartitionKey::Shared);
/// let before = Envelope::with_key(old.clone()).protect(b"tokens", &place)?;
///
/// let rotating = Envelope::with_key_ring(KeyRing::from(new.clone()).and(old));
/// let tokens = rotating.unprotect(&before, &place)?;
/// let after = rotating.protect(tokens.expose(), &place)?;
///
/// assert_eq!(Envelope::with_key(new).unprotect(&after, &place)?.expose(), b"tokens");
/// # Ok::<(), cache_core::Error>(())
/// ```
pub struct KeyRing {
    first: Member,
    others: Vec<Member>,
}

enum Member {
    Key(Key),
    Passphrase(Box<Passphrase>),
    Kept(KeptKeys),
}

impl KeyRing {
    /// A ring with the keys of a key service or a keychain.
    pub fn from_source(source: impl KeySource) -> Self {
        Self::of(Member::Kept(KeptKeys::new(source)))
    }

    /// The same ring with more keys, which open only.
    #[must_use]
    pub fn and(mut self, more: impl Into<Self>) -> Self {
        let Self { first, others } = more.into();
        self.others.push(first);
        self.others.extend(others);
        self
    }

    /// The key that this header asks for; `None` if the ring has none of that id. If a source could not be asked and
    /// no other key fits, its error: an outage is not an unknown key.
    pub(crate) fn find(&self, header: &Header) -> Result<Option<Key>> {
        let mut outage = None;
        for member in self.members() {
            match member.find(header) {
                Ok(None) => {}
                Ok(Some(key)) => return Ok(Some(key)),
                Err(error) => outage = outage.or(Some(error)),
            }
        }
        outage.map_or(Ok(None), Err)
    }

    /// Whether [`find`](Self::find) of this header is quick: the key is at hand, or no member has to derive or fetch one
    /// to know that it is not.
    pub(crate) fn answers_at_once(&self, header: &Header) -> bool {
        self.members().any(|member| member.known(header).is_some())
            || self.members().all(|member| !member.works_for(header))
    }

    /// Whether all keys are at hand, whatever is asked for.
    pub(crate) fn are_at_hand(&self) -> bool {
        self.members().all(|member| matches!(member, Member::Key(_)))
    }

    /// Has the key for new bytes ready. `existing` is a source whose key, of this id, has proven right.
    pub(crate) fn prepare(&self, existing: Option<&Header>) -> Result<()> {
        match &self.first {
            Member::Key(_) => Ok(()),
            Member::Passphrase(passphrase) => {
                // Only what was made with the first passphrase itself: it knows the key by its id.
                if let Some(header) = existing.filter(|header| passphrase.known(header.key_id).is_some()) {
                    passphrase.adopt(&header.source);
                }
                passphrase.current().map(drop)
            }
            Member::Kept(keys) => keys.refresh().map(drop),
        }
    }

    /// The key for new bytes and where it comes from.
    pub(crate) fn current(&self) -> Result<(Key, Source)> {
        match &self.first {
            Member::Key(key) => Ok((key.clone(), Source::Key)),
            Member::Passphrase(passphrase) => passphrase.current(),
            Member::Kept(keys) => Ok((keys.current()?, Source::Key)),
        }
    }

    /// What protects new bytes, for people.
    pub(crate) fn describe(&self) -> String {
        match &self.first {
            Member::Key(key) => key.origin().to_owned(),
            Member::Passphrase(passphrase) => format!("passphrase ({})", passphrase.params()),
            Member::Kept(keys) => keys.name().to_owned(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        1 + self.others.len()
    }

    /// How many keys the first passphrase has derived.
    #[cfg(test)]
    pub(crate) fn derivations(&self) -> usize {
        match &self.first {
            Member::Passphrase(passphrase) => passphrase.derivations(),
            _ => 0,
        }
    }

    fn of(first: Member) -> Self {
        Self { first, others: Vec::new() }
    }

    fn members(&self) -> impl Iterator<Item = &Member> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

impl Member {
    /// The key that this header asks for, if it is at hand.
    fn known(&self, header: &Header) -> Option<Key> {
        match self {
            Self::Key(key) => Some(key.clone()).filter(|key| key.id() == header.key_id),
            Self::Kept(keys) => keys.kept(header.key_id),
            Self::Passphrase(passphrase) => passphrase.known(header.key_id),
        }
    }

    /// Whether [`find`](Self::find) derives or fetches a key for this header.
    fn works_for(&self, header: &Header) -> bool {
        match (self, &header.source) {
            (Self::Kept(_), Source::Key) => true,
            (Self::Passphrase(passphrase), Source::Argon2id { params, salt }) => !passphrase.has_derived(params, salt),
            _ => false,
        }
    }

    fn find(&self, header: &Header) -> Result<Option<Key>> {
        let fits = |key: &Key| key.id() == header.key_id;
        match (self, &header.source) {
            (Self::Key(key), Source::Key) => Ok(Some(key.clone()).filter(fits)),
            (Self::Kept(keys), Source::Key) => keys.find(header.key_id),
            (Self::Passphrase(passphrase), Source::Argon2id { params, salt }) => {
                passphrase.key(params, salt).map(|key| Some(key).filter(fits))
            }
            (Self::Passphrase(passphrase), Source::Key) => Ok(passphrase.known(header.key_id)),
            (Self::Key(_) | Self::Kept(_), Source::Argon2id { .. }) => Ok(None),
        }
    }
}

impl From<Key> for KeyRing {
    fn from(key: Key) -> Self {
        Self::of(Member::Key(key))
    }
}

impl From<Passphrase> for KeyRing {
    fn from(passphrase: Passphrase) -> Self {
        Self::of(Member::Passphrase(Box::new(passphrase)))
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.members()).finish()
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => key.fmt(f),
            Self::Passphrase(passphrase) => passphrase.fmt(f),
            Self::Kept(keys) => write!(f, "{:?}", keys.name()),
        }
    }
}
