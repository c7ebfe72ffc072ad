//! Random caches, random changes, random questions: what cache-core answers is what its documentation says, found by a
//! scan over plain fields.
//!
//! - [`lookup`]: every lookup against the scans of [`reference`](mod@reference), before and after changes, and once more
//!   after the cache was written and read again; and what insertions and removals take along.
//! - [`terms`]: the entries that a store finds by a query's term, against the whole cache.
//! - [`journal`]: what a closure made of a cache is what the store holds afterwards, whoever else writes.
//! - [`environments`]: groups of hosts.
//! - [`reapply`]: a document that two processes share with a careless library.
//!
//! [`alphabet`] makes texts that are easily taken for each other, [`entities`] makes entities of them, [`steps`]
//! changes a cache.

mod alphabet;
mod entities;
mod environments;
mod journal;
mod lookup;
mod reapply;
mod reference;
mod steps;
mod terms;

use proptest::test_runner::{Config, RngAlgorithm};

/// So many cases. A failure prints its smallest case; there is no file of seeds to keep.
fn cases(cases: u32) -> Config {
    // A weaker random number generator than the usual one, which takes longer than what is tested.
    Config { cases, failure_persistence: None, rng_algorithm: RngAlgorithm::XorShift, ..Config::default() }
}
