//! Two nodes that keep content in memory, as they are by default: neither works on what the other one has changed since.
#![cfg(unix)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use cache_core::{
    AccessTokenQuery, Clock, ManualClock, PartitionKey, PersistedTokenCache, RefreshTokenQuery, TokenCache, UnixSeconds,
};
use cache_testkit::access_tokens::{ALICE, HOST, response, secret_of};
use cache_testkit::redis::{Server, is_installed};

use common::{block_on, protected};

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

struct Nodes {
    _server: Server,
    clock: Arc<ManualClock>,
    partition: PartitionKey,
    caches: [PersistedTokenCache; 2],
}

impl Nodes {
    fn start() -> Self {
        let (server, clock) = (Server::start(), Arc::new(ManualClock::at(NOW)));
        let caches = [(); 2].map(|()| {
            let cache = PersistedTokenCache::builder(protected(&server));
            cache.clock(Arc::clone(&clock) as Arc<dyn Clock>).build()
        });
        Self { _server: server, clock, partition: PartitionKey::user(ALICE), caches }
    }

    fn sign_in(&self, node: usize) {
        self.write(node, |tokens| tokens.sign_in(response("first", NOW)).expect("complete"));
    }

    /// Whether the response was taken.
    fn refresh(&self, node: usize, name: &str) -> bool {
        self.write(node, |tokens| tokens.insert_response(response(name, NOW)).expect("complete"))
    }

    fn write<T>(&self, node: usize, change: impl FnOnce(&mut TokenCache) -> T) -> T {
        let updated = block_on(self.caches[node].update(&self.partition, change)).expect("updated");
        assert_eq!(updated.skipped, []);
        updated.value
    }

    /// The secret of the access token of this name, as a request of the node finds it.
    fn find(&self, node: usize, name: &str) -> Option<String> {
        let scope = format!("api://{name}/.default");
        let query = AccessTokenQuery::user(ALICE, "client", &*scope).with_environment(HOST).with_realm("home");
        let found = block_on(self.caches[node].access_token(&self.partition, &query)).expect("reach");
        found.map(|token| token.secret.expose().to_owned())
    }

    /// What the node would spend at the identity provider.
    fn refresh_token(&self, node: usize) -> Option<String> {
        let first = |tokens: &TokenCache| {
            let query = RefreshTokenQuery::user(ALICE, "client", HOST);
            tokens.refresh_tokens(&query).first().map(|(_, token)| token.secret.expose().to_owned())
        };
        block_on(self.caches[node].read(&self.partition, first)).expect("read")
    }
}

#[test]
fn in_turns_nothing_is_lost() {
    if !is_installed() {
        return;
    }
    let nodes = Nodes::start();
    nodes.sign_in(0);
    for n in 0..50 {
        // Each has in memory what was there before the other one's turn.
        assert!(nodes.refresh(n % 2, &n.to_string()));
    }
    let kept = |tokens: &TokenCache| tokens.access_tokens().count();
    for node in &nodes.caches {
        assert_eq!(block_on(node.read(&nodes.partition, kept)).expect("read"), 51);
    }
    assert_eq!(nodes.find(0, "49"), Some(secret_of("49")), "what is not in memory is looked for");
}

#[test]
fn no_spent_refresh_token_is_used() {
    if !is_installed() {
        return;
    }
    let nodes = Nodes::start();
    nodes.sign_in(0);
    for n in 0..10 {
        let (one, other) = (n % 2, (n + 1) % 2);
        let before = nodes.refresh_token(other);
        assert!(before.is_some() && nodes.find(other, "first").is_some(), "it has it in memory");
        nodes.refresh(one, &n.to_string());
        assert_eq!(nodes.refresh_token(other), Some(n.to_string()));
    }
}

#[test]
fn a_sign_out_is_seen_within_the_bound_and_stays() {
    if !is_installed() {
        return;
    }
    let nodes = Nodes::start();
    nodes.sign_in(0);
    assert_eq!(nodes.find(1, "first"), Some(secret_of("first")));
    let removed = block_on(nodes.caches[0].remove_account_everywhere(ALICE, HOST));
    assert_eq!(removed.expect("removed"), 1);
    assert_eq!(nodes.refresh_token(1), None, "at once");
    // A response that comes late.
    assert!(!nodes.refresh(1, "late"), "nobody is signed in");
    nodes.clock.advance(Duration::from_secs(30));
    for node in [0, 1] {
        assert_eq!((nodes.find(node, "first"), nodes.find(node, "late")), (None, None));
        assert!(block_on(nodes.caches[node].read(&nodes.partition, TokenCache::is_empty)).expect("read"));
    }
}
