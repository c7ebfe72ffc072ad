//! What stores that keep entries one by one write of them: keyed hashes in the place of ids, and entries that are sealed
//! each by itself. `cache-sqlite` and `cache-redis` are built on it.
//!
//! A store has an [`IndexKey`], random and sealed once. By it everything gets a [`Tag`]: partitions, entries, accounts,
//! what entries are looked up by. Tags can be compared and tell nothing. An entry is a [`SealedEntry`] under its tag: the
//! times and the tags that merging needs, and a value that only the protector opens, bound to its partition, tag and
//! account. A plaintext store keeps the same with values that are open to whoever can read them.
//!
//! Every function takes the name of the store, which protected bytes are bound to.

mod index_key;
mod name;
mod record;
mod sealed_entry;

pub use index_key::{IndexKey, IndexKeyBytes, PartitionTag, Tag, open_index_key, random, seal_index_key};
pub use name::{open_name, seal_name};
pub use record::{kind, section_of};
pub use sealed_entry::{SealedEntry, seal_value, unreadable_id};
