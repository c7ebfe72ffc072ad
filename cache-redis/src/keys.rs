//! The names of keys in Redis. All begin with the store's prefix; none shows an id.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cache_core::{Error, ErrorKind, Result};
use cache_crypto::rows::{PartitionTag, Tag};

/// What all keys of a store begin with.
#[derive(Debug, Clone)]
pub(crate) struct Prefix(String);

impl Prefix {
    /// `InvalidInput`: keys of this prefix would not lie where they belong, or nowhere.
    pub(crate) fn new(prefix: &str) -> Result<Self> {
        // Braces tell a cluster which part of a key chooses the slot; `*?[]\^-` would be patterns in an ACL.
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/".contains(c);
        if prefix.is_empty() || prefix.len() > 100 || !prefix.chars().all(is_plain) {
            let message = "a prefix is 1 to 100 ASCII letters, digits and `-_.:/`";
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        Ok(Self(prefix.to_owned()))
    }

    /// What names are made with.
    pub(crate) fn head(&self) -> Vec<u8> {
        format!("{}:head", self.0).into()
    }

    /// The entries of a partition.
    pub(crate) fn partition(&self, tag: &Tag) -> Vec<u8> {
        [self.0.as_bytes(), b":{", &text(tag), b"}:h"].concat()
    }

    /// What the names of all keys of partitions begin with.
    pub(crate) fn partitions(&self) -> String {
        format!("{}:{{", self.0)
    }

    /// The partition whose entries are in the key of this name; `None`: it holds something else.
    pub(crate) fn partition_of(&self, key: &[u8]) -> Option<Tag> {
        let text = key.strip_prefix(self.partitions().as_bytes())?.strip_suffix(b"}:h")?;
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
    }

    /// The tags of a partition's entries, by their expiry.
    pub(crate) fn expiries(&self, partition: &Tag) -> Vec<u8> {
        [self.0.as_bytes(), b":{", &text(partition), b"}:x"].concat()
    }

    /// A lease, in the slot of its partition.
    pub(crate) fn lease(&self, partition: PartitionTag, lease: &Tag) -> Vec<u8> {
        [self.0.as_bytes(), b":{", &text(&partition.0), b"}:l:", &text(lease)].concat()
    }

    /// The partitions that may hold an account, by the time until which they may.
    pub(crate) fn account(&self, account: &Tag) -> Vec<u8> {
        [self.0.as_bytes(), b":{", &text(account), b"}:i"].concat()
    }

    /// Two names for what is kept beside another program's key. In a cluster the first is in the slot of any key without braces,
    /// the second in that of a key whose own braces choose it.
    pub(crate) fn beside(&self, key: &[u8]) -> [Vec<u8>; 2] {
        let prefix = format!("{}{BESIDE}", self.0).into_bytes();
        [[&prefix, &b"{"[..], key, b"}"].concat(), [&prefix, key].concat()]
    }

    /// Whether the key is one of those that stand beside others.
    pub(crate) fn is_beside(&self, key: &[u8]) -> bool {
        key.strip_prefix(self.0.as_bytes()).is_some_and(|rest| rest.starts_with(BESIDE.as_bytes()))
    }

    /// The partitions whose tags begin with this byte, and when they were listed.
    pub(crate) fn listed(&self, bucket: u8) -> [Vec<u8>; 2] {
        ["p", "t"].map(|what| format!("{}:{{list-{bucket:02x}}}:{what}", self.0).into())
    }
}

/// What follows the prefix of keys that stand beside others.
const BESIDE: &str = ":beside:";

fn text(tag: &Tag) -> [u8; 22] {
    let mut text = [0; 22];
    let length = URL_SAFE_NO_PAD.encode_slice(tag, &mut text);
    debug_assert_eq!(length.ok(), Some(text.len()), "six bits a character");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_prefixes_are_taken() {
        for bad in ["", "a b", "{a}", "a*", "\u{e4}", "a\n", &"a".repeat(101)] {
            assert_eq!(Prefix::new(bad).expect_err("refused").kind(), ErrorKind::InvalidInput, "{bad:?}");
        }
        let prefix = Prefix::new("app:tokens").expect("a prefix");
        assert_eq!(prefix.partition(&[0; 16]), b"app:tokens:{AAAAAAAAAAAAAAAAAAAAAA}:h");
        assert_eq!(prefix.listed(255)[0], b"app:tokens:{list-ff}:p");
    }

    #[test]
    fn a_partition_is_known_by_the_name_of_its_key() {
        let prefix = Prefix::new("app:tokens").expect("a prefix");
        let tag = [0xfb; 16];
        assert_eq!(prefix.partition_of(&prefix.partition(&tag)), Some(tag));
        let others = [&b"app:{AAAAAAAAAAAAAAAAAAAAAA}:h"[..], b"app:tokens:{AAAA}:h", b"app:tokens:{}:h", b""];
        for other in [&prefix.expiries(&tag)[..], &prefix.listed(7)[0]].into_iter().chain(others) {
            assert_eq!(prefix.partition_of(other), None);
        }
    }
}
