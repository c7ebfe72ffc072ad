//! What a store is set up with.

use std::sync::Arc;
use std::time::Duration;

use cache_core::{Clock, Protector};

/// What a commit that has returned survives. Killing any number of processes loses nothing under either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Durability {
    /// A loss of power too: each commit waits until the disk has it (`synchronous=FULL`).
    #[default]
    Full,
    /// The end of processes alone: a loss of power may take the last commits back, never a part of one
    /// (`synchronous=NORMAL`). Commits are many times faster.
    Normal,
}

impl Durability {
    pub(crate) fn pragma(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Normal => "NORMAL",
        }
    }
}

/// How the entries of a database are protected.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Protection {
    /// Not at all, beyond the mode of the file: whoever can read it has the tokens.
    Plaintext,
    /// Each by this protector: the database is of no use without its key, and shows no names.
    Protected(Arc<dyn Protector>),
}

impl Protection {
    /// `plaintext` or `protected`, for people to read.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Protected(_) => "protected",
        }
    }

    /// Whether a key is needed to read the entries.
    pub fn is_protected(&self) -> bool {
        matches!(self, Self::Protected(_))
    }

    pub(crate) fn protector(&self) -> Option<&dyn Protector> {
        match self {
            Self::Plaintext => None,
            Self::Protected(protector) => Some(&**protector),
        }
    }
}

/// What a store was set up with.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) protection: Protection,
    pub(crate) durability: Durability,
    pub(crate) lock_wait: Duration,
    pub(crate) most_entries: Option<usize>,
    pub(crate) clock: Arc<dyn Clock>,
}
