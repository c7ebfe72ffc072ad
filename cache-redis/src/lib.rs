//! Token caches in Redis: a hash per partition, a field per entry, shared by any number of processes and machines.
//!
//! A [`RedisStore`] keeps the partitions of unified token caches in one Redis server, in a cluster, or behind sentinels. A commit
//! is one script inside the server, which merges the changes into the fields that they name: nodes that write at once lose
//! nothing and never try again, and a change to one token costs the same in a partition of three and of 200,000.
//!
//! **When to use it**: a web application or service of several nodes. **When not**: one machine (`cache-sqlite` and `cache-file`
//! need no server), or a cache that MSAL libraries of other languages write too.
//!
//! # A cache for all users of a web application, encrypted
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use cache_core::{PersistedTokenCache, Protector};
//! use cache_redis::RedisStore;
//!
//! # fn open(protector: Arc<dyn Protector>, password: String) -> cache_core::Result<PersistedTokenCache> {
//! let store = RedisStore::at("rediss://cache.example:6380")
//!     .credentials(Some("app"), password)
//!     .prefix("app:tokens")
//!     .protector(protector)
//!     .open()?;
//! let cache = PersistedTokenCache::builder(store).build();
//! # Ok(cache)
//! # }
//! ```
//!
//! # A cluster, sentinels
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use cache_core::Protector;
//! use cache_redis::RedisStore;
//!
//! # fn open(protector: Arc<dyn Protector>) -> cache_core::Result<()> {
//! let cluster = RedisStore::cluster(["redis://a:7000", "redis://b:7000"]).protector(protector.clone()).open()?;
//! let primary = RedisStore::sentinel(["redis://a:26379", "redis://b:26379"], "tokens").protector(protector).open()?;
//! # Ok(())
//! # }
//! ```
//!
//! # Another key
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use cache_core::Protector;
//! use cache_redis::RedisStore;
//!
//! # async fn rotate(new_then_old: Arc<dyn Protector>) -> cache_core::Result<()> {
//! // Writes with the new key and opens with both, as every node does by now; afterwards the old one is needed no more.
//! let store = RedisStore::at("redis://localhost").protector(new_then_old).open()?;
//! store.reprotect().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # A program that blocks
//!
//! The store needs a tokio runtime with its drivers for time and network: the current one, or one that it is given.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use cache_core::{PersistedTokenCache, Protector, blocking};
//! # use cache_redis::RedisStore;
//! # fn open(protector: Arc<dyn Protector>) -> Result<(), Box<dyn std::error::Error>> {
//! let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
//! let store = RedisStore::at("redis://localhost").protector(protector).runtime(runtime.handle().clone()).open()?;
//! let cache = blocking::PersistedTokenCache::new(PersistedTokenCache::builder(store).build());
//! # Ok(())
//! # }
//! ```
//!
//! # What holds
//!
//! - **Atomic**: a commit is one script, which decides everything before it writes. It goes on to its end when its future is
//!   dropped. Sent twice, since an answer was lost, it does what it does once.
//! - **No update is lost**, whoever writes at once: the rules of [`merge`](cache_core::merge) run inside the server, by its
//!   clock.
//! - **Durable as the server is**: see below.
//! - **Large partitions are not loaded**: a token is found by keyed hashes of its owner, client, tenant and scope. See
//!   [`resident_entries`](cache_core::Builder::resident_entries).
//! - **Nothing stays for ever**: a partition has a time to live, that of what lives longest in it; what has expired goes with
//!   later commits, 64 entries with each.
//! - **An outage is no miss**: a server that does not answer within the [deadline](RedisStoreBuilder::deadline) is
//!   `Unavailable`. After five requests in vain the next ones fail at once, but for one now and then that tries again. The
//!   store connects anew by itself, after a restart, a fail-over, a server that was emptied.
//! - **Damage is survived**: an entry that is damaged, moved here from elsewhere, or sealed with a key that is not at hand is left
//!   out and told by [`Snapshot::unreadable`](cache_core::Snapshot::unreadable); the next write of that entry by somebody who
//!   has met it heals it.
//! - **Leases expire** after 60 s without a renewal and carry fences.
//!
//! | the server | every operation answers |
//! |---|---|
//! | is not there, does not answer, is loading, has no primary | `Unavailable` |
//! | has no memory left, cannot save, has too few replicas | writes: `Unavailable`; nothing of them is there |
//! | refuses the credentials, or a command; is not trusted by its certificate | `Denied` |
//! | is none of Redis | `Unsupported`, or `Unavailable` if it says nothing |
//! | is a node of a cluster, opened as a single one | `InvalidInput` |
//! | holds another program's values under the prefix, or a newer format | `Unsupported` |
//! | is protected, without or with another key | `KeyUnavailable`, `Undecryptable` |
//! | is plaintext, opened with a protector | `Unsupported` |
//!
//! # What Redis must be set to
//!
//! Redis answers before it has written to disk, and before its replicas have. What that means for a commit that has returned:
//!
//! | setting | survives |
//! |---|---|
//! | no persistence (`save ""`, `appendonly no`) | nothing but this process; users sign in again |
//! | `appendonly yes`, `appendfsync everysec` | a crash of Redis; a loss of power but for the last second |
//! | `appendonly yes`, `appendfsync always` | a loss of power |
//! | replicas, with `min-replicas-to-write 1` | most fail-overs: replication is asynchronous, what was just written may be lost |
//!
//! We recommend `appendonly yes` with `appendfsync everysec`: what is lost is fetched again, or the user signs in again.
//! `maxmemory-policy` must be `noeviction` or one of `volatile-*`: the others also evict the key that names everything, which is the
//! one key without a time to live beside the lists.
//!
//! # Security
//!
//! - Protection is chosen, never assumed. Each entry is protected for its place: with its partition, id, account and times, so
//!   that none can be put in another's place. Ids, accounts, partitions and what tokens are looked up by stand as keyed hashes,
//!   in key names too; the key of these is random, sealed, and never changes.
//! - What shows without the key: how many partitions and entries of which sections there are, which of them belong to one account,
//!   their lengths, when they were written and when they expire.
//! - Not covered: who may write to the server may delete, and put back an older copy of an entry, or of a whole server.
//! - The least rule of an ACL for the store's user, on one server; in a cluster, and by its sentinels, also what its client asks
//!   of them:
//!
//!   ```text
//!   ~PREFIX:* +get +set +eval +evalsha +time +hget +hmget +hgetall +hscan +hset +hdel +pexpire +pttl +unlink
//!   +zadd +zrangebylex +zrangebyscore +zscore +zrem
//!   ```
//! - Use TLS (`rediss://`, with the feature `tls`, which is on) wherever the network is not yours alone.
//!
//! # In the server
//!
//! | key | holds |
//! |---|---|
//! | `PREFIX:head` | the key of all names, sealed |
//! | `PREFIX:{P}:h` | a partition: `e` and a tag for each entry, `c`, `a` and `t` for the accounts and terms that entries stand under, the stamp, the sealed name |
//! | `PREFIX:{P}:x` | the tags of its entries by their expiry |
//! | `PREFIX:{P}:l:L` | a lease |
//! | `PREFIX:{list-XX}:p`, `:t` | the partitions whose tags begin with a byte |
//!
//! `P` and `L` are hashes. All keys of one partition are in one slot of a cluster. Redis 6 or newer, with Lua.
//!
//! # Features
//!
//! `tls`, on by default: servers behind `rediss://`, by rustls.
#![forbid(unsafe_code)]

mod breaker;
mod commit;
mod config;
mod count;
mod error;
mod head;
mod inner;
mod keys;
mod lease;
mod link;
mod listing;
mod place;
mod reading;
mod reprotection;
mod script;
mod settings;
mod stats;
mod store;
mod stored;
mod unreadable;

pub use cache_core::Protection;
pub use config::RedisStoreBuilder;
pub use stats::RedisStats;
pub use store::RedisStore;

/// The store's kind in errors, spans and protected entries.
const NAME: &str = "redis";
