//! What the database shows of ids: keyed hashes, which can be compared and tell nothing.

use cache_core::merge::account_host;
use cache_core::{Entry, EntryId, Error, ErrorKind, LookupTerm, PartitionKey, Result};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

/// A keyed hash, cut to 16 bytes: two of a billion ids meet with a probability below 2^-68.
pub(crate) type Tag = [u8; 16];

/// The length of an index key, in bytes.
pub(crate) const KEY_LENGTH: usize = 32;

/// The length of a block of SHA-256, in bytes: HMAC takes a key of this length as it is.
const BLOCK_LENGTH: usize = 64;

/// A key that is on its way into the database, or out of it.
pub(crate) type KeyBytes = Zeroizing<[u8; KEY_LENGTH]>;

/// Names everything by HMAC-SHA256 under the index key of the database. The key is random and never changes; whoever does
/// not have it cannot even try out ids.
pub(crate) struct Tags(Hmac<Sha256>);

/// The partition as tags of its parts need it.
#[derive(Clone, Copy)]
pub(crate) struct PartitionTag(pub(crate) Tag);

impl Tags {
    /// A new random index key.
    pub(crate) fn new_key() -> Result<KeyBytes> {
        let mut key = KeyBytes::default();
        random(&mut *key)?;
        Ok(key)
    }

    pub(crate) fn with_key(key: &[u8; KEY_LENGTH]) -> Self {
        // A key that is shorter than a block is filled up with zeros (RFC 2104, section 2).
        let mut block = Zeroizing::new([0; BLOCK_LENGTH]);
        block[..KEY_LENGTH].copy_from_slice(key);
        Self(Hmac::new((&*block).into()))
    }

    pub(crate) fn partition(&self, partition: &PartitionKey) -> PartitionTag {
        PartitionTag(self.tag(1, [&Zeroizing::new(partition.to_bytes())]))
    }

    pub(crate) fn entry(&self, partition: PartitionTag, id: &EntryId) -> Tag {
        self.tag(2, [&partition.0, id.section().as_bytes(), id.key().as_bytes()])
    }

    /// Home account ids are compared exactly, hosts ignoring case and port.
    pub(crate) fn account(&self, partition: PartitionTag, home_account_id: &str, environment: &str) -> Tag {
        self.tag(3, [&partition.0, home_account_id.as_bytes(), account_host(environment).as_bytes()])
    }

    pub(crate) fn term(&self, partition: PartitionTag, term: &LookupTerm) -> Tag {
        self.tag(4, [&partition.0, term.as_bytes()])
    }

    /// The version of an entry: equal content in one partition has an equal one. It tells nothing of the content, nor
    /// which partitions hold the same.
    pub(crate) fn version(&self, partition: PartitionTag, entry: &Entry) -> Tag {
        self.tag(5, [&partition.0, entry.id.section().as_bytes(), entry.id.key().as_bytes(), entry.json.expose()])
    }

    pub(crate) fn lease(&self, partition: PartitionTag, name: &str) -> Tag {
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

/// Fills `bytes` from the operating system's generator.
pub(crate) fn random(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes).map_err(|error| {
        Error::new(ErrorKind::Unavailable, "the operating system gave no random numbers").with_source(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_the_database_s_own() {
        let [a, b] = [1, 2].map(|byte| Tags::with_key(&[byte; KEY_LENGTH]));
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
