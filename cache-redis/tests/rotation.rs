//! Another key: old ones may go once everything is protected anew, while others read and write.
#![cfg(unix)]

mod common;

use std::sync::Arc;

use cache_core::{CacheStore as _, ErrorKind, PartitionKey, Protector};
use cache_crypto::{Envelope, Key, KeyRing};
use cache_redis::RedisStore;
use cache_testkit::access_tokens::{keys, put};
use cache_testkit::redis::{Server, is_installed};
use pollster::block_on;

use common::{at, failure};

/// A store that writes with the first of these keys, and reads with all.
fn with_keys(server: &Server, keys: &[u8]) -> RedisStore {
    let mut keys = keys.iter().map(|byte| KeyRing::from(Key::from_bytes(&[*byte; Key::LEN])));
    let first = keys.next().expect("a key");
    let protector: Arc<dyn Protector> = Arc::new(Envelope::with_key_ring(keys.fold(first, KeyRing::and)));
    at(server).protector(protector).open().expect("a usable address")
}

fn user(number: usize) -> PartitionKey {
    PartitionKey::user(&format!("{number}.utid"))
}

#[test]
fn everything_is_protected_anew_while_others_write() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let old = with_keys(&server, &[1]);
    for number in 0..3 {
        for n in 0..150 {
            put(&old, &user(number), &format!("{n:03}")).expect("written");
        }
    }
    let before = keys(&old, &user(0)).expect("read");
    let stamp = block_on(old.stamp(&user(0))).expect("read");
    assert_eq!(failure(block_on(with_keys(&server, &[2]).load(&user(0)))).kind(), ErrorKind::KeyUnavailable);

    let both = with_keys(&server, &[2, 1]);
    let writer = std::thread::spawn({
        let both = with_keys(&server, &[2, 1]);
        move || (0..50).for_each(|n| drop(put(&both, &user(9), &format!("w{n}")).expect("written")))
    });
    let done = block_on(both.reprotect()).expect("protected anew");
    writer.join().expect("written");
    assert!(done >= 450, "{done}");

    let new = with_keys(&server, &[2]);
    for number in 0..3 {
        assert_eq!(keys(&new, &user(number)).expect("read"), before);
    }
    assert_eq!(keys(&new, &user(9)).expect("read").len(), 50);
    assert_eq!(block_on(new.stamp(&user(0))).expect("read"), stamp, "what is stored has not changed");
    assert_eq!(block_on(new.partitions(None, 100)).expect("listed").len(), 4);
    let (loaded, stats) = (block_on(new.load(&user(1))).expect("read").expect("it is there"), new.stats());
    assert_eq!((loaded.unreadable.len(), stats.unreadable), (0, 0));
    // Who has both keys goes on; who has the old one alone does not, once it has looked.
    put(&both, &user(0), "more").expect("written");
    let error = failure(block_on(with_keys(&server, &[1]).load(&user(0))));
    assert_eq!(error.kind(), ErrorKind::KeyUnavailable, "the old key opens nothing");
    // Once more: nothing is in the way of a rotation after this one.
    assert!(block_on(with_keys(&server, &[3, 2]).reprotect()).expect("protected anew") >= 500);
    assert_eq!(keys(&with_keys(&server, &[3]), &user(1)).expect("read"), before);
}

#[test]
fn there_is_no_key_to_change_where_there_is_none() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    assert_eq!(block_on(with_keys(&server, &[1]).reprotect()).expect("nothing to do"), 0);
    let plaintext = at(&server).prefix("plain").insecure_plaintext().open().expect("a usable address");
    put(&plaintext, &user(0), "a").expect("written");
    assert_eq!(failure(block_on(plaintext.reprotect())).kind(), ErrorKind::InvalidInput);
}

/// Entries that are left under a key that is not at hand are counted, so that nobody retires it too early.
#[test]
fn what_is_left_under_another_key_is_counted_and_told() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    put(&with_keys(&server, &[1]), &user(0), "old").expect("written");
    put(&with_keys(&server, &[2, 1]), &user(0), "new").expect("written");
    // It opens the store by the old key, and has not got the new one yet.
    let behind = with_keys(&server, &[1]);
    let loaded = block_on(behind.load(&user(0))).expect("read").expect("it is there");
    assert_eq!((loaded.entries.len(), loaded.unreadable.len(), behind.stats().unreadable), (1, 1, 1));
    assert_eq!(keys(&behind, &user(0)).expect("read"), ["old"]);
}
