//! Partitions in the layout of another library: what stands in Redis, what is refused, what of others' doings is made good.
#![cfg(unix)]

mod common;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cache_core::{
    CacheStore as _, Change, Changes, Clock as _, Entry, ErrorKind, PartitionKey, SystemClock, UnixMillis,
};
use cache_redis::{RedisPeerStore, RedisStore};
use cache_testkit::entries::{access_token, account, refresh_token};
use cache_testkit::redis::{Reply, Server, is_installed};

use common::{at, at_url, block_on, failure, fields, protector, proxy, set_field};

const ALICE: &str = "a11ce.tenant";
const BOB: &str = "b0b.tenant";
const HOST: &str = "login.windows.net";
const KEY: &str = "web:a11ce.tenant";
const DAYS_90: i64 = 90 * 24 * 3600 * 1000;

fn alice() -> PartitionKey {
    PartitionKey::user(ALICE)
}

fn idweb(server: &Server) -> RedisPeerStore {
    at(server).insecure_plaintext().idweb("web:").open().expect("a usable address")
}

fn node(server: &Server) -> RedisPeerStore {
    at(server).insecure_plaintext().node("").open().expect("a usable address")
}

fn now() -> UnixMillis {
    SystemClock.now()
}

/// What a sign-in leaves.
fn signed_in(user: &str, secret: &str) -> Vec<Entry> {
    let whole_seconds = now().to_seconds();
    vec![
        account(&format!("{user}-account")).of(user, HOST).at(now()).entry(),
        refresh_token(&format!("{user}-rt")).of(user, HOST).secret(secret).at(now()).entry(),
        token(user, "User.Read", whole_seconds.plus(3600).0),
    ]
}

fn token(user: &str, scope: &str, expires_on: i64) -> Entry {
    let token = access_token(&format!("{user}-{scope}")).of(user, HOST).field("target", scope).secret(scope);
    token.at(now().to_seconds().to_millis()).expires(cache_core::UnixSeconds(expires_on)).entry()
}

fn put(store: &RedisPeerStore, partition: &PartitionKey, entries: &[Entry]) {
    let puts: Vec<Change> = entries.iter().cloned().map(Change::put).collect();
    let done = block_on(store.commit(partition, &Changes::new(puts))).expect("commit");
    assert_eq!(done.skipped, []);
}

fn keys(store: &RedisPeerStore, partition: &PartitionKey) -> Vec<String> {
    let loaded = block_on(store.load(partition)).expect("load");
    let entries = loaded.map(|snapshot| snapshot.entries).unwrap_or_default();
    let mut keys: Vec<String> = entries.iter().map(|stored| stored.entry.id.key().to_owned()).collect();
    keys.sort();
    keys
}

fn ttl(server: &Server, key: &str) -> i64 {
    match server.command(&["PTTL", key]) {
        Reply::Integer(ttl) => ttl,
        other => panic!("no time to live: {other}"),
    }
}

fn text(server: &Server, field: &str) -> String {
    let fields = fields(server, KEY);
    String::from_utf8(fields.get(field.as_bytes()).expect("the field is there").clone()).expect("text")
}

