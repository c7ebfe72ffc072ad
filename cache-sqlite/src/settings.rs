//! What a store is set up with.

use std::sync::Arc;
use std::time::Duration;

use cache_core::{Clock, Protection};

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

/// What a store was set up with.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) protection: Protection,
    pub(crate) durability: Durability,
    pub(crate) lock_wait: Duration,
    pub(crate) most_entries: Option<usize>,
    pub(crate) clock: Arc<dyn Clock>,
}
