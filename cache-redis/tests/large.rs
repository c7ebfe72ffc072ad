//! One partition with very many entries: what is asked of it is read, and nothing else.
#![cfg(unix)]

mod common;

use cache_core::schema::section;
use cache_core::{
    AccessTokenQuery, CacheStore as _, Change, Changes, Entry, EntryId, PartitionKey, PersistedTokenCache, UnixSeconds,
};
use cache_redis::RedisStore;
use cache_testkit::entries::access_token;
use cache_testkit::promises::length;
use cache_testkit::redis::{Server, is_installed};

use common::{at, block_on, protector};

const HOST: &str = "login.windows.net";
const CLIENT: &str = "client";
/// Far more than the answer to a request for one entry, far less than a partition.
const FEW: u64 = 16 << 10;

/// An application in many tenants keeps one token for each, all in one partition.
fn token(tenant: usize, secret: &str) -> Entry {
    let token = access_token(&format!("-{HOST}-accesstoken-{CLIENT}-tenant-{tenant}-a b"));
    let token = token.field("client_id", CLIENT).field("environment", HOST).field("home_account_id", "");
    let token = token.field("realm", &format!("tenant-{tenant}")).field("target", "a b").secret(secret);
    token.expires(UnixSeconds(4_000_000_000)).entry()
}

fn commit(store: &RedisStore, partition: &PartitionKey, changes: Vec<Change>) {
    let done = block_on(store.commit(partition, &Changes::new(changes))).expect("committed");
    assert_eq!(done.skipped, []);
}

/// How many bytes the server has ever sent.
fn sent(server: &Server) -> u64 {
    let stats = server.command(&["INFO", "stats"]).to_string();
    let sent = stats.lines().find_map(|line| line.strip_prefix("total_net_output_bytes:")).expect("it counts");
    sent.trim().parse().expect("a number")
}

#[test]
fn a_partition_of_very_many_entries_is_never_read_whole() {
    if !is_installed() {
        return;
    }
    let many = length(200_000, 5_000);
    let server = Server::start();
    let store = at(&server).protector(protector()).open().expect("a usable address");
    let partition = PartitionKey::app(CLIENT, Some("tenant"));
    for page in (0..many).collect::<Vec<_>>().chunks(1_000) {
        let puts = page.iter().map(|tenant| Change::put(token(*tenant, &format!("secret-{tenant}")))).collect();
        commit(&store, &partition, puts);
    }

    let before = sent(&server);
    let cache = PersistedTokenCache::builder(store.clone()).build();
    let steps = 50;
    for n in 0..steps {
        let tenant = n * (many / steps);
        let realm = format!("tenant-{tenant}");
        // A part of its scopes: no id has them.
        let query = |scope| AccessTokenQuery::app(CLIENT, scope).with_environment(HOST).with_realm(&realm);
        let found = block_on(cache.access_token(&partition, &query("b"))).expect("found").expect("it is there");
        assert_eq!(found.secret.expose(), format!("secret-{tenant}"));
        assert!(block_on(cache.access_token(&partition, &query("c"))).expect("looked for").is_none());
        let ids = [EntryId::new(section::ACCESS_TOKEN, token(tenant, "").id.key())];
        assert!(block_on(store.get(&partition, &ids)).expect("read")[0].is_some());
        commit(&store, &partition, vec![Change::put(token(tenant, "renewed"))]);
        let found = block_on(cache.access_token(&partition, &query("a"))).expect("found").expect("it is there");
        assert!(["renewed", &format!("secret-{tenant}")].contains(&found.secret.expose()));
    }
    assert!(sent(&server) - before < 10 * FEW * steps as u64, "{} bytes for {steps} tenants", sent(&server) - before);

    // Nor to remove one, nor to find out that it is the last one of its kind.
    let before = sent(&server);
    commit(&store, &partition, vec![Change::remove(token(7, "").id)]);
    assert!(sent(&server) - before < FEW);
    assert_eq!(block_on(store.load(&partition)).expect("whole, as asked for").expect("there").entries.len(), many - 1);
    block_on(store.remove(&partition)).expect("removed");
    assert!(block_on(store.stamp(&partition)).expect("asked").is_none());
}
