//! How the store that an address names is protected, as the arguments and the environment say it.

use std::path::Path;

use cache_crypto::{Envelope, Key, Passphrase};

use crate::address::Address;
use crate::args::{Location, ProtectionArgs, Side, Writing};
use crate::context::Context;
use crate::exit::Failure;
use crate::process::PASSPHRASE_VARIABLE;

/// How a store is protected.
#[derive(Debug)]
pub(crate) enum Protection {
    Plaintext,
    Encrypted(Envelope),
    /// As the product does it whose cache this is.
    OfProduct {
        read_only: bool,
    },
}

impl Protection {
    /// The one that is given. Exit 2: none is, or more than one, or one that does not fit the store.
    pub(crate) fn chosen(location: &Location, context: &Context) -> Result<Self, Failure> {
        let args @ ProtectionArgs { key_file, passphrase_file, plaintext, side } = &location.protection;
        if let Address::Preset(_) = location.store {
            // A passphrase of the environment is for stores of one's own.
            Self::check_fits(location)?;
            return Ok(Self::OfProduct { read_only: true });
        }
        if args.is_given() {
            Self::check_alone(*side, context)?;
        }
        let envelope = match (key_file, passphrase_file, &context.passphrase) {
            (Some(path), ..) => Envelope::with_key(key(path)?),
            (None, Some(path), _) => Envelope::with_passphrase(Passphrase::from_file(path)?),
            (None, None, _) if *plaintext => return Ok(Self::Plaintext),
            (None, None, Some(words)) => Envelope::with_passphrase(Passphrase::new(words.clone())?),
            (None, None, None) => {
                return Err(Failure::usage(format!(
                    "say how {} is protected: give {} FILE or {} FILE, set {PASSPHRASE_VARIABLE}, or give {} if it is \
                     not encrypted",
                    location.store,
                    side.option("key-file"),
                    side.option("passphrase-file"),
                    side.option("plaintext"),
                )));
            }
        };
        Ok(Self::Encrypted(envelope))
    }

    /// The same; a key file that is not there is created first, unless something stands at the store's address already.
    ///
    /// A new key cannot open what another one protects, so that it would only hide that the right one is missing.
    pub(crate) fn creating_key(
        location: &Location,
        context: &Context,
        is_taken: impl FnOnce() -> Result<bool, Failure>,
    ) -> Result<Self, Failure> {
        Self::check_fits(location)?;
        let ProtectionArgs { key_file: Some(path), side, .. } = &location.protection else {
            return Self::chosen(location, context);
        };
        if !path.exists() && is_taken()? {
            return Err(Failure::error(format!(
                "there is no key file at {}, and {} is there already, which a new key would not open; name the key file \
                 that it was made with",
                path.display(),
                location.store
            )));
        }
        Self::check_alone(*side, context)?;
        Ok(Self::Encrypted(Envelope::with_key(Key::from_file_or_create(path)?)))
    }

    /// The same, for a command that writes. Exit 2: it is the cache of a product, and `--write-shared` is not given.
    pub(crate) fn for_writing(self, address: &Address, writing: Writing) -> Result<Self, Failure> {
        match self {
            Self::OfProduct { .. } if writing.write_shared => Ok(Self::OfProduct { read_only: false }),
            Self::OfProduct { .. } => Err(Failure::usage(format!(
                "{address} is the cache of another product and is only read; give --write-shared to write to it"
            ))),
            own => Ok(own),
        }
    }

    /// What protects the store, for people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Plaintext | Self::OfProduct { .. } => "none".to_owned(),
            Self::Encrypted(envelope) => envelope.describe(),
        }
    }

    /// Exit 2 if a key is given for the cache of a product.
    fn check_fits(location: &Location) -> Result<(), Failure> {
        let ProtectionArgs { key_file, passphrase_file, side, .. } = &location.protection;
        match location.store {
            Address::Preset(_) if key_file.is_some() || passphrase_file.is_some() => Err(Failure::usage(format!(
                "{} is protected as its product does it; leave {} and {} out",
                location.store,
                side.option("key-file"),
                side.option("passphrase-file"),
            ))),
            _ => Ok(()),
        }
    }

    /// Exit 2 if the environment holds a passphrase besides the option that is given. It may be for the other store of two.
    fn check_alone(side: Side, context: &Context) -> Result<(), Failure> {
        match (side, &context.passphrase) {
            (Side::Only, Some(_)) => Err(one_too_many()),
            _ => Ok(()),
        }
    }
}

/// Exit 2: the environment holds a passphrase that no store is left for.
pub(crate) fn one_too_many() -> Failure {
    Failure::usage(format!(
        "{PASSPHRASE_VARIABLE} is set and another protection is given; unset the variable, or leave the option out"
    ))
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
