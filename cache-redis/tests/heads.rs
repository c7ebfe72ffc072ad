//! Servers that are emptied, or lose the head of the store alone, at the worst moments: removals count, leases have one holder,
//! and what is acknowledged is found and listed by all.
#![cfg(unix)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use cache_core::{CacheStore as _, Change, Changes, EntryId, ErrorKind, PartitionKey, Result};
use cache_redis::RedisStore;
use cache_testkit::access_tokens::{ALICE, HOST, keys, put};
use cache_testkit::redis::{Server, is_installed};

use common::proxy::{Asked, in_front_of};
use common::{SHARED, at_url, failure, names, only_partition, protected, protected_at, protector, wait_until};

const HEAD: &str = "token-cache:head";

fn user(name: &str) -> PartitionKey {
    PartitionKey::user(name)
}

fn listed(store: &RedisStore) -> Vec<PartitionKey> {
    pollster::block_on(store.partitions(None, 100)).expect("listed")
}

/// A node that goes by the head of a server which was emptied since, and one that has made another head.
fn apart(server: &Server) -> [RedisStore; 2] {
    server.flush();
    let [old, new] = [protected(server), protected(server)];
    put(&old, &user("other"), "a").expect("written");
    server.flush();
    put(&new, &SHARED, "a").expect("written");
    [old, new]
}

/// Each way to remove all that a partition holds.
fn removals() -> [fn(&RedisStore) -> Result<()>; 3] {
    fn commit(store: &RedisStore, change: Change) -> Result<()> {
        pollster::block_on(store.commit(&SHARED, &Changes::new(vec![change]))).map(drop)
    }
    [
        |store| pollster::block_on(store.remove(&SHARED)),
        |store| commit(store, Change::remove(EntryId::new("AccessToken", "a"))),
        |store| {
            let environments = [HOST.into()].into();
            commit(store, Change::RemoveAccount { home_account_id: ALICE.into(), environments })
        },
    ]
}

/// Within the second that a miss is believed for, too.
#[test]
fn a_sign_out_counts_at_once_after_the_server_was_emptied() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    for remove in removals() {
        let [old, new] = apart(&server);
        remove(&old).expect("acknowledged");
        assert!(keys(&new, &SHARED).expect("read").is_empty(), "what is acknowledged is done");
        assert!(names(&server, "*:h").is_empty());
    }
}

#[test]
fn a_lease_has_one_holder_after_the_server_was_emptied() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let take = |store: &RedisStore| pollster::block_on(store.lease(&SHARED, "refresh", Duration::ZERO));
    for first in [0, 1] {
        let nodes = apart(&server);
        let held = take(&nodes[first]).expect("free");
        assert_eq!(failure(take(&nodes[1 - first])).kind(), ErrorKind::Busy, "whoever is first");
        drop(held);
    }
}

#[test]
fn nodes_that_went_by_different_heads_come_together() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let (old, new) = (protected(&server), protected(&server));
    put(&old, &SHARED, "before").expect("written");
    // As a server does that needs room.
    server.command(&["DEL", HEAD]);
    put(&new, &user("other"), "a").expect("written");
    pollster::block_on(new.remove(&SHARED)).expect("acknowledged");
    wait_until(|| keys(&old, &SHARED).expect("read").is_empty());
    put(&old, &SHARED, "after").expect("written");
    assert_eq!(keys(&new, &SHARED).expect("read"), ["after"]);
    assert_eq!(keys(&old, &user("other")).expect("read"), ["a"]);
}

#[test]
fn a_running_node_puts_a_lost_head_back() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let uses: [fn(&RedisStore); 2] =
        [|store| drop(keys(store, &SHARED).expect("read")), |store| drop(put(store, &SHARED, "a").expect("written"))];
    for use_it in uses {
        server.flush();
        let store = protected(&server);
        put(&store, &SHARED, "a").expect("written");
        server.command(&["DEL", HEAD]);
        wait_until(|| {
            use_it(&store);
            names(&server, HEAD) == [HEAD]
        });
        let late = protected(&server);
        assert_eq!(keys(&late, &SHARED).expect("read"), ["a"], "nothing is lost to those who come later");
        assert_eq!(listed(&late), [SHARED]);
    }
}

/// Partitions of an earlier head stay in the list until they expire.
#[test]
fn paging_ends_and_lists_nothing_twice_after_the_head_was_lost() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let users: Vec<PartitionKey> = (0..12).map(|n| user(&n.to_string())).collect();
    let old = protected(&server);
    for user in &users {
        put(&old, user, "a").expect("written");
    }
    server.command(&["DEL", HEAD]);
    let new = protected(&server);
    // Some of them anew: their names are there twice.
    for user in &users[..5] {
        put(&new, user, "a").expect("written");
    }
    let all = listed(&new);
    assert!(all.len() == 5 && users[..5].iter().all(|user| all.contains(user)), "{all:?}");
    for limit in 1..=6 {
        let (mut after, mut paged) = (None, Vec::new());
        // Each page but the last has at least one.
        for _ in 0..=all.len() {
            let page = pollster::block_on(new.partitions(after.as_ref(), limit)).expect("listed");
            after = page.last().cloned();
            paged.extend(page);
            if after.is_none() {
                break;
            }
        }
        assert_eq!((after, paged), (None, all.clone()), "in pages of {limit}");
    }
}

