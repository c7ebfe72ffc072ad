//! What is no server, or not ours, or damaged, or full: the right kind of error each, nothing wrong handed out, nothing lost, and
//! never a fall-back to plaintext.
#![cfg(unix)]

mod common;

use std::io::Write as _;
use std::net::TcpListener;
use std::time::Duration;

use cache_core::{CacheStore as _, Change, Changes, EntryId, Error, ErrorKind, PartitionKey};
use cache_redis::{RedisStore, RedisStoreBuilder};
use cache_testkit::access_tokens::{ALICE, HOST, keys, put};
use cache_testkit::entries::access_token;
use cache_testkit::redis::{Cluster, Reply, Server, is_installed};

use common::{
    PATIENCE, SHARED, at, at_url, entries, entry_field, failure, fields, names, only_partition, protected, protector,
    protector_of, runtime, set_field,
};

/// Both ways to keep entries.
const KINDS: [fn(RedisStoreBuilder) -> RedisStoreBuilder; 2] =
    [RedisStoreBuilder::insecure_plaintext, |store| store.protector(protector())];

const PREFIX: &str = "token-cache";
const HEAD: &str = "token-cache:head";

/// A reader, a writer, a lister, a holder of leases: what each answers.
fn everything(store: &RedisStore) -> [Error; 5] {
    [
        failure(keys(store, &SHARED)),
        failure(put(store, &SHARED, "new")),
        failure(pollster::block_on(store.partitions(None, 9))),
        failure(pollster::block_on(store.lease(&SHARED, "refresh", Duration::ZERO)).map(drop)),
        failure(pollster::block_on(store.stamp(&SHARED))),
    ]
}

#[track_caller]
fn assert_all(store: RedisStoreBuilder, kind: ErrorKind) {
    for error in everything(&store.open().expect("a usable address")) {
        assert_eq!((error.kind(), error.store()), (kind, Some("redis")), "{error}");
    }
}

#[test]
fn credentials_that_are_refused_are_told_at_once() {
    if !is_installed() {
        return;
    }
    let server = Server::options().password("right").user("app", "on >secret ~token-cache:* +@all").start();
    let bare = format!("redis://127.0.0.1:{}", server.port());
    for url in [server.url_as("default", "wrong"), server.url_as("nobody", "secret"), server.url_as("app", "wrong")] {
        assert_all(at_url(&url).protector(protector()), ErrorKind::Denied);
    }
    assert_all(at_url(&bare).protector(protector()), ErrorKind::Denied);
    assert_all(at_url(&bare).credentials(None, "wrong").protector(protector()), ErrorKind::Denied);
    assert_eq!(names(&server, "*"), [""; 0]);
    for store in [
        at(&server),
        at_url(&server.url_as("app", "secret")),
        at_url(&bare).credentials(None, "right"),
        at_url(&bare).credentials(Some("app"), "secret"),
    ] {
        put(&store.protector(protector()).open().expect("a usable address"), &SHARED, "a").expect("allowed");
    }
}

/// What the store asks for, and nothing else, on keys that begin with its prefix: the rule for the ACL of a server.
const COMMANDS: [&str; 19] = [
    "get",
    "set",
    "eval",
    "evalsha",
    "time",
    "hget",
    "hmget",
    "hgetall",
    "hscan",
    "hset",
    "hdel",
    "pexpire",
    "pttl",
    "unlink",
    "zadd",
    "zrangebylex",
    "zrangebyscore",
    "zscore",
    "zrem",
];

fn with_commands(commands: impl IntoIterator<Item = &'static str>) -> Server {
    let commands = commands.into_iter().collect::<Vec<_>>().join(" +");
    Server::options().user("app", &format!("on >secret ~{PREFIX}:* +{commands}")).start()
}

/// What the client asks the nodes of a cluster for besides.
const COMMANDS_OF_CLUSTERS: [&str; 3] = ["cluster|slots", "ping", "asking"];

/// All that the store does, by a user of the server.
fn use_all(server: &Server) -> Result<(), Error> {
    let store = at_url(&server.url_as("app", "secret")).protector(protector()).open().expect("a usable address");
    use_all_of(&store, std::slice::from_ref(server))
}

