//! Without the feature `metrics`: nothing, in the same places.

use super::{Lookup, Operation};
use crate::changes::{Changes, Committed};
use crate::error::ErrorKind;

#[derive(Debug)]
pub(super) struct Metrics;

// As methods, since those with the feature are.
#[allow(clippy::unused_self)]
impl Metrics {
    pub(super) fn register() -> Self {
        Self
    }

    pub(super) fn count_lookup(&self, _: Lookup) {}

    pub(super) fn time_answer(&self, _: Operation, _: Began) {}

    pub(super) fn count_failure(&self, _: Operation, _: ErrorKind) {}

    pub(super) fn count_merge(&self, _: &Changes, _: &Committed) {}
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Began;

impl Began {
    pub(crate) fn now() -> Self {
        Self
    }
}

#[derive(Debug)]
pub(crate) struct ResidentMetrics;

#[allow(clippy::unused_self)] // as above
impl ResidentMetrics {
    pub(crate) fn register() -> Self {
        Self
    }

    pub(crate) fn set(&self, _: usize, _: u64) {}

    pub(crate) fn count_eviction(&self) {}
}
