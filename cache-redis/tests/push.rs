//! What one node changes is seen by another as soon as the server has told it, and nothing is asked in between; and all the
//! same where the server does not tell it.
//!
//! Where nothing else is said, the bound is so long that only what is pushed can be seen.
#![cfg(unix)]
#![allow(clippy::print_stderr)] // what is measured, for who runs it with --nocapture

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use cache_core::{AccessTokenQuery, CacheStore as _, Freshness, PartitionKey, PersistedTokenCache, Watcher};
use cache_redis::{RedisStore, RedisStoreBuilder};
use cache_testkit::access_tokens::{ALICE, token};
use cache_testkit::process::DEADLINE;
use cache_testkit::redis::{Cluster, Sentinels, Server, is_installed};
use cache_testkit::secrets::capture_traces;

use common::wire::Wire;
use common::{SHARED, at, at_url, block_on, patient, protector, proxy, runtime, wait_until};

const AN_HOUR: Duration = Duration::from_secs(3600);

/// The least that a store's user is documented to need, but for what pushes changes.
const RULE: &str = "on >hunter2 ~token-cache:* +get +set +eval +evalsha +time +hget +hmget +hgetall +hscan +hset +hdel \
                    +pexpire +pttl +unlink +zadd +zrangebylex +zrangebyscore +zscore +zrem";

/// A cache in memory over a store of its own.
struct Node {
    cache: PersistedTokenCache,
    store: RedisStore,
}

impl Node {
    fn open(store: RedisStoreBuilder, bound: Duration) -> Self {
        let store = store.protector(protector()).open().expect("a usable address");
        let cache = PersistedTokenCache::builder(store.clone()).freshness(Freshness::Push { bound }).build();
        Self { cache, store }
    }

    /// A node that the server tells what changes.
    fn told(store: RedisStoreBuilder) -> Self {
        let node = Self::open(store, AN_HOUR);
        node.wait_until_watching();
        node
    }

    #[track_caller]
    fn wait_until_watching(&self) {
        wait_until(|| self.store.stats().watching);
    }

    fn put(&self, partition: &PartitionKey, secret: &str) {
        let mut token = token("api", self.cache.now());
        token.secret = secret.into();
        let updated = block_on(self.cache.update(partition, |tokens| tokens.insert(token))).expect("written");
        updated.value.expect("complete");
        assert!(updated.skipped.is_empty());
    }

    fn get(&self, partition: &PartitionKey) -> Option<String> {
        let found = block_on(self.cache.access_token(partition, &query())).expect("reach");
        found.map(|token| token.secret.expose().to_owned())
    }

    /// Returns the time that it took until the node has this secret, or none.
    #[track_caller]
    fn sees(&self, partition: &PartitionKey, secret: Option<&str>) -> Duration {
        let began = Instant::now();
        while self.get(partition).as_deref() != secret {
            assert!(began.elapsed() < DEADLINE / 4, "it does not see {secret:?}");
            // Hits yield to nobody.
            std::thread::yield_now();
        }
        began.elapsed()
    }

    /// Returns when this node has had all notices of what the other one has changed, and has looked at what they are about.
    fn settles(&self, other: &Self, partition: &PartitionKey) {
        // Notices come in the order of the changes; the second of these is seen by a notice, be it of the first.
        for secret in ["first", "second"] {
            other.tells(self, &PartitionKey::custom("the last one that changes"), secret);
        }
        self.get(partition);
    }

    /// This node writes, and the other one sees it.
    #[track_caller]
    fn tells(&self, other: &Self, partition: &PartitionKey, secret: &str) -> Duration {
        self.put(partition, secret);
        other.sees(partition, Some(secret))
    }
}

/// Counts how often a node was told that anything may have changed: its watch begins, or was interrupted.
#[derive(Debug, Default)]
struct Beginnings(AtomicUsize);

impl Watcher for Beginnings {
    fn changed(&self, _: &PartitionKey) {}

    fn all_changed(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn watched_for(&self, _: Duration) {}
}

/// Finds what [`Node::put`] puts.
fn query() -> AccessTokenQuery<'static> {
    AccessTokenQuery::user(ALICE, "client", "api://api/.default").with_realm("home")
}

/// How many connections the server pushes changes by.
fn pushing(server: &Server) -> usize {
    connections(server).count()
}

/// Their ids: those whose flags say that they track keys.
fn connections(server: &Server) -> impl Iterator<Item = String> {
    let list = server.command(&["CLIENT", "LIST"]).to_string();
    let ids = list.lines().filter_map(|line| {
        let field = |name: &str| line.split(' ').find_map(|field| field.strip_prefix(name).map(str::to_owned));
        field("flags=").filter(|flags| flags.contains('t')).and_then(|_| field("id="))
    });
    ids.collect::<Vec<_>>().into_iter()
}

