//! Tests for stores of MSAL token caches, ready to use: what every store promises, and the tools to show it.
//!
//! | module | gives |
//! |---|---|
//! | [`conformance`] | one named test per promise, for any [`CacheStore`](cache_core::CacheStore) |
//! | [`fault`] | stores that fail, crash or write short at a chosen operation |
//! | [`process`] | worker processes that can be killed at a chosen moment |
//! | [`promises`] | what stores promise about processes that share them, shown by such workers |
//! | [`fixtures`] | cache documents that MSAL libraries wrote, and hostile ones |
//! | [`secrets`] | planted secrets, looked for in everything that a program shows |
//! | [`folder`], [`other_user`] | temporary folders, modes and mounts; what another user of the machine may do |
//! | `redis` | real Redis servers of a test's own: one node, a cluster, sentinels (Unix) |
//! | [`entries`], [`access_tokens`], [`random`], [`MemoryDocuments`] | what such tests are made of |
//!
//! Everything here is for tests: a promise that does not hold panics with what was found.
#![forbid(unsafe_code)]

pub mod access_tokens;
pub mod conformance;
pub mod entries;
pub mod fault;
pub mod fixtures;
pub mod folder;
mod memory_documents;
#[cfg(unix)]
pub mod other_user;
pub mod process;
pub mod promises;
pub mod random;
#[cfg(unix)]
pub mod redis;
pub mod secrets;

pub use memory_documents::MemoryDocuments;

#[doc(hidden)]
pub mod __private {
    pub use cache_core::Clock;
}
