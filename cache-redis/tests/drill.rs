//! The outage drill: two nodes of a web application, 200 requests a second, and a server that stops, is killed, gives its place to
//! another, or is emptied. Whatever the resident caches can answer is answered, and every token that was obtained meanwhile is
//! in the server afterwards.
//!
//! Short by default; `TOKEN_CACHE_FULL_LENGTH=1` makes the outages 10 seconds long. Each test prints what it saw:
//!
//!     TOKEN_CACHE_FULL_LENGTH=1 cargo test --release -p cache-redis --test drill -- --nocapture --test-threads 1
#![cfg(unix)]

mod common;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use cache_core::{
    AccessTokenQuery, CacheStore as _, Change, Changes, Clock as _, ErrorKind, Freshness, PartitionKey,
    PersistedTokenCache, SystemClock, UnixMillis,
};
use cache_redis::{RedisStore, RedisStoreBuilder};
use cache_testkit::access_tokens::{ALICE, HOST};
use cache_testkit::entries::{access_token, refresh_token};
use cache_testkit::promises::{length, say};
use cache_testkit::redis::{Sentinels, Server, is_installed};

use common::nodes::written;
use common::{block_on, patient, protector, runtime, wait_until};

/// Partitions, one for each user. All are resident on both nodes.
const USERS: usize = 50;
/// Between two requests.
const PAUSE: Duration = Duration::from_millis(5);
/// One request in so many brings tokens from the identity provider; the others look for an access token.
const UPDATES: usize = 10;
/// Short, so that lookups ask the server.
const WINDOW: Duration = Duration::from_millis(100);
/// What a lookup may take in an outage, by the project's goals: the deadline of a validation and 50 ms.
const GOAL: Duration = Duration::from_millis(300);

#[test]
fn a_server_that_stops_for_a_while() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let drill = Drill::start("SIGSTOP", || RedisStore::at(server.url()));
    drill.strike(|| server.stop());
    let away = drill.goes_on();
    let over = drill.over(Some(away), || server.go_on());
    over.assert_all_stored(|_| true);
}

#[test]
fn a_server_that_is_killed_and_restarted() {
    if !is_installed() {
        return;
    }
    let mut server = Server::options().appendonly().start();
    let drill = Drill::start("kill -9", || RedisStore::at(server.url()));
    drill.strike(|| server.kill());
    let away = drill.goes_on();
    let over = drill.over(Some(away), || server.restart());
    over.assert_all_stored(|_| true);
}

#[test]
fn a_primary_whose_replica_takes_its_place() {
    if !is_installed() {
        return;
    }
    let mut sentinels = Sentinels::start();
    let drill = Drill::start("fail-over", || RedisStore::sentinel(sentinels.urls(), Sentinels::NAME));
    let port = sentinels.primary().expect("they agree").port();
    drill.strike(|| sentinels.primary().expect("they agree").kill());
    // Nobody finds another one while all sentinels name the one that is dead.
    let mut away = None;
    loop {
        let asked = Instant::now();
        if sentinels.primary().is_none_or(|primary| primary.port() != port) {
            break;
        }
        away = Some(asked);
        std::thread::sleep(PAUSE);
    }
    let over = drill.over(away, || sentinels.wait_for_fail_over_from(port));
    // Redis acknowledges before its replica has it: what the dead primary took along is not ours to keep.
    over.assert_all_stored(|update| update.is_queued || update.began > over.struck);
}

#[test]
fn a_server_that_is_emptied() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let drill = Drill::start("FLUSHALL", || RedisStore::at(server.url()));
    drill.strike(|| server.flush());
    drill.goes_on();
    // It has been there all the time.
    let over = drill.over(None, || ());
    over.assert_all_stored(|update| update.is_queued || update.began > over.struck);
}

/// It keeps nothing: what is there afterwards was queued, or came after it.
#[test]
fn a_server_that_is_killed_and_comes_back_empty() {
    if !is_installed() {
        return;
    }
    let mut server = Server::start();
    let drill = Drill::start("kill -9, nothing kept", || RedisStore::at(server.url()));
    drill.strike(|| server.kill());
    let away = drill.goes_on();
    let over = drill.over(Some(away), || server.restart());
    over.assert_all_stored(|update| update.is_queued || update.began > over.struck);
}

