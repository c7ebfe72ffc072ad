//! What a store shows of ids: keyed hashes, which can be compared and tell nothing.

use cache_core::merge::account_host;
use cache_core::{Context, Entry, EntryId, Error, ErrorKind, LookupTerm, PartitionKey, Protection, Result};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

/// A keyed hash, cut to 16 bytes: two of a billion ids meet with a probability below 2^-68.
pub type Tag = [u8; 16];

/// The length of an index key, in bytes.
const KEY_LENGTH: usize = 32;

/// The length of a block of SHA-256, in bytes: HMAC takes a key of this length as it is.
const BLOCK_LENGTH: usize = 64;

/// An index key on its way into a store, or out of it. Wiped when dropped.
pub type IndexKeyBytes = Zeroizing<[u8; KEY_LENGTH]>;

/// Names everything by HMAC-SHA256 under a key of the store. The key is random and never changes; whoever does not have
/// it cannot even try out ids.
pub struct IndexKey(Hmac<Sha256>);

/// The tag of a partition, as the tags of its parts need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionTag(pub Tag);

impl IndexKey {
    /// A new random key. `Unavailable`: the operating system gives no random numbers.
    pub fn generate() -> Result<IndexKeyBytes> {
        let mut key = IndexKeyBytes::default();
        random(&mut *key)?;
        Ok(key)
    }

    /// The names under this key.
    pub fn new(key: &IndexKeyBytes) -> Self {
        // A key that is shorter than a block is filled up with zeros (RFC 2104, section 2).
        let mut block = Zeroizing::new([0; BLOCK_LENGTH]);
        block[..KEY_LENGTH].copy_from_slice(&key[..]);
        Self(Hmac::new((&*block).into()))
    }

    /// The tag of a partition.
    pub fn partition(&self, partition: &PartitionKey) -> PartitionTag {
        PartitionTag(self.tag(1, [&Zeroizing::new(partition.to_bytes())]))
    }

    /// The tag of the entry with this id.
    pub fn entry(&self, partition: PartitionTag, id: &EntryId) -> Tag {
        self.tag(2, [&partition.0, id.section().as_bytes(), id.key().as_bytes()])
    }

    /// The tag of an account: home account ids are compared exactly, hosts ignoring case and port.
    pub fn account(&self, partition: PartitionTag, home_account_id: &str, environment: &str) -> Tag {
        self.tag(3, [&partition.0, home_account_id.as_bytes(), account_host(environment).as_bytes()])
    }

    /// The tag of the account whose the entry is; `None`: nobody's.
    pub fn account_of(&self, partition: PartitionTag, entry: &Entry) -> Option<Tag> {
        let account = entry.account.as_ref()?;
        Some(self.account(partition, &account.home_account_id, &account.environment))
    }

    /// The tag of an account in all partitions, whatever its environments.
    pub fn account_anywhere(&self, home_account_id: &str) -> Tag {
        self.tag(7, [home_account_id.as_bytes()])
    }

    /// The tag of what an entry is looked up by.
    pub fn term(&self, partition: PartitionTag, term: &LookupTerm) -> Tag {
        self.tag(4, [&partition.0, term.as_bytes()])
    }

    /// The version of an entry: equal content in one partition has an equal one. It tells nothing of the content, nor
    /// which partitions hold the same.
    pub fn version(&self, partition: PartitionTag, entry: &Entry) -> Tag {
        self.tag(5, [&partition.0, entry.id.section().as_bytes(), entry.id.key().as_bytes(), entry.json.expose()])
    }

    /// The tag of the lease of this name.
    pub fn lease(&self, partition: PartitionTag, name: &str) -> Tag {
        self.tag(6, [&partition.0, name.as_bytes()])
    }

    /// The lengths of all parts come first, so that no two lists of parts run into the same bytes.
    fn tag<const N: usize>(&self, what: u8, parts: [&[u8]; N]) -> Tag {
        const { assert!(N <= 4, "there is room for the lengths") };
        let mut head = [0; 33];
        head[0] = what;
        for (length, part) in head[1..].as_chunks_mut::<8>().0.iter_mut().zip(parts) {
            *length = (part.len() as u64).to_le_bytes();
        }
        let mut mac = self.0.clone();
        mac.update(&head);
        for part in parts {
            mac.update(part);
        }
        let full: [u8; 32] = mac.finalize().into_bytes().into();
        full.first_chunk().copied().unwrap_or_default()
    }
}

/// The key as a store keeps it: sealed by the protector, or as it is in a plaintext store. Errors are the protector's.
pub fn seal_index_key(store: &'static str, key: &IndexKeyBytes, protection: &Protection) -> Result<Vec<u8>> {
    match protection.protector() {
        None => Ok(key.to_vec()),
        Some(protector) => {
            protector.prepare(None)?;
            protector.protect(&key[..], &Context::index_key(store))
        }
    }
}

/// The key that a store keeps so. `Corrupt`: these bytes are none. `KeyUnavailable`: the store is protected, and no protector
/// is given; `Unsupported`: the other way round. Else the protector's errors.
pub fn open_index_key(
    store: &'static str,
    kept: &[u8],
    is_protected: bool,
    protection: &Protection,
) -> Result<IndexKeyBytes> {
    let damaged = || Error::new(ErrorKind::Corrupt, "the head of the store is damaged: it holds no index key");
    let key = |bytes: &[u8]| bytes.try_into().map(IndexKeyBytes::new).map_err(|_| damaged());
    match (is_protected, protection.protector()) {
        (false, None) => key(kept),
        (true, Some(protector)) => {
            protector.prepare(Some(kept))?;
            key(protector.unprotect(kept, &Context::index_key(store))?.expose())
        }
        (true, None) => Err(Error::new(
            ErrorKind::KeyUnavailable,
            "the store is protected; give the protector that it was made with",
        )),
        (false, Some(_)) => Err(Error::new(
            ErrorKind::Unsupported,
            "the store is plaintext, and a protected one is asked for; copy its partitions into a new one, or open it with \
             `plaintext`",
        )),
    }
}

/// Fills `bytes` from the operating system's generator. `Unavailable`: it gives none.
pub fn random(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes).map_err(|error| {
        Error::new(ErrorKind::Unavailable, "the operating system gave no random numbers").with_source(error)
    })
}

impl std::fmt::Debug for IndexKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IndexKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_the_store_s_own() {
        let [a, b] = [1, 2].map(|byte| IndexKey::new(&Zeroizing::new([byte; KEY_LENGTH])));
        let key = PartitionKey::Shared;
        assert_ne!(a.partition(&key).0, b.partition(&key).0);
        let partition = a.partition(&key);
        assert_ne!(a.account(partition, "ab", "c"), a.account(partition, "a", "bc"));
        assert_eq!(a.account(partition, "ab", "Host:443"), a.account(partition, "ab", "host"));
        assert_ne!(a.account(partition, "ab", "host"), a.account(partition, "AB", "host"));
        let other = a.partition(&PartitionKey::user("u"));
        let id = EntryId::new("AccessToken", "key");
        assert_ne!(a.entry(partition, &id), a.entry(other, &id));
    }
}