#[test]
fn a_rotation_and_a_removal_are_seen_and_hits_ask_nothing() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let wire = Wire::to(&server);
    let (near, far) = (Node::told(at(&server)), Node::told(at_url(wire.url())));
    let beginnings = Arc::<Beginnings>::default();
    let watcher: Weak<dyn Watcher> = Arc::<Beginnings>::downgrade(&beginnings);
    far.store.watch(watcher);
    let begun = || beginnings.0.load(Ordering::SeqCst);
    let mut lags = Vec::new();
    for n in 0..300 {
        let secret = format!("{n}");
        lags.push(near.tells(&far, &SHARED, &secret));
        if n % 30 == 0 {
            wait_until(|| {
                let before = begun();
                far.settles(&near, &SHARED);
                let requests = wire.requests();
                assert!((0..1000).all(|_| far.get(&SHARED).as_ref() == Some(&secret)));
                let is_silent = wire.requests() == requests;
                if !is_silent {
                    // A hit asks nothing, unless the machine has stood still for seconds, and the connection was given up.
                    wait_until(|| begun() > before);
                }
                is_silent
            });
            block_on(near.cache.remove_partition(&SHARED)).expect("removed");
            lags.push(far.sees(&SHARED, None));
        }
    }
    lags.sort();
    let [half, most] = [50, 99].map(|percent| lags[lags.len() * percent / 100]);
    eprintln!("seen by the other node after {half:?} (p50), {most:?} (p99) of {} changes", lags.len());
    assert!(far.store.stats().notices >= 300 || begun() > 0);
    assert_eq!(far.store.stats().unanswered, 0);
}

#[cfg(feature = "tls")]
#[test]
fn changes_are_pushed_by_tls_too() {
    if !is_installed() {
        return;
    }
    let server = Server::options().tls().start();
    let trusted = std::fs::read(server.ca_certificate()).expect("it was just made");
    let [near, far] = [(); 2].map(|()| Node::told(at(&server).root_certificate(trusted.clone())));
    near.tells(&far, &SHARED, "1");
    near.tells(&far, &SHARED, "2");
}

#[test]
fn a_wire_that_is_cut_and_looks_whole_is_found_out() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let wire = Wire::to(&server);
    let near = Node::told(at(&server));
    let far = Node::open(at_url(wire.url()), Duration::from_secs(3));
    far.wait_until_watching();
    near.tells(&far, &SHARED, "1");
    far.settles(&near, &SHARED);
    wire.cut_pushes(true);
    let lag = near.tells(&far, &SHARED, "2");
    eprintln!("seen by the other node, with a bound of 3 s, after {lag:?}");
    wait_until(|| !far.store.stats().watching);
    near.tells(&far, &SHARED, "3");
    wire.cut_pushes(false);
    far.wait_until_watching();
    near.tells(&far, &SHARED, "4");
}

#[test]
fn what_changes_while_nothing_is_pushed_is_seen_afterwards() {
    if !is_installed() {
        return;
    }
    let mut server = Server::options().appendonly().start();
    let (near, far) = (Node::told(at(&server)), Node::told(at(&server)));
    near.tells(&far, &SHARED, "before");
    // The connection is closed, and the change comes before the next one.
    for n in 0..3 {
        let connections = connections(&server);
        for id in connections {
            server.command(&["CLIENT", "KILL", "ID", &id]);
        }
        near.tells(&far, &SHARED, &format!("killed {n}"));
    }
    // The server is.
    server.kill();
    server.restart();
    near.tells(&far, &SHARED, "restarted");
    for node in [&near, &far] {
        node.wait_until_watching();
    }
    // It is emptied, and says so.
    server.flush();
    for node in [&near, &far] {
        node.sees(&SHARED, None);
    }
    near.tells(&far, &SHARED, "after");
    far.tells(&near, &SHARED, "at last");
}

#[test]
fn the_next_primary_tells_what_changes_after_a_fail_over_by_sentinels() {
    if !is_installed() {
        return;
    }
    let mut sentinels = Sentinels::start();
    let open = || {
        let store = patient(RedisStore::sentinel(sentinels.urls(), Sentinels::NAME));
        Node::told(store.runtime(runtime()))
    };
    let (near, far) = (open(), open());
    near.tells(&far, &SHARED, "before");
    let port = sentinels.primary().expect("they agree").port();
    sentinels.primary().expect("they agree").kill();
    sentinels.wait_for_fail_over_from(port);
    near.tells(&far, &SHARED, "after");
    far.wait_until_watching();
    near.tells(&far, &SHARED, "later");
    near.wait_until_watching();
    wait_until(|| pushing(sentinels.primary().expect("they agree")) == 2);
}

