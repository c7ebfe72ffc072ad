//! Where a cache is kept, as `--store` names it.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use cache_file::presets::{Machine, Preset};
use clap::builder::{TypedValueParser, ValueParserFactory};
use clap::error::ErrorKind;

use crate::redis_address::RedisAddress;

/// Where a cache is kept, as `--store` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// `file:PATH`: one file, shared by processes.
    File(PathBuf),
    /// `sqlite:PATH`: a SQLite database, shared by processes, with any number of partitions.
    Sqlite(PathBuf),
    /// `redis://HOST` and its like: Redis servers, shared by processes and machines, with any number of partitions.
    Redis(RedisAddress),
    /// `preset:NAME`: the cache of a product.
    Preset(Preset),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("file", "")) => Err("the path is missing; write file:PATH".to_owned()),
            Some(("file", path)) => Ok(Self::File(path.into())),
            Some(("sqlite", "")) => Err("the path is missing; write sqlite:PATH".to_owned()),
            Some(("sqlite", path)) => Ok(Self::Sqlite(path.into())),
            Some((scheme, rest)) if RedisAddress::has_scheme(scheme) => {
                RedisAddress::parse(scheme, rest).map(Self::Redis)
            }
            Some(("preset", name)) => match name.parse() {
                Ok(preset) => Ok(Self::Preset(preset)),
                Err(error) => Err(cache_core::Error::message(&error).to_owned()),
            },
            _ => {
                Err("no store of this kind is known; write file:PATH, sqlite:PATH, redis://HOST:PORT/DB or preset:NAME"
                    .to_owned())
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Redis(address) => write!(f, "{address}"),
            Self::Preset(preset) => write!(f, "preset:{preset}"),
        }
    }
}

impl Address {
    /// Whether the store lives in this file, or keeps a part of its content there.
    pub(crate) fn is_at(&self, file: &Path) -> bool {
        let Some(file) = canonical(file) else { return false };
        let suffixes: &[&str] = if matches!(self, Self::Sqlite(_)) { &["", "-wal", "-shm"] } else { &[""] };
        let path = self.path().and_then(|path| canonical(&path));
        path.is_some_and(|path| {
            suffixes.iter().any(|suffix| {
                let mut part = OsString::from(&path);
                part.push(suffix);
                file == part
            })
        })
    }

    /// Whether both are the same place.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self == other || other.path().is_some_and(|path| self.is_at(&path))
    }

    /// Whether the store keeps entry by entry, in any number of partitions. Others keep one document.
    pub(crate) fn keeps_entries(&self) -> bool {
        match self {
            Self::Sqlite(_) | Self::Redis(_) => true,
            Self::File(_) | Self::Preset(_) => false,
        }
    }

    /// The path of the store's file; `None` if it has none, or it cannot be told on this machine.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        match self {
            Self::File(path) | Self::Sqlite(path) => Some(path.clone()),
            Self::Redis(_) => None,
            Self::Preset(preset) => preset.on(&Machine::here()).ok().map(|cache| cache.path().to_owned()),
        }
    }
}

/// Reads addresses of the command line. What is refused is not repeated: it may hold a password, wherever in it.
#[derive(Debug, Clone)]
pub(crate) struct AddressParser;

impl ValueParserFactory for Address {
    type Parser = AddressParser;

    fn value_parser() -> AddressParser {
        AddressParser
    }
}

impl TypedValueParser for AddressParser {
    type Value = Address;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<Address, clap::Error> {
        let parsed = value.to_str().ok_or_else(|| "it is not UTF-8 text".to_owned()).and_then(str::parse);
        parsed.map_err(|refused: String| {
            let argument = argument.map(ToString::to_string).unwrap_or_default();
            let message = format!("invalid value for '{argument}': {refused}\n");
            clap::Error::raw(ErrorKind::ValueValidation, message).with_cmd(command)
        })
    }
}

/// The path of a file by its folder's own name, whether it is there or not; `None`: there is no such folder.
fn canonical(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok().or_else(|| {
        let path = std::path::absolute(path).ok()?;
        Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_they_are_written() {
        for text in [
            "file:/var/cache/msal.cache",
            "file:relative path:with colon",
            "file:C:\\cache",
            "sqlite:/var/cache/msal.db",
            "redis://host:7000/1?prefix=app",
            "preset:azure-cli",
        ] {
            assert_eq!(text.parse::<Address>().expect("an address").to_string(), text);
        }
        for (text, saying) in [
            ("", "file:PATH"),
            ("file", "file:PATH"),
            ("file:", "file:PATH"),
            ("sqlite:", "sqlite:PATH"),
            ("/var/cache/msal.cache", "sqlite:PATH"),
            ("C:\\cache", "file:PATH"),
            ("sqlserver:x", "sqlite:PATH"),
            ("redis:host", "redis://HOST:PORT/DB"),
        ] {
            let refused = text.parse::<Address>().expect_err("no address");
            assert!(refused.contains(saying), "{refused}");
        }
        for text in ["preset:", "preset:no-such-product", "preset:Azure-CLI"] {
            let refused = text.parse::<Address>().expect_err("no address");
            assert!(refused.contains("azure-cli, azure-cli-encrypted"), "{refused}");
        }
    }
}
