//! The stores that `--store` can name, opened with their protection. A new kind of store is a variant of [`Address`] and a
//! line in [`open`].

use std::path::Path;
use std::sync::Arc;

use cache_core::{
    CacheStore, Changes, Committed, Documents, ErrorKind, PartitionKey, PersistedTokenCache, Snapshot, TokenCache,
    blocking,
};
use cache_file::FileStore;
use cache_sqlite::SqliteStore;

use crate::address::Address;
use crate::args::{Location, Writing};
use crate::context::Context;
use crate::exit::{Failure, warn};
use crate::progress::progress_bar;
use crate::protection::Protection;
use crate::redis_store;
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
        Self::with_protection(location, Protection::chosen(location, context)?, Access::Write, context)
    }

    /// The same for a command that writes. Exit 2: it is the cache of a product, and `--write-shared` is not given.
    pub(crate) fn open_to_write(location: &Location, writing: Writing, context: &Context) -> Result<Self, Failure> {
        let protection = Protection::chosen(location, context)?.for_writing(&location.store, writing)?;
        Self::with_protection(location, protection, Access::Write, context)
    }

    /// The same for a command that must leave the store as it is.
    pub(crate) fn open_to_look(location: &Location, context: &Context) -> Result<Self, Failure> {
        Self::with_protection(location, Protection::chosen(location, context)?, Access::Look, context)
    }

    /// Opens a store to write; a key file that is not there is [created](Protection::creating_key) first.
    pub(crate) fn open_creating_key(location: &Location, context: &Context) -> Result<Self, Failure> {
        let protection = Protection::creating_key(location, context, || is_taken(location, context))?;
        Self::with_protection(location, protection, Access::Write, context)
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
        self.snapshot_of(&PartitionKey::Shared)
    }

    /// What a partition holds now, entry by entry.
    pub(crate) fn snapshot_of(&self, partition: &PartitionKey) -> Result<Option<Snapshot>, Failure> {
        Ok(pollster::block_on(self.store().load(partition))?)
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
        let bar = progress_bar(0, "partitions found");
        loop {
            let page = pollster::block_on(self.store().partitions(partitions.last(), PAGE))?;
            if page.is_empty() {
                return Ok(partitions);
            }
            bar.inc_length(page.len() as u64);
            bar.inc(page.len() as u64);
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
        if !self.address.keeps_entries() {
            return Ok(());
        }
        match self.snapshot_of(partition)?.map_or(0, |snapshot| snapshot.unreadable.len()) {
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
        location: &Location,
        protection: Protection,
        access: Access,
        context: &Context,
    ) -> Result<Self, Failure> {
        let (address, described) = (&location.store, protection.describe());
        let store = open(location, protection, access, context)?;
        let cache = PersistedTokenCache::builder(store).clock(Arc::clone(&context.clock)).build();
        Ok(Self { address: address.clone(), protection: described, cache: blocking::PersistedTokenCache::new(cache) })
    }
}

/// Whether anything stands at the store's address; a server is asked.
pub(crate) fn is_taken(location: &Location, context: &Context) -> Result<bool, Failure> {
    let Address::Redis(address) = &location.store else {
        // A link counts, wherever it leads.
        return Ok(location.store.path().is_some_and(|path| path.symlink_metadata().is_ok()));
    };
    let store = redis_store::open(address, location, Protection::Plaintext, context)?;
    match pollster::block_on(store.partitions(None, 1)) {
        Ok(partitions) => Ok(!partitions.is_empty()),
        // It is protected, and so it is there.
        Err(error) if error.kind() == ErrorKind::KeyUnavailable => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// The database at a path with the protection that the arguments name, for what only databases can do.
pub(crate) fn database(path: &Path, location: &Location, context: &Context) -> Result<SqliteStore, Failure> {
    redis_store::check_fits(location)?;
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
    location: &Location,
    protection: Protection,
    access: Access,
    context: &Context,
) -> Result<Arc<dyn CacheStore>, Failure> {
    redis_store::check_fits(location)?;
    let file = match &location.store {
        Address::Redis(address) => return Ok(Arc::new(redis_store::open(address, location, protection, context)?)),
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