/// The same with partitions in these servers.
fn use_all_of(store: &RedisStore, servers: &[Server]) -> Result<(), Error> {
    let user = PartitionKey::user("alice.home");
    let entry = access_token("a").of(ALICE, HOST).entry();
    for partition in [&SHARED, &user] {
        let lease = pollster::block_on(store.lease(partition, "refresh", Duration::ZERO))?;
        let changes = Changes::new(vec![Change::put(entry.clone())]).with_fence("refresh", lease.fence());
        pollster::block_on(store.commit(partition, &changes))?;
        pollster::block_on(lease.release())?;
        put(store, partition, "b")?;
        pollster::block_on(store.load(partition))?;
        pollster::block_on(store.find(partition, &entry.lookup_terms()))?;
        pollster::block_on(store.get(partition, std::slice::from_ref(&entry.id)))?;
        pollster::block_on(store.stamp(partition))?;
        pollster::block_on(store.commit(partition, &Changes::new(vec![Change::remove(entry.id.clone())])))?;
        pollster::block_on(store.partitions(None, 9))?;
        pollster::block_on(store.reprotect())?;
    }
    pollster::block_on(store.remove(&SHARED))?;
    let removal = Changes::new(vec![Change::remove(EntryId::new("AccessToken", "b"))]);
    pollster::block_on(store.commit(&user, &removal))?;
    // Takes from the list those that were listed long ago.
    for server in servers {
        for list in &names(server, "*:t") {
            for tag in server.command(&["ZRANGE", list, "0", "-1"]).items() {
                let Reply::Bytes(tag) = tag else { panic!("a tag") };
                server.command(&[b"ZADD", list.as_bytes(), b"1", tag]);
            }
        }
    }
    pollster::block_on(store.partitions(None, 9)).map(drop)
}

#[test]
fn the_least_rule_of_an_acl_is_enough_and_none_of_it_is_too_much() {
    if !is_installed() {
        return;
    }
    let server = with_commands(COMMANDS);
    use_all(&server).expect("all that is needed");
    assert_eq!(
        server.command(&["ACL", "LOG"]).items().len(),
        0,
        "nothing was refused: {}",
        server.command(&["ACL", "LOG"])
    );
    for without in COMMANDS {
        let server = with_commands(COMMANDS.into_iter().filter(|command| *command != without));
        let error = use_all(&server).expect_err(without);
        assert_eq!((error.kind(), error.store()), (ErrorKind::Denied, Some("redis")), "without {without}: {error}");
    }
}

#[test]
fn in_a_cluster_the_rule_lets_the_client_ask_where_keys_are() {
    if !is_installed() {
        return;
    }
    let cluster = Cluster::start();
    for node in cluster.nodes() {
        let commands = COMMANDS.into_iter().chain(COMMANDS_OF_CLUSTERS).map(|command| format!("+{command}"));
        let rule = ["ACL", "SETUSER", "app", "on", ">secret"].map(str::to_owned).into_iter();
        let rule: Vec<String> = rule.chain([format!("~{PREFIX}:*")]).chain(commands).collect();
        assert_eq!(node.command(&rule).to_string(), "OK");
        node.command(&["ACL", "LOG", "RESET"]);
    }
    let store = RedisStore::cluster(cluster.urls()).deadline(PATIENCE).validation_deadline(PATIENCE);
    let store = store.runtime(runtime()).credentials(Some("app"), "secret").protector(protector());
    use_all_of(&store.open().expect("usable addresses"), &cluster.nodes()[..3]).expect("all that is needed");
    for node in cluster.nodes() {
        let refused = node.command(&["ACL", "LOG"]);
        assert_eq!(refused.items().len(), 0, "nothing was refused: {refused}");
    }
}

#[test]
fn keys_beyond_the_pattern_of_an_acl_are_denied() {
    if !is_installed() {
        return;
    }
    let server = Server::options().user("app", "on >secret ~elsewhere:* +@all").start();
    assert_all(at_url(&server.url_as("app", "secret")).protector(protector()), ErrorKind::Denied);
    let elsewhere = at_url(&server.url_as("app", "secret")).prefix("elsewhere").protector(protector());
    put(&elsewhere.open().expect("a usable address"), &SHARED, "a").expect("allowed");
}

