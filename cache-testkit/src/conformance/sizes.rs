//! Entries from the smallest to 10 MB, and many of them.

use cache_core::{Change, Entry};

use super::Setup;
use super::setup::{ALICE, PUBLIC, put_over};
use crate::entries::{refresh_token, unclassifiable};

/// An entity that says nothing.
pub async fn an_entity_of_one_empty_field(setup: &Setup<'_>) {
    survives(setup, &unclassifiable("RefreshToken", "rt", r#"{"a":""}"#)).await;
}

/// A secret of no bytes.
pub async fn a_secret_of_no_bytes(setup: &Setup<'_>) {
    survives(setup, &token(0)).await;
}

/// A secret of one byte.
pub async fn a_secret_of_one_byte(setup: &Setup<'_>) {
    survives(setup, &token(1)).await;
}

/// A secret of 4 KB, as an access token with many claims.
pub async fn a_secret_of_4_kb(setup: &Setup<'_>) {
    survives(setup, &token(4 << 10)).await;
}

/// Secrets around 64 KiB, where many formats need a wider length.
pub async fn secrets_around_64_kib(setup: &Setup<'_>) {
    let bare = token(0).json.len();
    for length in [(64 << 10) - 1, 64 << 10, (64 << 10) + 1] {
        survives(setup, &token(length)).await;
        survives(setup, &token(length - bare)).await;
    }
}

/// A secret of 1 MB.
pub async fn a_secret_of_1_mb(setup: &Setup<'_>) {
    survives(setup, &token(1 << 20)).await;
}

/// A secret of 10 MB.
pub async fn a_secret_of_10_mb(setup: &Setup<'_>) {
    survives(setup, &token(10 << 20)).await;
}

/// A thousand entries of one commit.
pub async fn a_thousand_entries_of_one_commit(setup: &Setup<'_>) {
    let entries: Vec<Entry> =
        (0..1000).map(|n| refresh_token(&format!("rt {n}")).of(ALICE, PUBLIC[0]).entry()).collect();
    setup.apply(entries.iter().cloned().map(Change::put).collect::<Vec<_>>()).await;
    setup.expect_only(&entries.iter().collect::<Vec<_>>()).await;
    let all_but_one = entries[1..].iter().map(|entry| Change::remove(entry.id.clone()));
    setup.apply(all_but_one.collect::<Vec<_>>()).await;
    setup.expect_only(&[&entries[0]]).await;
}

/// The entry comes, is replaced by one that differs in its last byte, and goes; a small neighbour stays.
async fn survives(setup: &Setup<'_>, entry: &Entry) {
    let neighbour = refresh_token("neighbour").entry();
    setup.given(&neighbour).await;
    let version = setup.given(entry).await;
    setup.expect_only(&[&neighbour, entry]).await;
    let mut json = entry.json.expose().to_vec();
    json.truncate(json.len() - 1);
    json.extend_from_slice(br#","last":1}"#);
    let next = Entry { json: json.into(), ..entry.clone() };
    setup.apply(vec![put_over(&next, &version)]).await;
    setup.expect_only(&[&neighbour, &next]).await;
    setup.apply(vec![Change::remove(entry.id.clone())]).await;
    setup.expect_only(&[&neighbour]).await;
}

fn token(secret_bytes: usize) -> Entry {
    refresh_token("rt").of(ALICE, PUBLIC[0]).secret(&"s".repeat(secret_bytes)).entry()
}
