//! The stores that `--store` can name, opened with their protection. A new kind of store is a variant of [`Address`] and a
//! line in [`open`].

use std::path::Path;
use std::sync::Arc;

use cache_core::{
    CacheStore, Changes, Committed, Documents, PartitionKey, PersistedTokenCache, Snapshot, TokenCache, blocking,
};
use cache_crypto::{Envelope, Key, Passphrase};
use cache_file::FileStore;

use crate::address::Address;
use crate::args::{Location, ProtectionArgs, Writing};
use crate::context::Context;
use crate::exit::Failure;
use crate::process::PASSPHRASE_VARIABLE;

/// A store that is open, at its shared partition.
#[derive(Debug)]
pub(crate) struct Store {
    address: Address,
    protection: String,
    cache: blocking::PersistedTokenCache,
}

impl Store {
    /// Opens the store that the arguments name; the cache of a product for reading only. Exit 2: not exactly one
    /// protection is given.
    pub(crate) fn open(location: &Location, context: &Context) -> Result<Self, Failure> {
        Self::with_protection(&location.store, Protection::chosen(location, context)?, context)
    }

    /// The same for a command that writes. Exit 2: it is the cache of a product, and `--write-shared` is not given.
    pub(crate) fn open_to_write(location: &Location, writing: Writing, context: &Context) -> Result<Self, Failure> {
        let protection = Protection::chosen(location, context)?.for_writing(&location.store, writing)?;
        Self::with_protection(&location.store, protection, context)
    }

    /// Opens a store to write; a key file that is not there is created first, if nothing stands at the store's address.
    ///
    /// A new key cannot open what another one protects, so that it would only hide that the right one is missing.
    pub(crate) fn open_creating_key(location: &Location, context: &Context) -> Result<Self, Failure> {
        Protection::check_fits(location)?;
        let protection = match &location.protection.key_file {
            Some(path) if location.store.is_taken() && !path.exists() => {
                return Err(Failure::error(format!(
                    "there is no key file at {}, and {} is there already, which a new key would not open; name the key \
                     file that it was made with",
                    path.display(),
                    location.store
                )));
            }
            Some(path) => {
                Protection::check_alone(context)?;
                Protection::Encrypted(Envelope::with_key(Key::from_file_or_create(path)?))
            }
            None => Protection::chosen(location, context)?,
        };
        Self::with_protection(&location.store, protection, context)
    }

    /// The cache that the store holds now.
    pub(crate) fn load(&self) -> Result<TokenCache, Failure> {
        Ok(self.cache.read(&PartitionKey::Shared, TokenCache::clone)?)
    }

    /// What the store holds now, entry by entry.
    pub(crate) fn snapshot(&self) -> Result<Option<Snapshot>, Failure> {
        Ok(pollster::block_on(self.cache.as_async().store().load(&PartitionKey::Shared))?)
    }

    /// Merges changes into the store.
    pub(crate) fn commit(&self, changes: &Changes) -> Result<Committed, Failure> {
        Ok(pollster::block_on(self.cache.as_async().store().commit(&PartitionKey::Shared, changes))?)
    }

    /// The cache over the store.
    pub(crate) fn cache(&self) -> &blocking::PersistedTokenCache {
        &self.cache
    }

    /// Where the store is.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// What protects the store, for people.
    pub(crate) fn protection(&self) -> &str {
        &self.protection
    }

    fn with_protection(address: &Address, protection: Protection, context: &Context) -> Result<Self, Failure> {
        let described = protection.describe();
        let store = open(address, protection, context)?;
        let cache = PersistedTokenCache::builder(store).clock(Arc::clone(&context.clock)).build();
        Ok(Self { address: address.clone(), protection: described, cache: blocking::PersistedTokenCache::new(cache) })
    }
}

/// How a store is protected.
#[derive(Debug)]
enum Protection {
    Plaintext,
    Encrypted(Envelope),
    /// As the product does it whose cache this is.
    OfProduct {
        read_only: bool,
    },
}

impl Protection {
    fn chosen(location: &Location, context: &Context) -> Result<Self, Failure> {
        let ProtectionArgs { key_file, passphrase_file, plaintext } = &location.protection;
        if let Address::Preset(_) = location.store {
            // A passphrase of the environment is for stores of one's own.
            Self::check_fits(location)?;
            return Ok(Self::OfProduct { read_only: true });
        }
        if key_file.is_some() || passphrase_file.is_some() || *plaintext {
            Self::check_alone(context)?;
        }
        let envelope = match (key_file, passphrase_file, &context.passphrase) {
            (Some(path), ..) => Envelope::with_key(key(path)?),
            (None, Some(path), _) => Envelope::with_passphrase(Passphrase::from_file(path)?),
            (None, None, _) if *plaintext => return Ok(Self::Plaintext),
            (None, None, Some(words)) => Envelope::with_passphrase(Passphrase::new(words.clone())?),
            (None, None, None) => {
                return Err(Failure::usage(format!(
                    "say how {} is protected: give --key-file FILE or --passphrase-file FILE, set {PASSPHRASE_VARIABLE}, \
                     or give --plaintext if it is not encrypted",
                    location.store
                )));
            }
        };
        Ok(Self::Encrypted(envelope))
    }

    /// The same, for a command that writes.
    fn for_writing(self, address: &Address, writing: Writing) -> Result<Self, Failure> {
        match self {
            Self::OfProduct { .. } if writing.write_shared => Ok(Self::OfProduct { read_only: false }),
            Self::OfProduct { .. } => Err(Failure::usage(format!(
                "{address} is the cache of another product and is only read; give --write-shared to write to it"
            ))),
            own => Ok(own),
        }
    }

    /// Exit 2 if a key is given for the cache of a product.
    fn check_fits(location: &Location) -> Result<(), Failure> {
        let ProtectionArgs { key_file, passphrase_file, .. } = &location.protection;
        match location.store {
            Address::Preset(_) if key_file.is_some() || passphrase_file.is_some() => Err(Failure::usage(format!(
                "{} is protected as its product does it; leave --key-file and --passphrase-file out",
                location.store
            ))),
            _ => Ok(()),
        }
    }

    /// Exit 2 if the environment holds a passphrase besides the option that is given.
    fn check_alone(context: &Context) -> Result<(), Failure> {
        match context.passphrase {
            Some(_) => Err(Failure::usage(format!(
                "{PASSPHRASE_VARIABLE} is set and another protection is given; unset the variable, or leave the option out"
            ))),
            None => Ok(()),
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Plaintext | Self::OfProduct { .. } => "none".to_owned(),
            Self::Encrypted(envelope) => envelope.describe(),
        }
    }
}

fn key(path: &Path) -> Result<Key, Failure> {
    match Key::from_file(path) {
        Err(error) if error.kind() == cache_core::ErrorKind::KeyUnavailable => Err(Failure::error(format!(
            "there is no key file at {}; name the right one, or, for a new store, create one by \
             `tokencache import --create-key`",
            path.display()
        ))),
        other => Ok(other?),
    }
}

fn open(address: &Address, protection: Protection, context: &Context) -> Result<Arc<dyn CacheStore>, Failure> {
    let file = match address {
        Address::File(path) => FileStore::at(path),
        Address::Preset(preset) => FileStore::preset(*preset)?,
    };
    let file = match protection {
        Protection::Plaintext => file.plaintext(),
        Protection::Encrypted(envelope) => file.protector(Arc::new(envelope)),
        Protection::OfProduct { read_only } => file.read_only(read_only),
    };
    Ok(Arc::new(Documents::with_clock(file.build()?, Arc::clone(&context.clock))))
}
