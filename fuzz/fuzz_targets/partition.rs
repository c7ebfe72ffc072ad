//! A partition's key through every form that a store gives it, and back: bytes, a sealed name, a listing.

#![no_main]

use arbitrary::Arbitrary;
use cache_core::{
    AppPartition, CacheStore as _, Change, Changes, Context, ErrorKind, MemoryStore, PartitionKey, Protector as _,
};
use cache_crypto::{Envelope, Key};
use cache_testkit::entries::refresh_token;
use libfuzzer_sys::fuzz_target;
use pollster::block_on;

#[derive(Arbitrary, Debug)]
enum Given<'a> {
    Shared,
    User(&'a str),
    App { client_id: &'a str, tenant: Option<&'a str>, pop_key_id: Option<&'a str>, extended: Option<&'a str> },
    Obo(&'a str),
    LongRunning(&'a str),
    Custom(&'a str),
    Bytes(&'a [u8]),
}

/// What is done to a key's bytes.
#[derive(Arbitrary, Debug)]
struct Damage<'a> {
    changed: Option<(u16, u8)>,
    cut: Option<u16>,
    appended: &'a [u8],
}

fuzz_target!(|given: (Given<'_>, Given<'_>, Damage<'_>)| {
    let keys = [key(&given.0), key(&given.1)];
    for key in keys.iter().flatten() {
        comes_back(key);
        names_one_key_or_none(&given.2.applied(key.to_bytes()));
    }
    if let [Some(a), Some(b)] = &keys {
        assert_eq!(a == b, a.to_bytes() == b.to_bytes(), "equal exactly if their bytes are");
        are_listed(a, b);
    }
});

/// The key; of bytes, the one that they name, if they name one.
fn key(given: &Given<'_>) -> Option<PartitionKey> {
    Some(match given {
        Given::Shared => PartitionKey::Shared,
        Given::User(id) => PartitionKey::user(id),
        Given::App { client_id, tenant, pop_key_id, extended } => {
            let mut app = AppPartition::new(client_id, *tenant);
            if let Some(id) = pop_key_id {
                app = app.with_pop_key_id(id);
            }
            if let Some(hash) = extended {
                app = app.with_extended_key_hash(hash);
            }
            app.into()
        }
        Given::Obo(assertion) => PartitionKey::obo(assertion),
        Given::LongRunning(key) => PartitionKey::long_running(key),
        Given::Custom(key) => PartitionKey::custom(key),
        Given::Bytes(bytes) => return names_one_key_or_none(bytes),
    })
}

fn names_one_key_or_none(bytes: &[u8]) -> Option<PartitionKey> {
    match PartitionKey::from_bytes(bytes) {
        Ok(key) => {
            assert_eq!(key.to_bytes(), bytes, "no other bytes name this key");
            Some(key)
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            None
        }
    }
}

impl Damage<'_> {
    fn applied(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        let place = |at: u16| usize::from(at) % bytes.len();
        let (changed, cut) = (self.changed.map(|(at, bits)| (place(at), bits)), self.cut.map(place));
        if let Some((at, bits)) = changed {
            bytes[at] ^= bits;
        }
        bytes.truncate(cut.unwrap_or(bytes.len()));
        bytes.extend_from_slice(self.appended);
        bytes
    }
}

fn comes_back(key: &PartitionKey) {
    let bytes = key.to_bytes();
    assert_eq!(PartitionKey::from_bytes(&bytes).expect("own bytes"), *key);

    let envelope = Envelope::with_key(Key::from_bytes(&[7; Key::LEN]));
    let name = envelope.protect(&bytes, &Context::name("file")).expect("a name");
    let opened = envelope.unprotect(&name, &Context::name("file")).expect("own name");
    assert_eq!(PartitionKey::from_bytes(opened.expose()).expect("own bytes"), *key);

    // How the libraries spell it: never a panic, and only the shared cache has no name.
    let shared = *key == PartitionKey::Shared;
    for spelled in [key.net(), key.go(), key.node()] {
        assert_eq!(spelled.is_none(), shared);
    }
    let shown = format!("{key:?}");
    assert_eq!(
        shown,
        if shared { "PartitionKey(shared)".to_owned() } else { format!("PartitionKey({}, ..)", key.kind()) }
    );
}

/// Both are listed once, whatever the size of a page, and each holds its own.
fn are_listed(a: &PartitionKey, b: &PartitionKey) {
    let store = MemoryStore::new();
    for (key, name) in [(a, "a"), (b, "b")] {
        let put = Changes::new(vec![Change::put(refresh_token(name).entry())]);
        block_on(store.commit(key, &put)).expect("nothing fails");
    }
    let (mut listed, mut after) = (Vec::new(), None);
    while let Some(next) = block_on(store.partitions(after.as_ref(), 1)).expect("nothing fails").pop() {
        listed.push(next.clone());
        after = Some(next);
    }
    let mut expected = vec![a.clone(), b.clone()];
    expected.sort();
    expected.dedup();
    assert_eq!(listed, expected);
    let count = |key| block_on(store.load(key)).expect("nothing fails").map_or(0, |held| held.entries.len());
    assert_eq!([count(a), count(b)], if a == b { [2, 2] } else { [1, 1] });
}
