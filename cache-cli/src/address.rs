//! Where a cache is kept, as `--store` names it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use cache_file::presets::{Machine, Preset};

/// Where a cache is kept, as `--store` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// `file:PATH`: one file, shared by processes.
    File(PathBuf),
    /// `preset:NAME`: the cache of a product.
    Preset(Preset),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("file", "")) => Err("the path is missing; write file:PATH".to_owned()),
            Some(("file", path)) => Ok(Self::File(path.into())),
            Some(("preset", name)) => match name.parse() {
                Ok(preset) => Ok(Self::Preset(preset)),
                Err(error) => Err(cache_core::Error::message(&error).to_owned()),
            },
            _ => Err("no store of this kind is known; write file:PATH or preset:NAME".to_owned()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Preset(preset) => write!(f, "preset:{preset}"),
        }
    }
}

impl Address {
    /// Whether the store lives in this file.
    pub(crate) fn is_at(&self, file: &Path) -> bool {
        let canonical = self.path().and_then(|path| path.canonicalize().ok());
        canonical.is_some_and(|path| file.canonicalize().is_ok_and(|file| file == path))
    }

    /// Whether anything stands at this address.
    pub(crate) fn is_taken(&self) -> bool {
        // A link counts, wherever it leads.
        self.path().is_some_and(|path| path.symlink_metadata().is_ok())
    }

    /// The path of the store's file; `None` if it cannot be told on this machine.
    fn path(&self) -> Option<PathBuf> {
        match self {
            Self::File(path) => Some(path.clone()),
            Self::Preset(preset) => preset.on(&Machine::here()).ok().map(|cache| cache.path().to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_they_are_written() {
        for text in
            ["file:/var/cache/msal.cache", "file:relative path:with colon", "file:C:\\cache", "preset:azure-cli"]
        {
            assert_eq!(text.parse::<Address>().expect("an address").to_string(), text);
        }
        for text in ["", "file", "file:", "/var/cache/msal.cache", "C:\\cache", "sqlserver:x"] {
            let refused = text.parse::<Address>().expect_err("no address");
            assert!(refused.contains("file:PATH"), "{refused}");
        }
        for text in ["preset:", "preset:no-such-product", "preset:Azure-CLI"] {
            let refused = text.parse::<Address>().expect_err("no address");
            assert!(refused.contains("azure-cli, azure-cli-encrypted"), "{refused}");
        }
    }
}