/// Two nodes under load.
struct Drill {
    name: &'static str,
    load: Arc<Load>,
    /// A node that only looks, in the end.
    witness: RedisStore,
}

struct Load {
    nodes: [(RedisStore, PersistedTokenCache); 2],
    began: UnixMillis,
    requests: AtomicUsize,
    in_flight: AtomicUsize,
    is_paused: AtomicBool,
    is_over: AtomicBool,
    lookups: Mutex<Vec<Lookup>>,
    updates: Mutex<Vec<Update>>,
}

struct Lookup {
    began: Instant,
    took: Duration,
    failed: Option<ErrorKind>,
}

/// Tokens that the identity provider has given.
struct Update {
    user: usize,
    number: usize,
    began: Instant,
    took: Duration,
    is_queued: bool,
}

impl Drill {
    fn start(name: &'static str, builder: impl Fn() -> RedisStoreBuilder) -> Self {
        let open = || builder().runtime(runtime()).protector(protector()).open().expect("usable addresses");
        let node = || {
            let store = open();
            let cache = PersistedTokenCache::builder(store.clone()).freshness(Freshness::Bounded(WINDOW)).build();
            (store, cache)
        };
        let load = Arc::new(Load {
            nodes: [node(), node()],
            // Tokens are not newer than the server's clock.
            began: UnixMillis(SystemClock.now().0 - 3_600_000),
            requests: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            is_paused: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            lookups: Mutex::default(),
            updates: Mutex::default(),
        });
        for user in 0..USERS {
            block_on(load.update(0, user));
        }
        load.make_resident();
        runtime().spawn(Arc::clone(&load).run());
        wait_until(|| load.requests.load(Ordering::SeqCst) >= 100);
        let witness = patient(builder()).runtime(runtime()).protector(protector());
        Self { name, load, witness: witness.open().expect("usable addresses") }
    }

    /// Does what makes the outage, between two requests: every partition is resident then, as it is in the server, which has
    /// everything that was queued.
    fn strike(&self, outage: impl FnOnce()) {
        self.load.is_paused.store(true, Ordering::SeqCst);
        self.load.wait_for_requests();
        self.load.flush();
        self.load.make_resident();
        self.load.clear();
        outage();
        self.load.is_paused.store(false, Ordering::SeqCst);
    }

    /// Lets the outage last, until a lookup was answered in it at least. Returns a moment at which it was not over.
    fn goes_on(&self) -> Instant {
        std::thread::sleep(Duration::from_secs(length(10, 2) as u64));
        self.load.first_lookup();
        Instant::now()
    }

    /// Ends the outage, in which no server has answered until `away`, if there was such a time; goes on with the load until
    /// nothing is queued any more.
    fn over(self, away: Option<Instant>, end: impl FnOnce()) -> Over {
        let load = Arc::clone(&self.load);
        let struck = load.first_lookup();
        end();
        let ended = Instant::now();
        let queued = || load.nodes.iter().map(|(store, _)| store.stats().queued_now).sum::<u64>();
        let deadline = ended + Duration::from_secs(90);
        while queued() > 0 {
            assert!(Instant::now() < deadline, "{} commits are still queued", queued());
            std::thread::sleep(PAUSE);
        }
        let replayed = ended.elapsed();
        load.is_over.store(true, Ordering::SeqCst);
        load.wait_for_requests();
        load.flush();
        let over = Over { struck, ended, drill: self };
        over.report(replayed);
        over.assert_answered(away);
        over
    }
}

