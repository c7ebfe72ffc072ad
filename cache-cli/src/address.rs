//! Where a cache is kept, as `--store` names it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Where a cache is kept, as `--store` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// `file:PATH`: one file, shared by processes.
    File(PathBuf),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("file", "")) => Err("the path is missing; write file:PATH".to_owned()),
            Some(("file", path)) => Ok(Self::File(path.into())),
            _ => Err("no store of this kind is known; write file:PATH".to_owned()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

impl Address {
    /// Whether the store lives in this file.
    pub(crate) fn is_at(&self, file: &Path) -> bool {
        match self {
            Self::File(path) => matches!((path.canonicalize(), file.canonicalize()), (Ok(a), Ok(b)) if a == b),
        }
    }

    /// Whether anything stands at this address.
    pub(crate) fn is_taken(&self) -> bool {
        match self {
            // A link counts, wherever it leads.
            Self::File(path) => path.symlink_metadata().is_ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_they_are_written() {
        for text in ["file:/var/cache/msal.cache", "file:relative path:with colon", "file:C:\\cache"] {
            assert_eq!(text.parse::<Address>().expect("an address").to_string(), text);
        }
        for text in ["", "file", "file:", "/var/cache/msal.cache", "C:\\cache", "sqlserver:x"] {
            let refused = text.parse::<Address>().expect_err("no address");
            assert!(refused.contains("file:PATH"), "{refused}");
        }
    }
}
