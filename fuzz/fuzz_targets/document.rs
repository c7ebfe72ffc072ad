//! Any bytes as a unified cache document: no panic, memory bounded by the input, and what is written is a fixed point.

#![no_main]

use std::collections::BTreeSet;

use cache_core::{Blob, Entry, ErrorKind, TokenCache, UnifiedDocument};
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;

/// Bytes of memory that one byte of input may cost while all forms of it are held, and what an empty input may cost.
const MEMORY_PER_BYTE: u64 = 512;
const MEMORY: u64 = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    let memory = allocation_counter::measure(|| check(&Blob::copy_of(bytes)));
    let bound = MEMORY + MEMORY_PER_BYTE * bytes.len() as u64;
    assert!(memory.bytes_max <= bound, "{} bytes take {} bytes of memory", bytes.len(), memory.bytes_max);
});

fn check(bytes: &Blob) {
    match (UnifiedDocument::parse(bytes), TokenCache::deserialize(bytes.expose())) {
        (Ok(document), Ok(cache)) => {
            is_written_alike(&document);
            is_cached_alike(&cache);
            assert_eq!(ids(cache.entries()), ids(document.into_entries()), "the cache holds what the document holds");
        }
        (Err(parsed), Err(deserialized)) => {
            assert_eq!(parsed.kind(), deserialized.kind());
            assert!(matches!(parsed.kind(), ErrorKind::Corrupt | ErrorKind::TooLarge), "{parsed}");
        }
        (parsed, deserialized) => panic!("{:?} but {:?}", parsed.is_ok(), deserialized.is_ok()),
    }
    if let Some(salvaged) = UnifiedDocument::salvage(bytes) {
        is_written_alike(&salvaged);
    }
}

/// What was written is JSON, holds the same entries, and is written the same again.
fn is_written_alike(document: &UnifiedDocument) {
    let written = document.render();
    is_json(&written);
    let again = UnifiedDocument::parse(&written).expect("what was written is a document");
    assert!(!again.is_changed(), "nothing was put");
    assert_eq!(again.render(), written, "the second writing is the first");
    assert_eq!(entries(again.into_entries()), entries(document.clone().into_entries()), "no entry is lost or changed");
}

fn is_cached_alike(cache: &TokenCache) {
    let written = cache.serialize();
    is_json(&written);
    let again = TokenCache::deserialize(written.expose()).expect("what was written is a document");
    assert_eq!(again.serialize(), written, "the second writing is the first");
    assert_eq!(again.len(), cache.len());
    assert_eq!(entries(again.entries()), entries(cache.entries()), "no entry is lost or changed");
}

/// Strict JSON, but for text inside an entry that was not UTF-8 when it came: that is carried through as it is.
fn is_json(written: &Blob) {
    let text = String::from_utf8_lossy(written.expose());
    serde_json::from_str::<&RawValue>(&text).expect("what was written is JSON");
}

/// Whole entries in the order of their ids.
fn entries(entries: impl Iterator<Item = Entry>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = entries.collect();
    entries.sort_by(|a, b| a.id.cmp(&b.id));
    entries
}

/// Ids and JSON in order. The facts beside them are the store's to read.
fn ids(entries: impl Iterator<Item = Entry>) -> BTreeSet<(String, String, Vec<u8>)> {
    let named =
        entries.map(|entry| (entry.id.section().to_owned(), entry.id.key().to_owned(), entry.json.expose().to_vec()));
    named.collect()
}
