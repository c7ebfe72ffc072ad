//! Token caches in Redis: a hash per partition, a field per entry, shared by any number of processes and machines.
//!
//! A [`RedisStore`] keeps the partitions of unified token caches in one Redis server, in a cluster, or behind sentinels. A commit
//! is one script inside the server, which merges the changes into the fields that they name: nodes that write at once lose
//! nothing and never try again, and a change to one token costs the same in a partition of three and of 200,000.
//!
//! **When to use it**: a web application or service of several nodes. **When not**: one machine (`cache-sqlite` and `cache-file`
//! need no server). A cache that applications in .NET or Node.js write too is kept in their layout: see
//! [other libraries](#other-libraries).
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
//! # Fresh within milliseconds
//!
//! A [`PersistedTokenCache`](cache_core::PersistedTokenCache) keeps what it has read in memory. With
//! [`Freshness::push`](cache_core::Freshness::push) the server tells it what others change: a hit asks the server nothing, and a
//! removal or a rotation on one node is seen on the others as soon as the server has sent its notice.
//!
//! ```no_run
//! # use std::sync::Arc;
//! use cache_core::{Freshness, PersistedTokenCache};
//! # use cache_core::Protector;
//! # use cache_redis::RedisStore;
//!
//! # fn open(protector: Arc<dyn Protector>) -> cache_core::Result<()> {
//! let store = RedisStore::at("rediss://cache.example:6380").protector(protector).open()?;
//! let cache = PersistedTokenCache::builder(store).freshness(Freshness::push()).build();
//! # Ok(())
//! # }
//! ```
//!
//! - The store has one more connection for that, in a cluster one to each primary, by RESP3 (`CLIENT TRACKING` in broadcasting
//!   mode). The server keeps nothing per key; each node hears of every change under the prefix, some 115 bytes for each
//!   commit: with 10,000 per second that is 1.2 MB per second and node.
//! - A connection that is closed is known at once, one that is silent within 3 seconds; a fail-over of which this connection hears
//!   nothing within 15. From then on, and until all is connected to again, content is good for the freshness's bound. Then
//!   everything in memory is looked at once more.
//! - Where the server does not push, since it is older than Redis 6, a proxy, or its ACL forbids it, the bound is what holds.
//!   An event of `tracing` says so once; [`RedisStats::watching`] tells at any time.
//! - Notices show the names of keys, which are keyed hashes, to those who may track them.
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
//! # Other libraries
//!
//! A [`RedisPeerStore`] shares the partitions of Microsoft.Identity.Web over the Redis cache of .NET:
//!
//! ```no_run
//! use cache_core::{PersistedTokenCache, PartitionKey};
//! use cache_redis::RedisStore;
//!
//! # async fn open(password: String) -> cache_core::Result<()> {
//! // `InstanceName` of the RedisCacheOptions there.
//! let store = RedisStore::at("rediss://cache.example:6380").credentials(None, password).insecure_plaintext();
//! let store = store.idweb("web:").open()?;
//! let cache = PersistedTokenCache::builder(store).build();
//! let alice = PartitionKey::user("uid.utid");
//! let scopes = cache.read(&alice, |tokens| tokens.access_tokens().count()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! or of MSAL Node's `DistributedCachePlugin`:
//!
//! ```no_run
//! use cache_core::PersistedTokenCache;
//! use cache_redis::RedisStore;
//!
//! # fn open() -> cache_core::Result<()> {
//! let store = RedisStore::at("redis://localhost/3").insecure_plaintext().node("").open()?;
//! let cache = PersistedTokenCache::builder(store).build();
//! # Ok(())
//! # }
//! ```
//!
//! | | [`idweb`](RedisStoreBuilder::idweb) | [`node`](RedisStoreBuilder::node) |
//! |---|---|---|
//! | a partition is | a hash, `absexp`, `sldexp`, `data`, or `dv`, `swv`, `aev` where that set is found | a string |
//! | its key | `InstanceName` and MSAL.NET's `SuggestedCacheKey` | a prefix and the home account id, or `{clientId}.{tenantId}` |
//! | the application must | set `DisableL1Cache`, leave `Encrypt` off | have one client object for a user or request |
//! | a value that is not ours to write over | under Data Protection, of another type: `Unsupported`; no JSON: `Corrupt` | the same |
//! | nothing is there | no key, or an empty value | the same; the plugin never deletes a key |
//!
//! What these libraries do not do is made good as far as one side can:
//!
//! - **They write over whole partitions**, whatever was written since they read. A write of ours is compared with what is there
//!   and set in one script; what they drop of it is put back by the next look of ours: see
//!   [`ReapplyJournal`](cache_core::ReapplyJournal). Until then they do not see it, and what they drop of each other is lost.
//!   The journal stands beside the partition and holds tokens; every document has a mark in it, an expired access token of nobody's.
//! - **A sign-out stays one**: an account that they took out, or a key that they deleted, does not come back with what was written
//!   meanwhile.
//! - **A partition goes when it is of no use**, and so does its key: with a refresh token [90 days](RedisStoreBuilder::kept_for) after
//!   our last write, without one when the last access token expires. .NET is told by `absexp`; a time to live that it has
//!   left there is replaced. A sliding expiration of its own goes on. What only they write keeps what they set, which for a user is
//!   nothing in .NET, and a day in the sample for Node.
//! - **Entries of somebody else** in a user's, an application's or an assertion's partition are left out, counted
//!   ([`RedisPeerStats::foreign`]), reported once a minute at the most, and the next write removes them.
//! - **Leases** and their fences hold over all nodes of ours. These libraries know none.
//!
//! A look costs the whole partition, and a stamp its SHA-1 inside the server. Listing searches all keys of the database: give the
//! cache one of its own. In Node's keys an application's look like a user's, and are listed as such; what looks like none of theirs
//! is listed as [`Custom`](cache_core::PartitionKey::Custom). Of two kinds of partitions with the same key there is one. Names of
//! keys show ids, as these libraries write them, and nothing is encrypted. The least rule of an ACL, with PREFIX as for other
//! stores:
//!
//! ```text
//! ~INSTANCE* ~PREFIX:beside:* +eval +evalsha +type +get +set +hget +hmget +hset +hdel +pexpire +unlink +time +scan
//! ```
//!
//! On the nodes of a cluster also `+cluster|slots +ping +asking`.
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
//! - **Signing out everywhere is cheap**:
//!   [`remove_account_everywhere`](cache_core::PersistedTokenCache::remove_account_everywhere) finds the partitions that hold an
//!   account, those of on-behalf-of assertions and sessions too, without a look at the others.
//! - **Nothing stays for ever**: a partition has a time to live, that of what lives longest in it; what has expired, and refresh tokens
//!   that were not written [for long](RedisStoreBuilder::kept_for), go with later commits, 64 entries with each.
//! - **An outage is no miss**: a server that does not answer within the [deadline](RedisStoreBuilder::deadline) is
//!   `Unavailable`. After five requests in vain the next ones fail at once, and one behind them tries again now and then. The
//!   store connects anew by itself, after a restart, a fail-over, a server that was emptied.
//! - **An outage costs no tokens**: what cannot be written is queued, and written when the server is back. See
//!   [Outages](#outages).
//! - **Damage is survived**: an entry that is damaged, moved here from elsewhere, or sealed with a key that is not at hand is left
//!   out and told by [`Snapshot::unreadable`](cache_core::Snapshot::unreadable); the next write of that entry by somebody who
//!   has met it heals it.
//! - **Leases expire** after 60 s without a renewal and carry fences.
//!
//! | the server | every operation answers |
//! |---|---|
//! | is not there, does not answer, is loading, has no primary | `Unavailable`; writes are queued |
//! | cannot save, has too few replicas | writes: `Unavailable`, queued; nothing of them is there |
//! | has no memory left | writes: `Unavailable`, not queued; nothing of them is there |
//! | refuses the credentials, or a command; is not trusted by its certificate | `Denied` |
//! | is none of Redis | `Unsupported`, or `Unavailable` if it says nothing |
//! | is a node of a cluster, opened as a single one | `InvalidInput` |
//! | holds another program's values under the prefix, or a newer format | `Unsupported` |
//! | is protected, without or with another key | `KeyUnavailable`, `Undecryptable` |
//! | is plaintext, opened with a protector | `Unsupported` |
//!
//! # Outages
//!
//! A lookup that a [`PersistedTokenCache`](cache_core::PersistedTokenCache) can answer from memory is answered, after the
//! [validation deadline](RedisStoreBuilder::validation_deadline) at the latest. A commit that fails since the server is away, and
//! the removal of a partition, is `Unavailable` and [`is_queued`](cache_core::Error::is_queued): it has not succeeded, and it
//! is written when the server is back, also if its caller has given up. Commits with [`Changes`](cache_core::Changes) of
//! their own need no read before, so that a response of the identity provider is not lost.
//!
//! - **In order**: what is queued of a partition is written one after the other, and before any later commit or removal by this
//!   store and its clones. A sign-out is not overtaken by what came before it.
//! - **As any commit**: conditions are those of the moment when it is written. A refresh whose account was removed meanwhile, a
//!   token that is older than the one stored, a commit whose lease has passed on: these do not apply.
//! - **Reads come after it**: a read of a partition that has something queued writes that first, if the server takes it.
//! - **Bounded**: by [changes and bytes](RedisStoreBuilder::queue), and to an hour. When it is full, the oldest commits leave
//!   that only put access or ID tokens; what does not fit even so is a plain `Unavailable`. What leaves is counted by
//!   [`RedisStats::dropped`].
//! - **What passes is waited for**: a server that refuses the credentials or a command, and a key that is not at hand, may do so for
//!   a moment only. Later commits to the partition join the queue. What can never be written is given up.
//! - **In memory alone**: the queue ends with the process, and with the last handle of the store. [`RedisStore::flush`] waits
//!   until it is written.
//!
//! So for an hour a commit that was not acknowledged may still take effect: a sign-in, although the user signed out on another
//! node meanwhile; a sign-out, also of who has signed in again elsewhere meanwhile, and then does so once more.
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
//! one key without a time to live beside the lists. With `volatile-*` a full server may evict the list of an account's partitions and
//! keep the partitions: signing out everywhere then misses them. `noeviction` misses nothing.
//!
//! # Security
//!
//! - Protection is chosen, never assumed. Each entry is protected for its place: with its partition, id, account and times, so
//!   that none can be put in another's place. Ids, accounts, partitions and what tokens are looked up by stand as keyed hashes,
//!   in key names too; the key of these is random, sealed, and never changes.
//! - What shows without the key: how many partitions and entries of which sections there are, which of them belong to one account,
//!   in which partitions too, their lengths, when they were written and when they expire.
//! - Not covered: who may write to the server may delete, and put back an older copy of an entry, or of a whole server.
//! - The least rule of an ACL for the store's user:
//!
//!   ```text
//!   ~PREFIX:* +get +set +eval +evalsha +time +hget +hmget +hgetall +hscan +hset +hdel +pexpire +pttl +unlink
//!   +zadd +zrangebylex +zrangebyscore +zscore +zrem
//!   ```
//!
//!   On the nodes of a cluster also `+cluster|slots +ping +asking`; for changes to be pushed, also `+ping +client|tracking`.
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
//! | `PREFIX:{A}:i` | the partitions that may hold an account, by the time until which they may |
//! | `PREFIX:{list-XX}:p`, `:t` | the partitions whose tags begin with a byte |
//!
//! `P`, `L` and `A` are hashes. All keys of one partition are in one slot of a cluster. Redis 6 or newer, with Lua.
//!
//! # Observability
//!
//! [`RedisStats`] has the counts of one store at any time. Events of `tracing` tell when the server does not answer any more, when
//! it does again, when commits begin to be queued, when they are all written, when some are dropped, and that changes are not
//! pushed. With the feature `metrics`, these go to the program's recorder beside those of
//! [`cache-core`](cache_core#observability), by the same rules: it is to be installed before the store is opened, gauges are
//! sums over the stores of the process, and no label holds an id, a key or a partition.
//!
//! | name | kind | unit | labels | |
//! |---|---|---|---|---|
//! | `token_cache.breaker.state` | gauge | stores | | 1 while requests fail at once, since the server does not answer; else 0 |
//! | `token_cache.unanswered` | counter | requests | | those not answered within the deadline |
//! | `token_cache.connections` | counter | connections | | those that were opened, but for the ones that changes are pushed by |
//! | `token_cache.unreadable` | counter | entries | `why` | times that one was read that is `damaged`, or sealed with a key that is not at hand (`other_key`) |
//! | `token_cache.queue.depth` | gauge | commits | | those that are [queued](crate#outages) now |
//! | `token_cache.queue.bytes` | gauge | bytes | | what they take, about |
//! | `token_cache.queue.commits` | counter | commits | `event` | those that were ever `queued`, `replayed`, `dropped` |
//! | `token_cache.notices` | counter | notices | | changes of partitions that servers have pushed |
//! | `token_cache.shared.entries` | counter | entries | `event` | of partitions that [another library](RedisPeerStore) writes too: `foreign`, left out; `put_back`; `removed_again` |
//! | `token_cache.watching` | gauge | stores | | 1 while servers push their changes; else 0 |
//!
//! What to watch for: a `token_cache.breaker.state` above 0 is an outage; `event="dropped"` is what one has cost;
//! `why="other_key"` after a rotation is a node without the old key; a `token_cache.watching` below the number of stores that
//! should is bounded freshness where it was to be pushed.
//!
//! The example `web_app` shows them to Prometheus.
//!
//! # Features
//!
//! - `tls` (on): servers behind `rediss://`, by rustls.
//! - `metrics` (off): what is counted also goes to the recorder of the program, as `cache-core` says under
//!   [Observability](cache_core#observability).
#![forbid(unsafe_code)]

mod access;
mod breaker;
mod commit;
mod config;
mod count;
mod documents;
mod error;
mod flush;
mod guesses;
mod head;
mod inner;
mod keys;
mod lease;
mod link;
mod listing;
mod naps;
mod order;
mod place;
mod primaries;
mod queue;
mod reading;
mod recovery;
mod replay;
mod reprotection;
mod running;
mod script;
mod settings;
mod stats;
mod store;
mod stored;
mod tracking;
mod turn;
mod unreadable;
mod watch;
mod watching;

pub use cache_core::Protection;
pub use config::RedisStoreBuilder;
pub use documents::{RedisDocuments, RedisPeerStats, RedisPeerStore, RedisPeerStoreBuilder};
pub use stats::RedisStats;
pub use store::RedisStore;

/// The store's kind in errors, spans and protected entries.
const NAME: &str = "redis";
