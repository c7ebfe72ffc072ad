//! The Redis store beside bare commands for the same bytes, by the same client over one connection.
//!
//! The server is this program's own, on a port of 127.0.0.1. Without `redis-server` the sections are left out.

use std::hint::black_box;
use std::slice;
use std::sync::Arc;
use std::time::{Duration, Instant};

use benches::PARTITION;
use benches::measure::{Contender, Samples, interleaved, nanoseconds, quantile};
use benches::sqlite::{Partitions, Tokens};
use cache_core::{CacheStore, Change, Changes, EntryId, LookupTerm, Protector};
use cache_crypto::{Envelope, Key};
use cache_redis::RedisStore;
use cache_testkit::redis::{Server, is_installed};
use redis::aio::MultiplexedConnection;
use redis::{Client, Cmd, Value};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::table::{Table, Target, Time};

const SIZES: [(usize, &str); 3] = [(3, "3"), (1_000, "1k"), (LARGE, "200k")];
const LARGE: usize = 200_000;
const SMALL: usize = 10;

/// Entries that are drawn, and asked for in turn.
const DRAWN: usize = 2_000;
/// Calls that a block times one by one.
const CALLS: usize = 100;
/// Calls under way at once where throughput is measured.
const IN_FLIGHT: usize = 32;
const ROUNDS: usize = 101;

/// What a hit may take beyond a bare `GET`, in microseconds.
const HIT: f64 = 10.0;
/// How many hits a second one process must reach.
const HITS_PER_SECOND: f64 = 40_000.0;

/// A server, stores on it with a prefix each, and a connection for bare commands.
struct Place {
    runtime: Runtime,
    bare: MultiplexedConnection,
    server: Server,
}

/// A store whose shared partition has these tokens.
struct Filled {
    tokens: Tokens,
    store: RedisStore,
    prefix: String,
}

impl Place {
    /// `None`: there is no `redis-server`, which is said.
    fn open() -> Option<Self> {
        if !is_installed() {
            return None;
        }
        let server = Server::start();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("the system gives threads");
        let client = Client::open(server.url()).expect("a usable address");
        let bare = runtime.block_on(client.get_multiplexed_async_connection()).expect("the server is there");
        Some(Self { runtime, bare, server })
    }

    /// A store with `count` tokens in one partition.
    fn filled(&self, count: usize, protector: Option<&Arc<dyn Protector>>) -> Filled {
        const PER_COMMIT: usize = 2_000;
        let tokens = Tokens { count, partitions: Partitions::One };
        let prefix = format!("{}-{count}", if protector.is_some() { "protected" } else { "plain" });
        // Large commits are given time.
        let store = RedisStore::at(self.server.url()).prefix(&prefix).deadline(Duration::from_secs(60));
        let store = match protector {
            Some(protector) => store.protector(Arc::clone(protector)),
            None => store.insecure_plaintext(),
        };
        let store = store.open().expect("a usable address");
        for from in (0..count).step_by(PER_COMMIT) {
            let puts = (from..count.min(from + PER_COMMIT)).map(|n| Change::put(tokens.refreshed(n)));
            let changes = Changes::new(puts.collect());
            let done = self.runtime.block_on(store.commit(&PARTITION, &changes)).expect("the server is there");
            assert!(done.skipped.is_empty(), "nothing newer is there");
        }
        Filled { tokens, store, prefix }
    }

    /// What the server answers to a bare command.
    fn ask(&self, arguments: &[&[u8]]) -> Value {
        let answer = self.runtime.block_on(ask(&self.bare, &command(arguments)));
        black_box(answer)
    }

    /// The key of the partition of a store.
    fn partition(&self, filled: &Filled) -> Vec<u8> {
        let pattern = format!("{}:{{*}}:h", filled.prefix);
        match self.ask(&[b"KEYS", pattern.as_bytes()]) {
            Value::Array(keys) => match &keys[..] {
                [Value::BulkString(key)] => key.clone(),
                _ => panic!("the store has one partition"),
            },
            _ => panic!("KEYS answers a list"),
        }
    }