impl Load {
    async fn run(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(PAUSE);
        while !self.is_over.load(Ordering::SeqCst) {
            ticks.tick().await;
            // Counted first, so that who waits for the requests finds those that begin.
            self.in_flight.fetch_add(1, Ordering::SeqCst);
            let load = Arc::clone(&self);
            if self.is_paused.load(Ordering::SeqCst) || self.is_over.load(Ordering::SeqCst) {
                self.in_flight.fetch_sub(1, Ordering::SeqCst);
                continue;
            }
            tokio::spawn(async move {
                let number = load.requests.fetch_add(1, Ordering::SeqCst);
                // Any order that comes to each user on each node.
                let (node, user) = (number % 2, number * 7 / 2 % USERS);
                if number.is_multiple_of(UPDATES) {
                    load.update(number / UPDATES % 2, user).await;
                } else {
                    load.look_up(node, user).await;
                }
                load.in_flight.fetch_sub(1, Ordering::SeqCst);
            });
        }
    }

    /// Whether there was a token.
    async fn look_up(&self, node: usize, user: usize) -> bool {
        let began = Instant::now();
        let query = AccessTokenQuery::user(ALICE, "client", "mail").with_realm("home");
        let found = self.nodes[node].1.access_token(&partition(user), &query).await;
        if let Ok(Some(token)) = &found {
            assert!(token.secret.expose().starts_with(&format!("token of {user}, ")), "another user's token");
        }
        let (is_found, failed) = (matches!(found, Ok(Some(_))), found.err().map(|error| error.kind()));
        locked(&self.lookups).push(Lookup { began, took: began.elapsed(), failed });
        is_found
    }

    /// Stores what the identity provider has given: another refresh token in the place of the last one, an access token, and
    /// one that nothing takes the place of.
    async fn update(&self, node: usize, user: usize) {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let at = UnixMillis(self.began.0 + i64::try_from(number).expect("not that many"));
        let expires = SystemClock.now().to_seconds().plus(3600);
        let access_token = |key: &str| {
            let token = access_token(key).of(ALICE, HOST).field("client_id", "client").field("realm", "home");
            let token = token.field("target", key).secret(&format!("token of {user}, {number}"));
            Change::put(token.at(at.to_seconds().to_millis()).expires(expires).entry())
        };
        let refresh_token = refresh_token("refresh").of(ALICE, HOST).secret(&number.to_string()).at(at).entry();
        let changes = [Change::put(refresh_token), access_token("mail"), access_token(&format!("only-{number}"))];
        let began = Instant::now();
        let committed = self.nodes[node].0.commit(&partition(user), &Changes::new(changes.into())).await;
        let is_queued = match committed {
            Ok(_) => false,
            Err(error) => {
                assert!(error.is_queued(), "neither stored nor queued: {error}");
                true
            }
        };
        locked(&self.updates).push(Update { user, number, began, took: began.elapsed(), is_queued });
    }

    fn make_resident(&self) {
        for (node, user) in (0..self.nodes.len()).flat_map(|node| (0..USERS).map(move |user| (node, user))) {
            wait_until(|| block_on(self.look_up(node, user)));
        }
    }

    fn wait_for_requests(&self) {
        wait_until(|| self.in_flight.load(Ordering::SeqCst) == 0);
    }

    /// Writes what is queued.
    fn flush(&self) {
        self.nodes.iter().for_each(|(store, _)| written(store));
    }

    /// Forgets what was measured, and what was queued and is written; what was stored stays to be looked for.
    fn clear(&self) {
        locked(&self.lookups).clear();
        locked(&self.updates).iter_mut().for_each(|update| update.is_queued = false);
    }

    /// When the first lookup since then began.
    fn first_lookup(&self) -> Instant {
        wait_until(|| !locked(&self.lookups).is_empty());
        locked(&self.lookups).iter().map(|lookup| lookup.began).min().expect("waited for")
    }
}

/// A drill that is over.
struct Over {
    drill: Drill,
    struck: Instant,
    ended: Instant,
}