#[test]
fn a_commit_is_found_and_listed_though_the_server_was_emptied_just_before() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    // Its head is in the server, and in its list, when it is about to be made.
    let (control, is_emptied) = (std::sync::Mutex::new(server.connect()), AtomicBool::new(false));
    let url = in_front_of(&server, move |request| {
        if request.is_listed_commit() && !is_emptied.swap(true, Ordering::SeqCst) {
            control.lock().expect("no panic").command(&["FLUSHALL"]).expect("a server");
        }
        None
    });
    put(&protected_at(&url), &SHARED, "a").expect("acknowledged");
    let other = protected(&server);
    assert_eq!(keys(&other, &SHARED).expect("read"), ["a"]);
    assert_eq!(listed(&other), [SHARED]);
}

#[test]
fn who_comes_second_goes_by_the_head_of_the_first() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let (first, is_made) = (protected(&server), AtomicBool::new(false));
    let url = in_front_of(&server, {
        let first = first.clone();
        move |request| {
            // Between its look at the head and its own one.
            if request.is("SET") && !is_made.swap(true, Ordering::SeqCst) {
                put(&first, &SHARED, "first").expect("written");
            }
            None
        }
    });
    let second = protected_at(&url);
    put(&second, &SHARED, "second").expect("written");
    for store in [&first, &second] {
        assert_eq!(keys(store, &SHARED).expect("read"), ["first", "second"]);
    }
    only_partition(&server, "token-cache");
}

#[test]
fn a_commit_ends_though_its_partition_can_never_be_made() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let commits = Arc::new(AtomicUsize::new(0));
    let url = in_front_of(&server, {
        let commits = Arc::clone(&commits);
        // It was listed too long ago, and so again and again.
        move |request| {
            (request.asked() == Asked::Commit).then(|| {
                commits.fetch_add(1, Ordering::SeqCst);
                b"*3\r\n$4\r\nlist\r\n$1\r\n0\r\n$1\r\n0\r\n".to_vec()
            })
        }
    });
    let error = failure(put(&protected_at(&url), &SHARED, "a"));
    assert_eq!((error.kind(), error.store()), (ErrorKind::Unavailable, Some("redis")), "{error}");
    assert!(commits.load(Ordering::SeqCst) < 50, "{commits:?} commits were sent for one");
    assert!(names(&server, "*:h").is_empty());
}

#[test]
fn what_is_acknowledged_after_many_flushes_is_seen_and_listed_by_all() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let nodes: Vec<RedisStore> = (0..4).map(|_| protected(&server)).collect();
    let users: Vec<PartitionKey> = (0..5).map(|n| user(&n.to_string())).collect();
    for run in 0..15 {
        std::thread::scope(|scope| {
            for node in &nodes {
                // What comes of these is unknown.
                scope.spawn(|| users.iter().for_each(|user| drop(put(node, user, "storm"))));
            }
            (0..10).for_each(|_| server.flush());
        });
        for (n, node) in nodes.iter().enumerate() {
            for user in &users {
                put(node, user, &n.to_string()).expect("written");
            }
        }
        for node in &nodes {
            for user in &users {
                let mut found = keys(node, user).expect("read");
                found.retain(|key| key != "storm");
                assert_eq!(found, ["0", "1", "2", "3"], "of {user:?} in run {run}");
            }
            assert_eq!(listed(node).len(), users.len(), "in run {run}");
        }
    }
}

/// What is asked for has the deadline of its own, also when the head has to be looked at first.
#[test]
fn a_look_at_the_head_takes_no_time_away() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let looks = Arc::new(AtomicUsize::new(0));
    let url = in_front_of(&server, {
        let looks = Arc::clone(&looks);
        move |request| {
            if request.is("GET") {
                looks.fetch_add(1, Ordering::SeqCst);
                // Longer than a stamp would be waited for.
                std::thread::sleep(Duration::from_millis(50));
            }
            None
        }
    });
    let store =
        at_url(&url).validation_deadline(Duration::ZERO).protector(protector()).open().expect("a usable address");
    // The head is looked at anew after two seconds.
    wait_until(|| {
        put(&store, &SHARED, "a").expect("in time");
        assert_eq!(keys(&store, &SHARED).expect("in time"), ["a"]);
        looks.load(Ordering::SeqCst) >= 3
    });
}