    /// What the server keeps of one entry of a store.
    fn value(&self, filled: &Filled) -> Vec<u8> {
        let Value::Array(answer) =
            self.ask(&[b"HSCAN", &self.partition(filled), b"0", b"MATCH", b"e????????????????", b"COUNT", b"1000"])
        else {
            panic!("HSCAN answers a list")
        };
        match &answer[1] {
            Value::Array(fields) => match &fields[..] {
                [_, Value::BulkString(value), ..] => value.clone(),
                _ => panic!("among a thousand fields is an entry"),
            },
            _ => panic!("HSCAN answers fields"),
        }
    }

    /// As many string keys as the store has entries, each with as many bytes as one of these.
    fn mirror(&self, filled: &Filled) {
        const PER_REQUEST: usize = 1_000;
        let (count, value) = (filled.tokens.count, self.value(filled));
        for from in (0..count).step_by(PER_REQUEST) {
            let mut set = command(&[b"MSET"]);
            for n in from..count.min(from + PER_REQUEST) {
                set.arg(mirrored(count, n)).arg(&value);
            }
            black_box(self.runtime.block_on(ask(&self.bare, &set)));
        }
    }

    /// `GET` of these keys in the order in which [`hits`](Self::hits) asks for entries.
    fn gets<'a>(&'a self, filled: &Filled) -> Contender<'a> {
        let count = filled.tokens.count;
        let drawn = filled.tokens.drawn(DRAWN).into_iter();
        let gets: Vec<Cmd> = drawn.map(|n| command(&[b"GET", mirrored(count, n).as_bytes()])).collect();
        self.calls(async move |n| drop(black_box(ask(&self.bare, &gets[n % gets.len()]).await)))
    }

    /// A contender that times calls one by one, and answers their median; `ask` has the number of the call.
    fn calls<'a>(&'a self, ask: impl AsyncFn(usize) + 'a) -> Contender<'a> {
        let mut asked = 0;
        Box::new(move || {
            self.runtime.block_on(async {
                let mut times = Vec::with_capacity(CALLS);
                for _ in 0..CALLS {
                    let started = Instant::now();
                    ask(asked).await;
                    times.push(nanoseconds(started.elapsed()));
                    asked += 1;
                }
                quantile(&times, 0.5)
            })
        })
    }

    /// Calls of a bare command.
    fn bare(&self, arguments: &[&[u8]]) -> Contender<'_> {
        let command = command(arguments);
        self.calls(async move |_| drop(black_box(ask(&self.bare, &command).await)))
    }

    /// Hits on entries drawn over the store's partition.
    fn hits<'a>(&'a self, filled: &'a Filled) -> Contender<'a> {
        let ids = filled.ids();
        self.calls(async move |n| hit(&filled.store, &ids[n % ids.len()]).await)
    }

    /// A contender with this many calls under way on all threads, which answers the time per call.
    fn in_flight<'a, F: Future<Output = ()> + Send + 'static>(
        &'a self,
        task: impl Fn(usize) -> F + 'a,
    ) -> Contender<'a> {
        Box::new(move || {
            self.runtime.block_on(async {
                let started = Instant::now();
                let tasks: JoinSet<()> = (0..IN_FLIGHT).map(&task).collect();
                tasks.join_all().await;
                nanoseconds(started.elapsed()) / (IN_FLIGHT * CALLS) as f64
            })
        })
    }
}

impl Filled {
    /// The ids of entries drawn at random.
    fn ids(&self) -> Vec<EntryId> {
        self.tokens.drawn(DRAWN).into_iter().map(|n| self.tokens.refreshed(n).id).collect()
    }