impl Over {
    fn report(&self, replayed: Duration) {
        let (lookups, updates) = (locked(&self.drill.load.lookups), locked(&self.drill.load.updates));
        let is_within = |began: Instant| began >= self.struck && began < self.ended;
        let failed = lookups.iter().filter(|lookup| lookup.failed.is_some()).count();
        let lookups = Times::of(lookups.iter().filter(|lookup| is_within(lookup.began)).map(|lookup| lookup.took));
        let queued = updates.iter().filter(|update| update.is_queued).count();
        let commits = Times::of(updates.iter().filter(|update| is_within(update.began)).map(|update| update.took));
        // Those of the whole drill.
        let stale: u64 = self.drill.load.nodes.iter().map(|(_, cache)| cache.stats().stale_hits).sum();
        let goal = if lookups.p99 <= GOAL { "within" } else { "BEYOND" };
        say(&format!(
            "{}, {:.1} s: lookups {lookups} ({goal} {GOAL:?}), {stale} stale, {failed} failed; commits {commits}, {queued} queued, \
             all written {:.1} s after the server was back",
            self.drill.name,
            (self.ended - self.struck).as_secs_f64(),
            replayed.as_secs_f64(),
        ));
    }

    /// No lookup failed while no server answered; nothing was dropped.
    ///
    /// A server that answers may say that a partition has changed: the copy is forgotten then, and who loads the partition may
    /// still be too late, on a machine that has much else to do.
    fn assert_answered(&self, away: Option<Instant>) {
        let load = &self.drill.load;
        let is_in_time = |lookup: &&Lookup| away.is_some_and(|away| lookup.began + lookup.took <= away);
        let failed: Vec<_> =
            locked(&load.lookups).iter().filter(is_in_time).filter_map(|lookup| lookup.failed).collect();
        assert!(failed.is_empty(), "every partition was resident: {failed:?}");
        for (store, _) in &load.nodes {
            assert_eq!(store.stats().dropped, 0, "{:?}", store.stats());
        }
    }

    /// Every update that counts is in the server, and of each user the newest refresh token.
    fn assert_all_stored(&self, counts: impl Fn(&Update) -> bool) {
        let updates = locked(&self.drill.load.updates);
        let mut lost = 0;
        for user in 0..USERS {
            let loaded = block_on(self.drill.witness.load(&partition(user))).expect("the server is back");
            let entries = loaded.map_or_else(Vec::new, |snapshot| snapshot.entries);
            let keys: HashSet<&str> = entries.iter().map(|stored| stored.entry.id.key()).collect();
            let of_user = || updates.iter().filter(|update| update.user == user);
            let is_stored = |update: &&Update| keys.contains(&*format!("only-{}", update.number));
            for update in of_user().filter(|update| !is_stored(update)) {
                assert!(!counts(update), "update {} of user {user} is lost", update.number);
                lost += 1;
            }
            let newest = of_user().filter(is_stored).map(|update| update.number).max();
            let refresh_token = entries.iter().find(|stored| stored.entry.id.key() == "refresh");
            let refresh_token = refresh_token.map(|stored| String::from_utf8_lossy(stored.entry.json.expose()));
            match (newest, refresh_token) {
                (Some(newest), Some(json)) => {
                    assert!(json.contains(&format!("\"secret\":\"{newest}\"")), "user {user}");
                }
                (None, None) => {}
                _ => panic!("user {user} has the one token and not the other"),
            }
        }
        say(&format!("{}: {} updates, {lost} of them gone with the server", self.drill.name, updates.len()));
    }
}

/// How long requests took.
struct Times {
    count: usize,
    p50: Duration,
    p99: Duration,
    longest: Duration,
}

impl Times {
    fn of(times: impl Iterator<Item = Duration>) -> Self {
        let mut times: Vec<_> = times.collect();
        times.sort();
        let at = |percent: usize| times.get(times.len() * percent / 100).or(times.last()).copied().unwrap_or_default();
        Self { count: times.len(), p50: at(50), p99: at(99), longest: at(100) }
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [p50, p99, longest] = [self.p50, self.p99, self.longest].map(|time| time.as_secs_f64() * 1000.0);
        write!(f, "{}: p50 {p50:.1} ms, p99 {p99:.1} ms, longest {longest:.1} ms", self.count)
    }
}

fn partition(user: usize) -> PartitionKey {
    PartitionKey::user(&format!("user-{user}"))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no panic")
}
