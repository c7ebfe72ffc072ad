//! What the partition of a user of a web app takes in Redis.

use std::sync::Arc;
use std::time::Duration;

use benches::NOW;
use benches::users::{partition, sign_in};
use cache_core::{PersistedTokenCache, Protector};
use cache_crypto::{Envelope, Key};
use cache_redis::RedisStore;
use cache_testkit::redis::{Server, is_installed};
use tokio::runtime::Runtime;

use crate::table::Table;

/// So many partitions are measured together.
const USERS: usize = 2_000;

/// How long the server may take for an answer before the measurement is given up.
const PATIENCE: Duration = Duration::from_secs(60);

const MEASURED: &str = "what a partition adds to `used_memory` of the server, with its place in the lists, of 2,000 partitions: as many \
                        access tokens of 1.5 kB, a refresh token of 1.3 kB, an ID token of 0.7 kB, and an account";

pub(crate) fn measure(table: &mut Table) {
    if !is_installed() {
        eprintln!("redis-server is not installed: what partitions take in it is not measured");
        return;
    }
    let server = Server::start();
    let runtime = Runtime::new().expect("the system gives threads");
    let protector: Arc<dyn Protector> = Arc::new(Envelope::with_key(Key::from_bytes(&[7; Key::LEN])));
    for access_tokens in [1, 3] {
        for form in ["plaintext", "protected"] {
            server.command(&["FLUSHALL"]);
            let store = RedisStore::at(server.url()).deadline(PATIENCE).validation_deadline(PATIENCE);
            let store =
                if form == "protected" { store.protector(Arc::clone(&protector)) } else { store.insecure_plaintext() };
            let cache = PersistedTokenCache::builder(store.open().expect("a usable address")).build();
            // With what all partitions share.
            runtime.block_on(fill(&cache, 0, access_tokens));
            let before = used_memory(&server);
            for user in 1..=USERS {
                runtime.block_on(fill(&cache, user, access_tokens));
            }
            let bytes = (used_memory(&server) - before) / USERS;
            let tokens = if access_tokens == 1 { "access token" } else { "access tokens" };
            let figure = format!("Redis: memory of a user with {access_tokens} {tokens}, {form}");
            table.value(&figure, MEASURED, format_args!("{bytes} B"), None);
        }
    }
}

async fn fill(cache: &PersistedTokenCache, user: usize, access_tokens: usize) {
    let done = cache.update(&partition(user), |tokens| sign_in(tokens, user, access_tokens, 0, NOW)).await;
    assert!(done.expect("the server is there").skipped.is_empty(), "nothing newer is there");
}

fn used_memory(server: &Server) -> usize {
    let info = server.command(&["INFO", "memory"]).to_string();
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("the server tells");
    used.trim().parse().expect("a number")
}