    /// What tokens drawn at random are looked up by, without the first `skipped` of them.
    fn terms(&self, skipped: usize, count: usize) -> Vec<LookupTerm> {
        let drawn = self.tokens.drawn(skipped + count).into_iter().skip(skipped);
        drawn.map(|n| self.tokens.probe(n).query().lookup_term().expect("the query names a tenant")).collect()
    }
}

/// The name of a key that stands for entry `n` of so many.
fn mirrored(count: usize, n: usize) -> String {
    format!("bare:{count}:{n}")
}

async fn hit(store: &RedisStore, id: &EntryId) {
    let found = store.get(&PARTITION, slice::from_ref(id)).await.expect("the server is there");
    assert!(black_box(found)[0].is_some(), "a hit");
}

async fn ask(connection: &MultiplexedConnection, command: &Cmd) -> Value {
    let answer: Value = command.query_async(&mut connection.clone()).await.expect("the server is there");
    assert_ne!(answer, Value::Nil, "it is there");
    answer
}

fn command(arguments: &[&[u8]]) -> Cmd {
    let mut command = Cmd::new();
    for argument in arguments {
        command.arg(*argument);
    }
    command
}

fn protector() -> Arc<dyn Protector> {
    Arc::new(Envelope::with_key(Key::generate().expect("random numbers")))
}

pub(crate) fn read(table: &mut Table) {
    let Some(place) = Place::open() else { return };
    let key = protector();
    let [plain, sealed] = [None, Some(&key)].map(|key| SIZES.map(|(count, _)| place.filled(count, key)));
    one_entry(table, &place, &plain, &sealed);
    let small = [None, Some(&key)].map(|key| place.filled(SMALL, key));
    small_partition(table, &place, &small);
    find(table, &place, &small, [&plain[2], &sealed[2]]);
    stamp(table, &place, &plain[2]);
    throughput(table, &place, [&plain[0], &sealed[0]]);
}

fn one_entry(table: &mut Table, place: &Place, plain: &[Filled; 3], sealed: &[Filled; 3]) {
    const MEASURED: &str = "`CacheStore::get` of one entry, drawn over a partition of this size; limit: `GET` of as many bytes by \
                            the same client, drawn in the same order over as many keys, one connection for all calls; medians of \
                            calls";
    for (stores, form) in [(plain, ""), (sealed, ", protected")] {
        place.ask(&[b"SET", b"bare", &place.value(&stores[0])]);
        for filled in stores {
            place.mirror(filled);
        }
        let [few, thousand, many] = [0, 1, 2].map(|size| place.hits(&stores[size]));
        let [gets_few, gets_thousand, gets_many] = [0, 1, 2].map(|size| place.gets(&stores[size]));
        let one_key = place.bare(&[b"GET", b"bare"]);
        let contenders = [few, thousand, many, gets_few, gets_thousand, gets_many, one_key];
        let [few, thousand, many, gets_few, gets_thousand, gets_many, one_key] = interleaved(ROUNDS, contenders);
        let measured = [(&few, &gets_few), (&thousand, &gets_thousand), (&many, &gets_many)];
        for ((hits, gets), (_, size)) in measured.into_iter().zip(SIZES) {
            let figure = format!("Redis: one entry of {size}{form}");
            table.times(&figure, MEASURED, [hits, gets], Target::None);
            beyond(table, &format!("{figure}, beyond a bare GET"), BEYOND, [hits, gets]);
            beyond(
                table,
                &format!("{figure}, beyond a bare GET of one key"),
                "the median of the rounds' differences of `CacheStore::get` and of a `GET` that asks for the same key each time, \
                 so that the server has it in its processor's caches, and whatever leads to it",
                [hits, &one_key],
            );
        }
        table.times(
            &format!("Redis: one entry, 200k over 3{form}"),
            "the same of a partition of 200,000; limit: of one of three",
            [&many, &few],
            Target::AtMost(1.1),
        );
    }
}

const BEYOND: &str = "the median of the rounds' differences of these two";

