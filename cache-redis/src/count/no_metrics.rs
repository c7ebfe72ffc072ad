//! Without the feature `metrics`: nothing, in the same places.

use super::{Size, What};

#[derive(Debug)]
pub(super) struct Counted;

// As methods, since those with the feature are.
#[allow(clippy::unused_self)]
impl Counted {
    pub(super) fn register(_: What) -> Self {
        Self
    }

    pub(super) fn add(&self, _: u64) {}
}

#[derive(Debug)]
pub(crate) struct Share;

#[allow(clippy::unused_self)] // as above
impl Share {
    pub(crate) fn of(_: Size) -> Self {
        Self
    }

    pub(crate) fn set(&self, _: usize) {}
}
