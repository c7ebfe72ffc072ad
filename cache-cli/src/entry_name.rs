//! What entries are called on the command line: `Section/key text` in full, or a short id.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use cache_core::{EntryId, TokenCache};
use sha2::{Digest as _, Sha256};

use crate::exit::Failure;

/// The digits of a short id where fewer would do.
const SHORT: usize = 8;
/// The digits that must be typed at least.
const TYPED: usize = 4;
/// The digits of a whole hash.
const WHOLE: usize = 64;

/// The names of the entries of one cache.
#[derive(Debug)]
pub(crate) struct EntryNames {
    /// By the hash of section and key text in hexadecimal digits, so that an entry keeps its id for as long as it keeps
    /// its key text.
    by_hash: BTreeMap<String, EntryId>,
    digits: usize,
}

impl EntryNames {
    /// The names of every entry of a cache. Short ids have eight digits, or as many more as tell them all apart, from the
    /// full names too.
    pub(crate) fn of(cache: &TokenCache) -> Self {
        Self::of_ids(cache.entries().map(|entry| entry.id))
    }

    /// The short id of an entry.
    pub(crate) fn short(&self, id: &EntryId) -> String {
        let mut hash = hash(id);
        hash.truncate(self.digits);
        hash
    }

    /// The entry that a name means: its whole hash; else its full name; else its short id, or the beginning of one.
    ///
    /// Exit 4: there is none. Exit 1: there are several, which are listed.
    pub(crate) fn find(&self, name: &str) -> Result<&EntryId, Failure> {
        let whole = self.by_hash.get(name);
        if let Some(id) = whole.or_else(|| self.by_hash.values().find(|id| full(id) == name)) {
            return Ok(id);
        }
        let start = name.to_ascii_lowercase();
        let typed = start.len() >= TYPED && start.bytes().all(|byte| byte.is_ascii_hexdigit());
        let found: Vec<_> = if typed {
            self.by_hash.range(start.clone()..).take_while(|(hash, _)| hash.starts_with(&start)).collect()
        } else {
            Vec::new()
        };
        match found[..] {
            [] => Err(Failure::nothing(format!("no entry is called `{name}`; `tokencache list` shows the ids of all"))),
            [(_, id)] => Ok(id),
            _ => {
                let lines = found.iter().map(|(hash, id)| format!("{}  {}", &hash[..self.digits], full(id)));
                let message = format!("`{name}` begins the ids of {} entries; give more digits", found.len());
                Err(Failure::error(message).with_lines(lines))
            }
        }
    }

    fn of_ids(ids: impl Iterator<Item = EntryId>) -> Self {
        let by_hash: BTreeMap<String, EntryId> = ids.map(|id| (hash(&id), id)).collect();
        let neighbours = by_hash.keys().zip(by_hash.keys().skip(1));
        let shared = neighbours.map(|(a, b)| a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count()).max();
        // An unknown section may be called whatever its writer likes.
        let begins =
            |name: &str| by_hash.range(name.to_owned()..).next().is_some_and(|(hash, _)| hash.starts_with(name));
        let taken = by_hash.values().map(full).filter(|name| begins(name)).map(|name| name.len()).max();
        let digits = shared.max(taken).unwrap_or(0) + 1;
        Self { digits: digits.clamp(SHORT, WHOLE), by_hash }
    }
}

/// `Section/key text`; of an unknown section, which is one entry, its name.
pub(crate) fn full(id: &EntryId) -> String {
    if id.key().is_empty() { id.section().to_owned() } else { format!("{}/{}", id.section(), id.key()) }
}

fn hash(id: &EntryId) -> String {
    let digest = Sha256::new().chain_update(id.section()).chain_update([0]).chain_update(id.key()).finalize();
    digest.iter().fold(String::with_capacity(WHOLE), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(keys: &[&str]) -> EntryNames {
        EntryNames::of_ids(keys.iter().map(|key| EntryId::new("AccessToken", *key)))
    }

    #[test]
    fn every_name_finds_its_entry() {
        let names = names(&["a", "b/c", ""]);
        for key in ["a", "b/c", ""] {
            let id = EntryId::new("AccessToken", key);
            let short = names.short(&id);
            assert_eq!(short.len(), SHORT);
            for name in [full(&id), short.clone(), short[..TYPED].to_owned(), short.to_uppercase(), hash(&id)] {
                assert_eq!(names.find(&name).expect("found"), &id, "{name}");
            }
            assert!(names.find(&short[..TYPED - 1]).is_err());
        }
    }

    #[test]
    fn no_section_is_called_like_the_short_id_of_another_entry() {
        let id = EntryId::new("AccessToken", "a");
        for length in [SHORT, WHOLE] {
            let section = hash(&id)[..length].to_owned();
            let names = EntryNames::of_ids([id.clone(), EntryId::new(section.as_str(), "")].into_iter());
            let short = names.short(&id);
            assert_eq!(short.len(), WHOLE.min(length + 1));
            assert_eq!(names.find(&short).expect("found"), &id);
            let named = names.find(&section).expect("found");
            assert_eq!(named.section() == section, length < WHOLE);
        }
    }

    /// Two keys whose hashes share their first eight digits, found by search.
    #[test]
    fn ids_grow_until_they_differ() {
        let mut seen: BTreeMap<String, u32> = BTreeMap::new();
        let (a, b) = (0u32..)
            .find_map(|n| {
                let mut start = hash(&EntryId::new("AccessToken", n.to_string()));
                start.truncate(SHORT);
                seen.insert(start, n).map(|other| (other.to_string(), n.to_string()))
            })
            .expect("the search has no end");
        let names = names(&[&a, &b]);
        let ids = [&a, &b].map(|key| names.short(&EntryId::new("AccessToken", key.as_str())));
        assert!(ids[0] != ids[1] && ids[0].len() > SHORT, "{ids:?}");
        let failure = format!("{:?}", names.find(&ids[0][..SHORT]).expect_err("ambiguous"));
        assert!(ids.iter().all(|id| failure.contains(id)), "{failure}");
    }
}
