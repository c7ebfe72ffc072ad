//! Signing out while the server takes no writes: nothing of the account is handed out any more, and nothing that was queued
//! before brings it back.
#![cfg(unix)]

mod common;

use cache_core::{
    AccessContext, AccessTokenQuery, CacheStore as _, Change, ErrorKind, PartitionKey, PersistedTokenCache, Result,
    TokenCache,
};
use cache_testkit::access_tokens::{ALICE, HOST, token};
use cache_testkit::entries::{account, refresh_token};
use cache_testkit::redis::is_installed;
use pollster::block_on;

use common::nodes::{NO_REPLICAS, Nodes, commit_to, is_queued, written};
use common::{SHARED, failure};

/// A sign-in that this node has queued is not in the server's list of the account yet.
#[test]
fn everywhere_is_also_what_is_queued() {
    if !is_installed() {
        return;
    }
    let nodes = Nodes::start();
    let cache = PersistedTokenCache::builder(nodes.disturbed.clone()).build();
    for (n, (is_back, is_emptied)) in
        [(false, false), (true, false), (false, true), (true, true)].into_iter().enumerate()
    {
        let partitions = [0, 1, 2].map(|of| PartitionKey::obo(&format!("{n} {of}")));
        nodes.refuse(NO_REPLICAS);
        for partition in &partitions {
            for entry in [account(ALICE), refresh_token("refresh")] {
                is_queued(commit_to(&nodes.disturbed, partition, Change::put(entry.of(ALICE, HOST).entry())));
            }
        }
        let bob = PartitionKey::obo(&format!("bob {n}"));
        let of_bob = refresh_token("of bob").of("bob", HOST).entry();
        is_queued(commit_to(&nodes.disturbed, &bob, Change::put(of_bob)));
        if is_emptied {
            nodes.server.flush();
        }
        // Some at a time.
        let listed = block_on(nodes.disturbed.partitions_with(ALICE, None, 2)).expect("listed");
        assert_eq!(listed.len(), 2);
        if is_back {
            nodes.allow();
        }
        let removed = block_on(cache.remove_account_everywhere(ALICE, HOST));
        if is_back {
            assert!(removed.expect("removed") >= partitions.len());
        } else {
            is_queued(removed);
        }
        nodes.allow();
        written(&nodes.disturbed);
        for partition in &partitions {
            assert_eq!(nodes.keys_in(partition), [""; 0], "back: {is_back}, emptied: {is_emptied}");
        }
        assert_eq!(nodes.keys_in(&bob), ["of bob"]);
    }
}

/// A server that can be read and not written still holds what was removed.
#[test]
fn what_was_removed_is_not_read_before_that_is_written() {
    if !is_installed() {
        return;
    }
    let nodes = Nodes::start();
    let cache = PersistedTokenCache::builder(nodes.disturbed.clone()).build();
    let sign_in = |tokens: &mut TokenCache| {
        tokens.insert(cache_core::schema::Account {
            home_account_id: ALICE.into(),
            environment: HOST.into(),
            ..Default::default()
        })?;
        tokens.insert(token("api", cache.now()))
    };
    let find = || {
        let query = AccessTokenQuery::user(ALICE, "client", "api://api/.default").with_realm("home");
        block_on(cache.access_token(&SHARED, &query))
    };
    let by_update = || {
        let removed = block_on(cache.update(&SHARED, |tokens| tokens.remove_account(ALICE, HOST)));
        removed.map(drop)
    };
    let by_library = || {
        let access = block_on(cache.before_access(&AccessContext::new(&SHARED)))?;
        let nothing = br#"{"AccessToken":{},"RefreshToken":{},"IdToken":{},"Account":{},"AppMetadata":{}}"#;
        block_on(access.after_access(Some(nothing))).map(drop)
    };
    let by_partition = || block_on(cache.remove_partition(&SHARED));
    let everywhere = || block_on(cache.remove_account_everywhere(ALICE, HOST)).map(drop);
    for (way, sign_out) in [
        ("update", &by_update as &dyn Fn() -> Result<()>),
        ("library", &by_library),
        ("partition", &by_partition),
        ("everywhere", &everywhere),
    ] {
        nodes.allow();
        block_on(cache.update(&SHARED, sign_in)).expect("written").value.expect("complete");
        assert!(find().expect("reach").is_some());
        nodes.refuse(NO_REPLICAS);
        is_queued(sign_out());
        for _ in 0..2 {
            let handed_out = find();
            assert_eq!(failure(handed_out).kind(), ErrorKind::Unavailable, "signed out by {way}");
        }
        assert_eq!(failure(block_on(nodes.disturbed.load(&SHARED))).kind(), ErrorKind::Unavailable);
        nodes.allow();
        assert!(find().expect("reach").is_none(), "signed out by {way}");
        written(&nodes.disturbed);
    }
}