#[test]
fn idweb_stands_in_the_fields_of_the_redis_cache_of_dotnet() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let store = idweb(&server);
    put(&store, &alice(), &signed_in(ALICE, "one"));
    assert_eq!(
        fields(&server, KEY).keys().map(|name| String::from_utf8_lossy(name)).collect::<Vec<_>>(),
        ["absexp", "data", "sldexp"]
    );
    assert_eq!(text(&server, "sldexp"), "-1");
    // With a refresh token 90 days, which the library is told too.
    let left = ttl(&server, KEY);
    assert!((DAYS_90 - 600_000..=DAYS_90).contains(&left), "{left}");
    let ticks: i64 = text(&server, "absexp").parse().expect("a number");
    let at = ticks / 10_000 - 62_135_596_800_000;
    assert!((at - now().0 - left).abs() < 600_000, "{at}");
    let document = text(&server, "data");
    assert!(document.contains(r#""secret":"one""#), "{document}");
    // An application's, without a refresh token: as long as its last access token.
    let app = PartitionKey::app("client", Some("tenant"));
    put(&store, &app, &[access_token("app").secret("app").expires(now().to_seconds().plus(3600)).entry()]);
    let left = ttl(&server, "web:client_tenant_AppTokenCache");
    assert!((3_000_000..=3_600_000).contains(&left), "{left}");
    assert_eq!(block_on(store.partitions(None, 10)).expect("partitions"), [alice(), app]);
}

#[test]
fn node_stands_in_a_string() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let store = node(&server);
    put(&store, &alice(), &signed_in(ALICE, "one"));
    assert!(server.command(&["GET", ALICE]).to_string().contains("one"));
    let left = ttl(&server, ALICE);
    assert!((DAYS_90 - 600_000..=DAYS_90).contains(&left), "{left}");
    // The plugin leaves an empty text, or a document without an entry, where nothing is left: nothing is there.
    for (n, nothing) in ["", r#"{"Account":{},"IdToken":{},"AccessToken":{},"RefreshToken":{},"AppMetadata":{}}"#]
        .into_iter()
        .enumerate()
    {
        let user = format!("{n}.{BOB}");
        server.command(&["SET", &user, nothing]);
        let bob = PartitionKey::user(&user);
        assert!(block_on(store.load(&bob)).expect("load").is_none());
        assert_eq!(block_on(store.stamp(&bob)).expect("stamp"), None);
        put(&store, &bob, &signed_in(&user, "two"));
        assert_eq!(keys(&store, &bob).len(), 3);
    }
}

#[test]
fn the_other_field_set_is_read_and_written() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let store = idweb(&server);
    set_field(&server, KEY, b"dv", br#"{"RefreshToken":{"rt":{"secret":"theirs"}}}"#);
    assert_eq!(keys(&store, &alice()), ["rt"]);
    put(&store, &alice(), &signed_in(ALICE, "ours"));
    let names = fields(&server, KEY);
    assert_eq!(names.keys().map(|name| String::from_utf8_lossy(name)).collect::<Vec<_>>(), ["aev", "dv"]);
    assert_eq!(keys(&store, &alice()).len(), 4);
}

#[test]
fn a_sliding_expiration_goes_on_sliding_and_a_stale_one_is_replaced() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let store = idweb(&server);
    set_field(&server, KEY, b"data", br#"{"RefreshToken":{"rt":{"secret":"theirs"}}}"#);
    // Twenty minutes.
    set_field(&server, KEY, b"sldexp", b"12000000000");
    set_field(&server, KEY, b"absexp", b"-1");
    server.command(&["PEXPIRE", KEY, "5000"]);
    assert_eq!(keys(&store, &alice()), ["rt"]);
    assert!(ttl(&server, KEY) > 1_000_000, "a read keeps it");
    server.command(&["PEXPIRE", KEY, "5000"]);
    put(&store, &alice(), &signed_in(ALICE, "ours"));
    assert_eq!(text(&server, "sldexp"), "12000000000");
    let left = ttl(&server, KEY);
    assert!((1_000_000..=1_200_000).contains(&left), "{left}");
    // Without one, the time to live of an application's token is no longer right once a refresh token is there.
    set_field(&server, KEY, b"sldexp", b"-1");
    server.command(&["PEXPIRE", KEY, "5000"]);
    put(&store, &alice(), &[token(ALICE, "another", now().to_seconds().plus(60).0)]);
    assert!(ttl(&server, KEY) > DAYS_90 - 600_000);
}

#[test]
fn what_is_not_ours_to_write_over_is_told_and_left() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let store = idweb(&server);
    for (value, kind) in [
        (&b"\x09\xf0\xc9\xf0 and what only .NET opens"[..], ErrorKind::Unsupported),
        (b"no JSON", ErrorKind::Corrupt),
        (b"[1,2,3]", ErrorKind::Corrupt),
        (br#"{"AccessToken":{"k":{"sec"#, ErrorKind::Corrupt),
    ] {
        set_field(&server, KEY, b"data", value);
        let changes = Changes::new(vec![Change::put(signed_in(ALICE, "ours").remove(0))]);
        for error in [failure(block_on(store.load(&alice()))), failure(block_on(store.commit(&alice(), &changes)))] {
            assert_eq!(error.kind(), kind, "{error}");
            assert_eq!(error.store(), Some("redis"));
        }
        assert_eq!(fields(&server, KEY)[&b"data"[..]], value);
        assert_eq!(block_on(store.partitions(None, 10)).expect("partitions"), [alice()]);
    }
    let error = failure(block_on(store.remove(&alice())));
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    server.command(&["DEL", KEY]);
    server.command(&["SET", KEY, "text"]);
    assert_eq!(failure(block_on(store.load(&alice()))).kind(), ErrorKind::Unsupported);
    let changes = Changes::new(vec![Change::put(signed_in(ALICE, "ours").remove(0))]);
    assert_eq!(failure(block_on(store.commit(&alice(), &changes))).kind(), ErrorKind::Unsupported);
    assert_eq!(server.command(&["GET", KEY]).to_string(), "text");
}

#[test]
fn settings_that_the_library_does_not_have_are_refused() {
    let at = || RedisStore::at("redis://localhost");
    for builder in [at().protector(protector()), at(), at().insecure_plaintext().most_entries(10)] {
        assert_eq!(failure(builder.clone().idweb("").open()).kind(), ErrorKind::InvalidInput);
        assert_eq!(failure(builder.node("").open()).kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn another_users_records_are_left_out_and_go_with_the_next_write() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let store = idweb(&server);
    // What Microsoft.Identity.Web stores under Alice's key when it cannot read what is there: Bob's partition.
    put(&store, &PartitionKey::user(BOB), &signed_in(BOB, "bobs"));
    let bobs = fields(&server, "web:b0b.tenant").remove(&b"data"[..]).expect("it was written");
    set_field(&server, KEY, b"data", &bobs);
    assert_eq!(keys(&store, &alice()), Vec::<String>::new());
    assert_eq!(store.stats().foreign, 3);
    put(&store, &alice(), &signed_in(ALICE, "alices"));
    assert!(!text(&server, "data").contains("bobs"), "it goes with the next write");
    assert_eq!(keys(&store, &alice()).len(), 3);
    assert_eq!(keys(&store, &PartitionKey::user(BOB)).len(), 3, "of Bob nothing was lost");
}

/// A writer as the libraries are: it has read before, and writes over what was written meanwhile.
#[test]
fn what_a_careless_writer_drops_is_put_back() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    for layout in ["idweb", "node"] {
        server.flush();
        let store = if layout == "idweb" { idweb(&server) } else { node(&server) };
        let (key, read) = match layout {
            "idweb" => (KEY, ["HGET", KEY, "data"].to_vec()),
            _ => (ALICE, ["GET", ALICE].to_vec()),
        };
        put(&store, &alice(), &signed_in(ALICE, "first"));
        let stale = server.command(&read).to_string();
        put(&store, &alice(), &[token(ALICE, "later", now().to_seconds().plus(3600).0)]);
        match layout {
            "idweb" => set_field(&server, key, b"data", stale.as_bytes()),
            _ => drop(server.command(&["SET", key, &stale])),
        }
        let stamp = block_on(store.stamp(&alice())).expect("stamp");
        assert_eq!(keys(&store, &alice()).len(), 4, "{layout}: also the token of later");
        assert_eq!(store.stats().put_back, 1);
        assert_ne!(block_on(store.stamp(&alice())).expect("stamp"), stamp, "it is in the document again");
        assert!(server.command(&read).to_string().contains("later"));
        // Who signs out has read before: what he takes out stays out.
        let empty = r#"{"AccessToken":{},"RefreshToken":{},"IdToken":{},"Account":{},"AppMetadata":{}}"#;
        let document = server.command(&read).to_string();
        let mark = mark_of(&document);
        let signed_out = empty.replacen("{}", &format!("{{{mark}}}"), 1);
        match layout {
            "idweb" => set_field(&server, key, b"data", signed_out.as_bytes()),
            _ => drop(server.command(&["SET", key, &signed_out])),
        }
        assert_eq!(keys(&store, &alice()), Vec::<String>::new(), "{layout}");
        // Or he deletes the key.
        put(&store, &alice(), &signed_in(ALICE, "again"));
        server.command(&["UNLINK", key]);
        assert_eq!(keys(&store, &alice()), Vec::<String>::new(), "{layout}");
        put(&store, &alice(), &signed_in(ALICE, "at last")[..1]);
        assert_eq!(keys(&store, &alice()).len(), 1, "{layout}: nothing comes back with it");
    }
}

/// The mark that every write of ours leaves, cut from a document.
fn mark_of(document: &str) -> &str {
    let at = document.find("\"tokencache-marker").expect("a mark");
    let length = document[at..].find('}').expect("its end");
    &document[at..=at + length]
}

#[test]
fn the_mark_keeps_no_partition_alive() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let store = idweb(&server);
    put(&store, &alice(), &signed_in(ALICE, "one"));
    let document = text(&server, "data");
    let mark = mark_of(&document);
    assert!(mark.contains(r#""expires_on":"1""#), "{mark}");
    assert!(!format!("{:?}", block_on(store.load(&alice()))).contains("marker"));
}

/// The answer to a write is lost, and another writes before it is sent again.
#[test]
fn a_write_that_is_sent_again_does_not_take_anothers_document_for_its_own() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    // Too large to be looked into for its stamp.
    let theirs = format!(r#"{{"RefreshToken":{{"rt":{{"secret":"theirs{}"}}}}}}"#, "x".repeat(4_000));
    let is_first = AtomicBool::new(false);
    let url = proxy::in_front_of(&server, {
        let direct = Mutex::new(server.connect());
        move |request| {
            // The fields of a write begin with the type of the document's key.
            if request.has("put") && is_first.swap(false, Ordering::SeqCst) {
                let mut direct = direct.lock().expect("no panic");
                direct.command(&request.0).expect("written");
                direct.command(&["SET", ALICE, &theirs]).expect("written over");
            }
            is_first.fetch_or(request.has("arm"), Ordering::SeqCst);
            None
        }
    });
    let store = at_url(&url).insecure_plaintext().node("").open().expect("a usable address");
    let arm = || block_on(store.load(&PartitionKey::custom("arm"))).expect("nothing is there");
    put(&store, &alice(), &signed_in(ALICE, "first"));
    // Another than what would be put back.
    arm();
    let puts = Changes::new(vec![Change::put(token(ALICE, "later", now().to_seconds().plus(3600).0))]);
    let after = block_on(store.commit(&alice(), &puts)).expect("committed").after;
    assert!(server.command(&["GET", ALICE]).to_string().contains("theirs"));
    assert_ne!(block_on(store.stamp(&alice())).expect("stamp"), after, "what is there now is not what was written");
    assert!(keys(&store, &alice()).contains(&"rt".to_owned()));
}

#[test]
fn a_partition_that_is_kept_for_ever_has_a_time_to_live_all_the_same() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    for kept_for in [Duration::MAX, Duration::from_millis(u64::MAX / 2)] {
        let at = || at(&server).kept_for(kept_for).insecure_plaintext();
        for (key, store) in [("a11ce.tenant", at().node("").open()), (KEY, at().idweb("web:").open())] {
            put(&store.expect("a usable address"), &alice(), &signed_in(ALICE, "one"));
            assert!(ttl(&server, key) > DAYS_90, "{key}");
        }
        server.flush();
    }
}

#[test]
fn others_partitions_are_not_looked_into_to_sign_a_user_out() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    for store in [idweb(&server), node(&server)] {
        server.flush();
        let session = PartitionKey::custom("session");
        for (partition, user) in [(alice(), ALICE), (PartitionKey::user(BOB), BOB), (session.clone(), ALICE)] {
            put(&store, &partition, &signed_in(user, "one"));
        }
        let listed = block_on(store.partitions_with(ALICE, None, 10)).expect("listed");
        assert_eq!(listed, [alice(), session.clone()]);
        let rest = block_on(store.partitions_with(ALICE, Some(&alice()), 10)).expect("listed");
        assert_eq!(rest, [session]);
    }
}

/// The one of the crate's page.
const RULE: &str = "on >secret ~web:* ~token-cache:beside:* +eval +evalsha +type +get +set +hget +hmget +hset +hdel \
                    +pexpire +unlink +time +scan";

#[test]
fn a_rule_of_an_acl_is_enough() {
    if !is_installed() {
        return;
    }
    let server = Server::options().user("app", RULE).start();
    let store = common::at_url(&server.url_as("app", "secret")).insecure_plaintext().idweb("web:");
    let store = store.open().expect("a usable address");
    put(&store, &alice(), &signed_in(ALICE, "one"));
    assert_eq!(keys(&store, &alice()).len(), 3);
    let lease = block_on(store.lease(&alice(), "refresh", common::PATIENCE)).expect("a lease");
    block_on(lease.release()).expect("release");
    assert_eq!(block_on(store.partitions(None, 10)).expect("partitions"), [alice()]);
    block_on(store.remove(&alice())).expect("remove");
    assert_eq!(block_on(store.stamp(&alice())).expect("stamp"), None);
    assert_eq!(store.stats().unanswered, 0);
}