#[test]
fn what_is_no_server_of_redis_is_told_and_nobody_waits_for_ever() {
    let short = |url: &str| at_url(url).deadline(Duration::from_millis(200)).protector(protector());
    let listener = || TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = |listener: &TcpListener| format!("redis://{}", listener.local_addr().expect("bound"));
    // Nothing listens there any more.
    let nobody = url(&listener());
    assert_all(short(&nobody), ErrorKind::Unavailable);
    // It accepts, and says nothing: the system accepts for it.
    let silent = listener();
    assert_all(short(&url(&silent)), ErrorKind::Unavailable);
    let garbage = listener();
    let address = url(&garbage);
    std::thread::spawn(move || {
        for stream in garbage.incoming() {
            // Who connected may be gone.
            let _ = stream.and_then(|mut stream| stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
        }
    });
    for error in everything(&short(&address).open().expect("a usable address")) {
        assert!(matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::Unavailable), "{:?} {error}", error.kind());
    }
    for url in ["", "127.0.0.1", "http://127.0.0.1", "redis://", "redis://:x", "redis://127.0.0.1:port"] {
        let error = failure(short(url).open());
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{url:?}: {error}");
    }
    assert_eq!(failure(RedisStore::at("redis://127.0.0.1").open()).kind(), ErrorKind::InvalidInput, "no protection");
}

#[test]
fn without_a_runtime_the_caller_is_told_what_is_missing() {
    let store = RedisStore::at("redis://127.0.0.1:1").insecure_plaintext().open().expect("a usable address");
    for error in everything(&store) {
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
}

#[test]
fn what_another_program_keeps_at_our_keys_is_left_alone() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    for open in KINDS {
        let own = || open(at(&server));
        // At the head: a string of theirs, a newer format, none at all, other types.
        for (value, kind) in [
            (&b"theirs"[..], ErrorKind::Unsupported),
            (b"\x02whatever", ErrorKind::Unsupported),
            (b"\xff", ErrorKind::Unsupported),
            (b"", ErrorKind::Corrupt),
            (b"\x01", ErrorKind::Corrupt),
            (b"\x01\x02", ErrorKind::Corrupt),
            (b"\0", ErrorKind::Corrupt),
        ] {
            server.flush();
            server.command(&[b"SET", HEAD.as_bytes(), value]);
            assert_all(own(), kind);
            assert_eq!(
                server.command(&["GET", HEAD]).to_string().as_bytes(),
                String::from_utf8_lossy(value).as_bytes()
            );
            assert_eq!(names(&server, "*"), [HEAD]);
        }
        server.flush();
        server.command(&["HSET", HEAD, "a", "b"]);
        assert_all(own(), ErrorKind::Unsupported);
        // At a partition.
        server.flush();
        let store = own().open().expect("a usable address");
        put(&store, &SHARED, "a").expect("written");
        let partition = only_partition(&server, PREFIX);
        for theirs in [&["SET", &*partition, "theirs"][..], &["RPUSH", &partition, "theirs"]] {
            server.command(&["DEL", &partition]);
            server.command(theirs);
            for error in [
                failure(keys(&store, &SHARED)),
                failure(put(&store, &SHARED, "b")),
                failure(pollster::block_on(store.stamp(&SHARED))),
                failure(pollster::block_on(store.get(&SHARED, &[EntryId::new("AccessToken", "a")]))),
                failure(pollster::block_on(store.partitions(None, 9))),
            ] {
                assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
            }
            assert!(server.command(&["DUMP", &partition]).to_string().contains("theirs"));
        }
    }
}

#[test]
fn keys_that_do_not_fit_are_told_apart_and_nothing_is_written() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    for (made, opened, kind) in [
        (at(&server).protector(protector()), at(&server).protector(protector_of(8)), ErrorKind::Undecryptable),
        (at(&server).protector(protector()), at(&server).insecure_plaintext(), ErrorKind::KeyUnavailable),
        (at(&server).insecure_plaintext(), at(&server).protector(protector()), ErrorKind::Unsupported),
    ] {
        server.flush();
        put(&made.clone().open().expect("a usable address"), &SHARED, "a").expect("written");
        let before = (names(&server, "*"), fields(&server, &only_partition(&server, PREFIX)));
        let errors = everything(&opened.open().expect("a usable address"));
        assert!(errors.iter().all(|error| error.kind() == kind), "{errors:?}");
        assert_eq!((names(&server, "*"), fields(&server, &only_partition(&server, PREFIX))), before);
        assert_eq!(keys(&made.open().expect("a usable address"), &SHARED).expect("all is there"), ["a"]);
    }
}