#[test]
fn every_primary_of_a_cluster_tells_what_changes() {
    if !is_installed() {
        return;
    }
    let mut cluster = Cluster::start();
    let open = || Node::told(patient(RedisStore::cluster(cluster.urls())).runtime(runtime()));
    let (near, far) = (open(), open());
    // As good as certainly some in each of the three.
    let partitions: Vec<_> = (0..24).map(|n| PartitionKey::user(&n.to_string())).collect();
    for secret in ["1", "2"] {
        for partition in &partitions {
            near.tells(&far, partition, secret);
        }
    }
    let is_full = |node: &Server| !common::names(node, "*:h").is_empty();
    assert!(cluster.nodes()[..3].iter().all(is_full));
    wait_until(|| cluster.nodes()[..3].iter().all(|node| pushing(node) == 2));
    let key = common::names(&cluster.nodes()[0], "*:h").remove(0);
    let primary = cluster.primary_of(&key);
    let port = primary.port();
    primary.kill();
    cluster.wait_for_fail_over_from(port, &key);
    for partition in &partitions {
        near.tells(&far, partition, "after");
    }
    far.wait_until_watching();
    for partition in &partitions {
        near.tells(&far, partition, "later");
    }
}

#[test]
fn nothing_is_left_of_a_store_that_is_gone() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let (first, second) = (Node::told(at(&server)), Node::told(at(&server)));
    let bounded = at(&server).protector(protector()).open().expect("a usable address");
    let cache = PersistedTokenCache::builder(bounded).build();
    block_on(cache.read(&SHARED, |_| ())).expect("read");
    // Who does not ask to be told is not.
    wait_until(|| pushing(&server) == 2);
    drop(first);
    wait_until(|| pushing(&server) == 1);
    let Node { cache, store } = second;
    drop(cache);
    wait_until(|| pushing(&server) == 0);
    // The store goes on, and tells the next cache.
    let next = Node {
        cache: PersistedTokenCache::builder(store.clone()).freshness(Freshness::Push { bound: AN_HOUR }).build(),
        store,
    };
    next.put(&SHARED, "1");
    next.wait_until_watching();
    wait_until(|| pushing(&server) == 1);
}

/// As a program of tests has one for each test, or one that is set up before its runtime.
#[test]
fn a_store_watches_on_whatever_runtime_it_is_used() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let near = Node::told(at(&server));
    near.put(&SHARED, "0");
    let far = Node::open(patient(RedisStore::at(server.url())), AN_HOUR);
    for n in 1..4 {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("threads");
        let get = || {
            let found = runtime.block_on(far.cache.access_token(&SHARED, &query())).expect("reach");
            found.map(|token| token.secret.expose().to_owned())
        };
        let began = Instant::now();
        assert!(!far.store.stats().watching, "it has no runtime, or that is gone");
        runtime.block_on(far.cache.read(&SHARED, |_| ())).expect("read");
        far.wait_until_watching();
        assert_eq!(get(), Some((n - 1).to_string()));
        let secret = n.to_string();
        near.put(&SHARED, &secret);
        while get().as_ref() != Some(&secret) {
            assert!(began.elapsed() < DEADLINE / 4);
        }
    }
}

/// The documented least rule, with and without what pushing needs.
#[test]
fn a_user_who_may_not_be_told_goes_by_the_bound() {
    if !is_installed() {
        return;
    }
    let server = Server::options().user("bare", RULE).user("told", &format!("{RULE} +ping +client|tracking")).start();
    let as_user = |user: &str| at_url(&server.url_as(user, "hunter2"));
    let near = Node::open(as_user("bare"), AN_HOUR);
    let (told, bare) = (Node::told(as_user("told")), Node::open(as_user("bare"), Duration::ZERO));
    for n in 0..3 {
        near.tells(&told, &SHARED, &n.to_string());
        bare.sees(&SHARED, Some(&n.to_string()));
    }
    let denied = || {
        let log = server.command(&["ACL", "LOG"]);
        log.items().iter().filter_map(|entry| entry.field("object")).collect::<Vec<_>>()
    };
    wait_until(|| denied().iter().any(|object| object == "client|tracking"));
    assert_eq!(denied().iter().find(|object| *object != "client|tracking" && *object != "client|setinfo"), None);
    assert!(!bare.store.stats().watching && bare.store.stats().notices == 0);
}

#[test]
fn a_proxy_that_cannot_push_is_told_of_once() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let greetings = Arc::new(AtomicUsize::new(0));
    let url = proxy::in_front_of(&server, {
        let greetings = Arc::clone(&greetings);
        move |request| {
            request.is("HELLO").then(|| {
                greetings.fetch_add(1, Ordering::SeqCst);
                b"-ERR unknown command `HELLO`, with args beginning with: `3`, \r\n".to_vec()
            })
        }
    });
    let near = Node::told(at(&server));
    let traces = capture_traces(|| {
        // On this thread alone, so that all that is traced is heard.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let far = Node::open(patient(RedisStore::at(url)), Duration::ZERO);
        let mut n = 0;
        while greetings.load(Ordering::SeqCst) < 4 {
            n += 1;
            near.put(&SHARED, &n.to_string());
            let secret = runtime.block_on(async {
                tokio::task::yield_now().await;
                far.cache.access_token(&SHARED, &query()).await.expect("reach").map(|token| token.secret.clone())
            });
            assert_eq!(secret.expect("it is there").expose(), n.to_string());
        }
        assert!(!far.store.stats().watching);
    });
    assert_eq!(traces.matches("WARN").count(), 1, "{traces}");
    assert!(traces.contains("no RESP3"), "{traces}");
}