/// A row of what ours takes more than the bare command.
fn beyond(table: &mut Table, figure: &str, measured: &'static str, [ours, bare]: [&Samples; 2]) {
    let more = ours.minus(bare);
    table.value(figure, measured, Time(more), Some((format!("<= {HIT} us"), more <= HIT * 1e3)));
}

fn small_partition(table: &mut Table, place: &Place, small: &[Filled; 2]) {
    for (filled, form) in small.iter().zip(["", ", protected"]) {
        let load = place.calls(async |_| {
            let found = filled.store.load(&PARTITION).await.expect("the server is there").expect("the partition");
            assert_eq!(black_box(found).entries.len(), SMALL);
        });
        let all = place.bare(&[b"HGETALL", &place.partition(filled)]);
        let [load, all] = interleaved(ROUNDS, [load, all]);
        table.times(
            &format!("Redis: a partition of {SMALL}{form}"),
            "`CacheStore::load`; limit: `HGETALL` of the same key",
            [&load, &all],
            Target::None,
        );
    }
}

fn find(table: &mut Table, place: &Place, small: &[Filled; 2], large: [&Filled; 2]) {
    let finds = |store: &RedisStore, terms: Vec<LookupTerm>| {
        let store = store.clone();
        place.calls(async move |n| {
            let term = slice::from_ref(&terms[n % terms.len()]);
            let found = store.find(&PARTITION, term).await.expect("the server is there").expect("the partition");
            assert_eq!(black_box(found).entries.len(), 1, "one token has the scope");
        })
    };
    for ((small, large), form) in small.iter().zip(large).zip(["", ", protected"]) {
        place.mirror(large);
        // What a round asks again it has asked for before.
        let again = large.terms(0, DRAWN);
        let first = large.terms(DRAWN, (ROUNDS + 1) * CALLS);
        place.runtime.block_on(async {
            for term in &again {
                large.store.find(&PARTITION, slice::from_ref(term)).await.expect("the server is there");
            }
        });
        let few = finds(&small.store, small.terms(0, DRAWN));
        let contenders = [finds(&large.store, again), finds(&large.store, first), few, place.gets(large)];
        let [again, first, few, gets] = interleaved(ROUNDS, contenders);
        table.times(
            &format!("Redis: find in 200k{form}"),
            "`CacheStore::find` of a token by one of its scopes in a partition of 200,000, which the store was asked for before; \
             limit: the same in one of ten",
            [&again, &few],
            Target::AtMost(1.1),
        );
        beyond(table, &format!("Redis: find in 200k{form}, beyond a bare GET"), FIND_BEYOND, [&again, &gets]);
        table.times(
            &format!("Redis: first find in 200k{form}"),
            "the same by scopes that the store is asked for the first time, so that the server runs a script; limit: `GET` of as many \
             bytes, drawn over as many keys",
            [&first, &gets],
            Target::None,
        );
    }
}

const FIND_BEYOND: &str =
    "the median of the rounds' differences of this and of `GET` of as many bytes, drawn over as many keys";

fn stamp(table: &mut Table, place: &Place, large: &Filled) {
    let stamp = |filled: &Filled| {
        let store = filled.store.clone();
        place.calls(async move |_| {
            let stamp = store.stamp(&PARTITION).await.expect("the server is there");
            assert!(black_box(stamp).is_some(), "the partition is there");
        })
    };
    let bare = place.bare(&[b"HGET", &place.partition(large), b"v"]);
    let [stamp, bare] = interleaved(ROUNDS, [stamp(large), bare]);
    table.times(
        "Redis: stamp",
        "`CacheStore::stamp` of a partition of 200,000; limit: `HGET` of a number in it",
        [&stamp, &bare],
        Target::None,
    );
}