#[test]
fn a_field_that_was_cut_off_is_left_out_and_its_next_write_heals_it() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    for open in KINDS {
        server.flush();
        let store = open(at(&server)).open().expect("a usable address");
        put(&store, &SHARED, "cut").expect("written");
        let key = only_partition(&server, PREFIX);
        let (tag, whole) = entries(&server, &key).pop_first().expect("one");
        put(&store, &SHARED, "sound").expect("written");
        let handed_out = || {
            let loaded = pollster::block_on(store.load(&SHARED)).expect("loaded").expect("something is there");
            (loaded.entries.len(), loaded.unreadable.len())
        };
        for length in 0..whole.len() {
            set_field(&server, &key, &entry_field(&tag), &whole[..length]);
            assert_eq!(handed_out(), (1, 1), "at {length}");
            let id = EntryId::new("AccessToken", "cut");
            assert!(pollster::block_on(store.get(&SHARED, &[id])).expect("read")[0].is_none(), "at {length}");
            // The same content as before.
            put(&store, &SHARED, "cut").expect("written");
            assert_eq!(handed_out(), (2, 0), "at {length}");
        }
        assert_eq!(keys(&store, &SHARED).expect("read"), ["cut", "sound"]);
    }
}

#[test]
fn damage_beside_the_entries_is_told_as_such() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    for field in ["v", "n", "x"] {
        server.flush();
        let store = protected(&server);
        put(&store, &SHARED, "a").expect("written");
        set_field(&server, &only_partition(&server, PREFIX), field.as_bytes(), b"no number");
        for error in [keys(&store, &SHARED).err(), put(&store, &SHARED, "b").err()].into_iter().flatten() {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{field}: {error}");
        }
    }
}

#[test]
fn a_server_whose_memory_is_full_refuses_and_keeps_what_it_has() {
    if !is_installed() {
        return;
    }
    let server = Server::options().maxmemory("4mb").start();
    let store = protected(&server);
    let huge = |key: &str, size: usize| {
        let entry = access_token(key).of(ALICE, HOST).secret(&"x".repeat(size)).entry();
        pollster::block_on(store.commit(&SHARED, &Changes::new(vec![Change::put(entry)])))
    };
    put(&store, &SHARED, "before").expect("written");
    let refused = (0..100).find_map(|n| huge(&format!("huge {n}"), 1 << 20).err()).expect("there is no room for them");
    assert_eq!((refused.kind(), refused.store()), (ErrorKind::Unavailable, Some("redis")), "{refused}");
    let found = pollster::block_on(store.load(&SHARED)).expect("loaded").expect("something is there");
    assert!(found.entries.iter().any(|stored| stored.entry.id.key() == "before") && found.unreadable.is_empty());
    // Removing makes room, and needs none.
    let remove = |stored: &cache_core::Stored| Change::remove(stored.entry.id.clone());
    let removals = found.entries.iter().filter(|stored| stored.entry.id.key() != "before").map(remove);
    pollster::block_on(store.commit(&SHARED, &Changes::new(removals.collect()))).expect("removed");
    put(&store, &SHARED, "after").expect("written");
    assert_eq!(keys(&store, &SHARED).expect("read"), ["after", "before"]);
}

/// Redis takes no value beyond `proto-max-bulk-len`, 512 MB if nothing is said, and closes the connection.
#[test]
fn an_entry_that_the_server_never_takes_is_refused_and_others_go_on() {
    if !is_installed() {
        return;
    }
    let server = Server::options().setting("proto-max-bulk-len 1mb").start();
    let store = at(&server).protector(protector()).open().expect("a usable address");
    put(&store, &SHARED, "before").expect("written");
    let entry = access_token("huge").of(ALICE, HOST).secret(&"x".repeat(3 << 20)).entry();
    let error = failure(pollster::block_on(store.commit(&SHARED, &Changes::new(vec![Change::put(entry)]))));
    assert!(matches!(error.kind(), ErrorKind::TooLarge | ErrorKind::Unavailable), "{:?} {error}", error.kind());
    put(&store, &SHARED, "after").expect("written");
    assert_eq!(keys(&store, &SHARED).expect("read"), ["after", "before"]);
}

#[test]
fn scripts_that_were_flushed_are_told_again() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let store = protected(&server);
    for n in 0..5 {
        put(&store, &SHARED, &n.to_string()).expect("written");
        server.command(&["SCRIPT", "FLUSH"]);
        assert_eq!(keys(&store, &SHARED).expect("read").len(), n + 1);
        server.command(&["SCRIPT", "FLUSH"]);
        let lease = pollster::block_on(store.lease(&SHARED, "refresh", Duration::ZERO)).expect("nobody has it");
        server.command(&["SCRIPT", "FLUSH"]);
        pollster::block_on(lease.release()).expect("released");
    }
}
