//! Stamps and versions: they change with every change, never repeat, and stay while nothing changes.

use std::collections::HashSet;

use cache_core::{Change, Changes, Committed, Entry, EntryId, Version};

use super::Setup;
use super::setup::{commit_to, now_plus, put_over};
use crate::entries::refresh_token;

/// Every answer about the stamp is the same: of `stamp`, `stamp_now`, `load` and the commit before.
pub async fn every_answer_about_the_stamp_agrees(setup: &Setup<'_>) {
    let (store, partition) = (setup.store(), setup.partition());
    for secret in ["one", "two"] {
        let before = setup.stamp().await;
        let done = setup.apply(vec![Change::put(refresh_token("rt").secret(secret).entry())]).await;
        assert_eq!(done.before, before);
        assert!(done.after.is_some());
        assert_eq!(setup.stamp().await, done.after);
        assert_eq!(store.load(partition).await.expect("load").map(|snapshot| snapshot.stamp), done.after);
        if let Some(now) = store.stamp_now(partition) {
            assert_eq!(now.expect("stamp_now"), done.after);
        }
    }
    store.remove(partition).await.expect("remove");
    assert_eq!(setup.stamp().await, None);
    if let Some(now) = store.stamp_now(partition) {
        assert_eq!(now.expect("stamp_now"), None);
    }
}

/// No stamp comes twice, also when the content does, nor when the partition is emptied, removed and made again.
pub async fn a_stamp_never_repeats(setup: &Setup<'_>) {
    let entries = ["one", "two"].map(|secret| refresh_token("rt").secret(secret).entry());
    let mut seen = Seen::default();
    for round in 0..12 {
        for entry in &entries {
            let done = setup.apply(vec![Change::put(entry.clone())]).await;
            seen.first_time(&done.after.expect("the partition holds something"));
        }
        if round % 3 == 1 {
            setup.apply(vec![Change::remove(entries[0].id.clone())]).await;
        }
        if round % 3 == 2 {
            setup.store().remove(setup.partition()).await.expect("remove");
        }
    }
}

/// What changes nothing leaves the stamp: reading, a skipped put, a put of the same content, an empty commit, a removal
/// of what is not there.
pub async fn the_stamp_stays_while_nothing_changes(setup: &Setup<'_>) {
    let entry = refresh_token("rt").at(now_plus(0)).entry();
    setup.given(&entry).await;
    let stamp = setup.stamp().await;
    assert!(stamp.is_some());
    let late = refresh_token("rt").at(now_plus(-1)).secret("late").entry();
    for changes in [
        vec![],
        vec![Change::put(entry.clone())],
        vec![Change::put(late)],
        vec![Change::remove(refresh_token("absent").entry().id)],
    ] {
        let done = setup.commit(changes).await;
        assert_eq!((&done.before, &done.after), (&stamp, &stamp));
        setup.expect_only(&[&entry]).await;
        assert_eq!(setup.stamp().await, stamp);
    }
}

/// A change of one partition leaves the stamps of the others.
pub async fn a_stamp_is_bound_to_its_partition(setup: &Setup<'_>) {
    let (a, b) = (setup.partition_named("a"), setup.partition_named("b"));
    if a == b {
        return; // The place holds one partition only.
    }
    let put = |secret| vec![Change::put(refresh_token("rt").secret(secret).entry())];
    let of_a = commit_to(setup.store(), &a, put("one")).await.after;
    commit_to(setup.store(), &b, put("one")).await;
    commit_to(setup.store(), &b, put("two")).await;
    setup.store().remove(&b).await.expect("remove");
    assert_eq!(setup.store().stamp(&a).await.expect("stamp"), of_a);
}

/// The version of an entry stays while others change, and changes with it.
pub async fn a_version_is_its_entry_s_own(setup: &Setup<'_>) {
    let entry = refresh_token("rt").entry();
    let version = setup.given(&entry).await;
    setup.given(&refresh_token("other").entry()).await;
    assert_eq!(setup.present(&entry.id).await.map(|stored| stored.version), Some(version.clone()));
    let next = setup.given(&refresh_token("rt").secret("next").entry()).await;
    assert_ne!(next, version);
}

/// A commit answers the version of each put that applied, in their order: what `get` answers, and what the next put can
/// name. Puts that were skipped and removals have none.
pub async fn a_commit_answers_the_versions_that_it_wrote(setup: &Setup<'_>) {
    let [same, replaced, removed] =
        ["same", "replaced", "removed"].map(|key| refresh_token(key).at(now_plus(0)).entry());
    for entry in [&same, &replaced, &removed] {
        setup.given(entry).await;
    }
    let seen = setup.present(&replaced.id).await.expect("present").version;
    let new = |key| refresh_token(key).at(now_plus(0)).secret("new").entry();
    let late = refresh_token("replaced").at(now_plus(-1)).secret("late").entry();
    let (replacing, inserted) = (new("replaced"), new("inserted"));
    let done = setup.commit(vec![Change::put(late), Change::put(inserted.clone())]).await;
    expect_written(setup, &done, &[&inserted]).await;
    let changes = [put_over(&replacing, &seen), Change::remove(removed.id), Change::put(same.clone())];
    let done = setup.apply(changes.to_vec()).await;
    expect_written(setup, &done, &[&replacing, &same]).await;
    let last = refresh_token("replaced").at(now_plus(-2)).secret("last").entry();
    setup.apply(vec![put_over(&last, &done.written[0].1)]).await;
    let fenced = setup.commit(Changes::new(vec![Change::put(new("one"))]).with_fence("refresh", 2)).await;
    expect_written(setup, &fenced, &[&new("one")]).await;
    let fenced = setup.commit(Changes::new(vec![Change::put(new("two"))]).with_fence("refresh", 1)).await;
    expect_written(setup, &fenced, &[]).await;
}

async fn expect_written(setup: &Setup<'_>, done: &Committed, expected: &[&Entry]) {
    let ids: Vec<&EntryId> = done.written.iter().map(|(id, _)| id).collect();
    assert_eq!(ids, expected.iter().map(|entry| &entry.id).collect::<Vec<_>>());
    for (id, version) in &done.written {
        assert_eq!(setup.present(id).await.expect("written").version, *version);
    }
}

#[derive(Default)]
struct Seen(HashSet<Vec<u8>>);

impl Seen {
    fn first_time(&mut self, stamp: &Version) {
        let bytes = stamp.as_bytes().expect("a stamp is not the content").to_vec();
        assert!(self.0.insert(bytes), "the stamp {stamp:?} comes again");
    }
}