fn throughput(table: &mut Table, place: &Place, [plain, sealed]: [&Filled; 2]) {
    for (filled, form) in [(plain, ""), (sealed, ", protected")] {
        place.ask(&[b"SET", b"bare", &place.value(filled)]);
        let ids: Arc<[EntryId]> = filled.ids().into();
        let hits = place.in_flight(|task| {
            let (store, ids) = (filled.store.clone(), Arc::clone(&ids));
            async move {
                for n in 0..CALLS {
                    hit(&store, &ids[(task * CALLS + n) % ids.len()]).await;
                }
            }
        });
        let gets = place.in_flight(|_| {
            let (connection, get) = (place.bare.clone(), command(&[b"GET", b"bare"]));
            async move {
                for _ in 0..CALLS {
                    black_box(ask(&connection, &get).await);
                }
            }
        });
        let [hits, gets] = interleaved(ROUNDS, [hits, gets]);
        let figure = format!("Redis: hits with {IN_FLIGHT} in flight{form}");
        let measured = "`CacheStore::get` of one entry of three by 32 tasks of one process on one store; limit: `GET` of as many \
                        bytes by as many on one connection";
        table.rates(&figure, measured, [&hits, &gets], (1.0, "hits/s"), Target::None);
        let per_second = 1e9 / hits.median();
        table.value(
            &format!("{figure}, a second"),
            measured,
            format_args!("{per_second:.0}"),
            Some((format!("> {HITS_PER_SECOND}"), per_second > HITS_PER_SECOND)),
        );
    }
}

pub(crate) fn commit(table: &mut Table) {
    /// Fields of the bare hash; more would take no longer.
    const FIELDS: usize = 1_000;
    let Some(place) = Place::open() else { return };
    let key = protector();
    for (key, form) in [(None, ""), (Some(&key), ", protected")] {
        let stores = SIZES.map(|(count, _)| place.filled(count, key));
        let value = place.value(&stores[0]);
        let fields: Vec<Vec<u8>> = (0..FIELDS).map(|n| format!("e{n:016}").into_bytes()).collect();
        for field in &fields {
            place.ask(&[b"HSET", b"bare-hash", field, &value]);
        }
        let [few, thousand, many] = [0, 1, 2].map(|size| {
            let Filled { tokens, store, .. } = &stores[size];
            place.commits(*tokens, store)
        });
        let bare = place.calls(async |n| {
            let set = command(&[b"HSET", b"bare-hash", &fields[n % FIELDS], &value]);
            black_box(ask(&place.bare, &set).await);
        });
        let [few, thousand, many, bare] = interleaved(ROUNDS, [few, thousand, many, bare]);
        for (commits, (_, size)) in [&few, &thousand, &many].into_iter().zip(SIZES) {
            table.times(
                &format!("Redis: commit of one change to {size}{form}"),
                "`CacheStore::commit` of one token that was renewed, with a new expiry, drawn over a partition of this size; limit: \
                 `HSET` of as many bytes in a hash of 1,000 fields",
                [commits, &bare],
                Target::None,
            );
        }
        table.times(
            &format!("Redis: commit, 200k over 3{form}"),
            "the same to a partition of 200,000; limit: to one of three",
            [&many, &few],
            Target::AtMost(1.1),
        );
    }
}

impl Place {
    /// A contender that times commits of one renewed token one by one, without what makes the token.
    fn commits<'a>(&'a self, tokens: Tokens, store: &'a RedisStore) -> Contender<'a> {
        let mut drawn = tokens.drawn(20_000).into_iter().cycle();
        Box::new(move || {
            let renewed = |n| Changes::new(vec![Change::put(tokens.refreshed(n))]);
            let changes: Vec<Changes> = drawn.by_ref().take(CALLS).map(renewed).collect();
            self.runtime.block_on(async {
                let mut times = Vec::with_capacity(CALLS);
                for changes in &changes {
                    let started = Instant::now();
                    let done = store.commit(&PARTITION, changes).await.expect("the server is there");
                    times.push(nanoseconds(started.elapsed()));
                    assert!(done.written.len() == 1 && done.before != done.after, "the change is one");
                }
                quantile(&times, 0.5)
            })
        })
    }
}
