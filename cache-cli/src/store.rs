//! The stores that `--store` can name, opened with their protection. A new kind of store is a variant of [`Address`] and a
//! line in [`open`].

use std::path::Path;
use std::sync::Arc;

use cache_core::{
    CacheStore, Changes, Committed, Documents, PartitionKey, PersistedTokenCache, Snapshot, TokenCache, blocking,
};
use cache_file::FileStore;
use cache_sqlite::SqliteStore;

use crate::address::Address;
use crate::args::{Location, Writing};
use crate::context::Context;
use crate::exit::{Failure, warn};
use crate::protection::Protection;
use crate::text::counted;

/// A store that is open.
#[derive(Debug)]
pub(crate) struct Store {
    address: Address,
    protection: String,
    cache: blocking::PersistedTokenCache,
}

/// What a command may do to the files of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    /// Look, and write not even a lock file or a corrected mode, where the store can do without.
    Look,
    Write,
}

impl Store {
    /// Opens the store that the arguments name; the cache of a product for reading only. Exit 2: not exactly one
    /// protection is given.
    pub(crate) fn open(location: &Location, context: &Context) -> Result<Self, Failure> {
        Self::with_protection(&location.store, Protection::chosen(location, context)?, Access::Write, context)
    }

    /// The same for a command that writes. Exit 2: it is the cache of a product, and `--write-shared` is not given.
    pub(crate) fn open_to_write(location: &Location, writing: Writing, context: &Context) -> Result<Self, Failure> {
        let protection = Protection::chosen(location, context)?.for_writing(&location.store, writing)?;
        Self::with_protection(&location.store, protection, Access::Write, context)
    }

    /// The same for a command that must leave the store as it is.
    pub(crate) fn open_to_look(location: &Location, context: &Context) -> Result<Self, Failure> {
        Self::with_protection(&location.store, Protection::chosen(location, context)?, Access::Look, context)
    }

    /// Opens a store to write; a key file that is not there is [created](Protection::creating_key) first.
    pub(crate) fn open_creating_key(location: &Location, context: &Context) -> Result<Self, Failure> {
        Self::with_protection(&location.store, Protection::creating_key(location, context)?, Access::Write, context)
    }

    /// The cache that the shared partition holds now.
    pub(crate) fn load(&self) -> Result<TokenCache, Failure> {
        self.load_of(&PartitionKey::Shared)
    }

    /// The cache that a partition holds now.
    pub(crate) fn load_of(&self, partition: &PartitionKey) -> Result<TokenCache, Failure> {
        Ok(self.cache.read(partition, TokenCache::clone)?)
    }

    /// What the shared partition holds now, entry by entry.
    pub(crate) fn snapshot(&self) -> Result<Option<Snapshot>, Failure> {
        Ok(pollster::block_on(self.store().load(&PartitionKey::Shared))?)
    }

    /// Merges changes into the shared partition.
    pub(crate) fn commit(&self, changes: &Changes) -> Result<Committed, Failure> {
        Ok(pollster::block_on(self.store().commit(&PartitionKey::Shared, changes))?)
    }

    /// Every partition that holds something, in the store's order.
    pub(crate) fn partitions(&self) -> Result<Vec<PartitionKey>, Failure> {
        /// How many are asked for at once.
        const PAGE: usize = 1000;
        let mut partitions = Vec::new();
        loop {
            let page = pollster::block_on(self.store().partitions(partitions.last(), PAGE))?;
            if page.is_empty() {
                return Ok(partitions);
            }
            partitions.extend(page);
        }
    }

    /// How many partitions hold something besides the shared one.
    pub(crate) fn other_partitions(&self) -> Result<usize, Failure> {
        Ok(self.partitions()?.iter().filter(|partition| **partition != PartitionKey::Shared).count())
    }

    /// Says on standard error how many entries of a partition cannot be read, since they are not among what
    /// [`load_of`](Self::load_of) answers.
    pub(crate) fn warn_of_unreadable(&self, partition: &PartitionKey) -> Result<(), Failure> {
        // A document is read whole or not at all.
        if !matches!(self.address, Address::Sqlite(_)) {
            return Ok(());
        }
        let snapshot = pollster::block_on(self.store().load(partition))?;
        match snapshot.map_or(0, |snapshot| snapshot.unreadable.len()) {
            0 => {}
            count => warn(&format!(
                "{} of {} cannot be read and left out; `tokencache verify` looks for damage",
                counted(count, "entry", "entries"),
                self.address
            )),
        }
        Ok(())
    }

    /// The cache over the store.
    pub(crate) fn cache(&self) -> &blocking::PersistedTokenCache {
        &self.cache
    }

    /// The store itself.
    pub(crate) fn store(&self) -> &Arc<dyn CacheStore> {
        self.cache.as_async().store()
    }

    /// Where the store is.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// What protects the store, for people.
    pub(crate) fn protection(&self) -> &str {
        &self.protection
    }

    fn with_protection(
        address: &Address,
        protection: Protection,
        access: Access,
        context: &Context,
    ) -> Result<Self, Failure> {
        let described = protection.describe();
        let store = open(address, protection, access, context)?;
        let cache = PersistedTokenCache::builder(store).clock(Arc::clone(&context.clock)).build();
        Ok(Self { address: address.clone(), protection: described, cache: blocking::PersistedTokenCache::new(cache) })
    }
}

/// The database at a path with the protection that the arguments name, for what only databases can do.
pub(crate) fn database(path: &Path, location: &Location, context: &Context) -> Result<SqliteStore, Failure> {
    database_with(path, Protection::chosen(location, context)?, context)
}

/// The database at a path, for what needs no key.
pub(crate) fn database_without_key(path: &Path, context: &Context) -> Result<SqliteStore, Failure> {
    database_with(path, Protection::Plaintext, context)
}

fn database_with(path: &Path, protection: Protection, context: &Context) -> Result<SqliteStore, Failure> {
    let database = SqliteStore::at(path).clock(Arc::clone(&context.clock));
    let database = match protection {
        Protection::Encrypted(envelope) => database.protector(Arc::new(envelope)),
        // No product keeps its cache in a database.
        Protection::Plaintext | Protection::OfProduct { .. } => database.plaintext(),
    };
    Ok(database.open()?)
}

fn open(
    address: &Address,
    protection: Protection,
    access: Access,
    context: &Context,
) -> Result<Arc<dyn CacheStore>, Failure> {
    let file = match address {
        Address::Sqlite(path) => return Ok(Arc::new(database_with(path, protection, context)?)),
        Address::File(path) => FileStore::at(path).read_only(access == Access::Look),
        Address::Preset(preset) => FileStore::preset(*preset)?,
    };
    let file = match protection {
        Protection::Plaintext => file.plaintext(),
        Protection::Encrypted(envelope) => file.protector(Arc::new(envelope)),
        Protection::OfProduct { read_only } => file.read_only(read_only),
    };
    Ok(Arc::new(Documents::with_clock(file.build()?, Arc::clone(&context.clock))))
}
