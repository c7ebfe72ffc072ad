//! Futures that are dropped half-way, at each place where they wait: afterwards the content is that of before or of
//! after, and the store works on.
//!
//! A store whose work goes on behind a dropped future may finish it late. So each round has entries of its own.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use cache_core::{Change, Changes, Entry, Stored};

use super::Setup;
use super::setup::{commit_to, expect_same};
use crate::entries::refresh_token;

/// A commit that waits more often than this would not end.
const MOST_POLLS: usize = 10_000;

/// A commit that is cancelled applies as a whole or not at all, and can be made again.
pub async fn a_cancelled_commit_is_whole(setup: &Setup<'_>) {
    for polls in 0..=MOST_POLLS {
        let [changing, going, coming] = ["changing", "going", "coming"].map(|name| format!("{name} {polls}"));
        let (old, new) = (token(&changing, "old"), token(&changing, "new"));
        let (gone, inserted) = (token(&going, "one"), token(&coming, "one"));
        setup.apply(vec![Change::put(old.clone()), Change::put(gone.clone())]).await;
        let changes = Changes::new(vec![
            Change::put(new.clone()),
            Change::remove(gone.id.clone()),
            Change::put(inserted.clone()),
        ]);
        let done = cut(setup.store().commit(setup.partition(), &changes), polls).await;

        let ids = [old.id.clone(), gone.id.clone(), inserted.id.clone()];
        let found = setup.store().get(setup.partition(), &ids).await.expect("get after a cancelled commit");
        let before: [Option<&Entry>; 3] = [Some(&old), Some(&gone), None];
        let after = [Some(&new), None, Some(&inserted)];
        if done.is_some() {
            expect(&found, after);
        } else {
            assert!(is(&found, before) || is(&found, after), "a commit cancelled at poll {polls} applied in part");
        }

        // The other work of the store goes on, and the commit can be made again.
        let bystander = token(&format!("bystander {polls}"), "one");
        setup.apply(vec![Change::put(bystander.clone())]).await;
        setup.apply(changes).await;
        let found = setup.store().get(setup.partition(), &ids).await.expect("get");
        expect(&found, after);
        assert!(setup.present(&bystander.id).await.is_some());
        if done.is_some() {
            return;
        }
    }
    panic!("the commit waited more than {MOST_POLLS} times");
}

/// The same of the very first commit of a partition.
pub async fn a_cancelled_first_commit_is_whole(setup: &Setup<'_>) {
    for polls in 0..=MOST_POLLS {
        let partition = setup.partition_named(&format!("first {polls}"));
        let pair = ["left", "right"].map(|name| token(&format!("{name} {polls}"), "one"));
        let changes = Changes::new(pair.clone().map(Change::put).to_vec());
        let done = cut(setup.store().commit(&partition, &changes), polls).await;
        let ids = pair.clone().map(|entry| entry.id);
        let found = setup.store().get(&partition, &ids).await.expect("get after a cancelled commit");
        match &found[..] {
            [None, None] => assert!(done.is_none(), "a finished commit is there"),
            [Some(_), Some(_)] => {}
            _ => panic!("a commit cancelled at poll {polls} applied in part"),
        }
        commit_to(setup.store(), &partition, changes).await;
        let found = setup.store().get(&partition, &ids).await.expect("get");
        expect(&found, [Some(&pair[0]), Some(&pair[1])]);
        if done.is_some() {
            return;
        }
    }
    panic!("the commit waited more than {MOST_POLLS} times");
}

/// A removal of a partition that is cancelled takes everything or nothing.
pub async fn a_cancelled_removal_is_whole(setup: &Setup<'_>) {
    for polls in 0..=MOST_POLLS {
        let partition = setup.partition_named(&format!("removed {polls}"));
        let pair = ["left", "right"].map(|name| token(name, "one"));
        commit_to(setup.store(), &partition, pair.clone().map(Change::put).to_vec()).await;
        let done = cut(setup.store().remove(&partition), polls).await;
        let found = setup.store().load(&partition).await.expect("load after a cancelled removal");
        match found.map(|snapshot| snapshot.entries.len()) {
            Some(2) => assert!(done.is_none(), "a finished removal took nothing"),
            None => {}
            Some(count) => panic!("a removal cancelled at poll {polls} left {count} entries of 2"),
        }
        setup.store().remove(&partition).await.expect("removal goes on");
        if done.is_some() {
            return;
        }
    }
    panic!("the removal waited more than {MOST_POLLS} times");
}

/// A lease whose future is dropped is not held by anybody.
pub async fn a_cancelled_lease_is_free(setup: &Setup<'_>) {
    let wait = Duration::from_secs(30);
    for polls in 0..=MOST_POLLS {
        let done = cut(setup.store().lease(setup.partition(), "refresh", wait), polls).await.is_some();
        let again = setup.store().lease(setup.partition(), "refresh", wait).await.expect("the lease is free");
        again.release().await.expect("release");
        if done {
            return;
        }
    }
    panic!("the lease waited more than {MOST_POLLS} times");
}

/// Readers that are cancelled leave the store as it is.
pub async fn cancelled_reads_leave_the_store_working(setup: &Setup<'_>) {
    let entry = token("rt", "one");
    setup.given(&entry).await;
    for polls in 0..4 {
        let (store, partition) = (setup.store(), setup.partition());
        let _ = cut(store.load(partition), polls).await;
        let _ = cut(store.get(partition, std::slice::from_ref(&entry.id)), polls).await;
        let _ = cut(store.stamp(partition), polls).await;
        let _ = cut(store.partitions(None, 10), polls).await;
        setup.expect_only(&[&entry]).await;
    }
}

/// The answer of `future`, or `None` if it has none after that many polls and is dropped.
async fn cut<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

fn is<const N: usize>(found: &[Option<Stored>], expected: [Option<&Entry>; N]) -> bool {
    let json = |entry: &Entry| entry.json.clone();
    let found: Vec<_> = found.iter().map(|found| found.as_ref().map(|found| json(&found.entry))).collect();
    found == expected.map(|entry| entry.map(json))
}

fn expect<const N: usize>(found: &[Option<Stored>], expected: [Option<&Entry>; N]) {
    assert_eq!(found.len(), N);
    for (found, expected) in found.iter().zip(expected) {
        match (found, expected) {
            (Some(found), Some(expected)) => expect_same(&found.entry, expected),
            (None, None) => {}
            (None, Some(_)) => panic!("an entry is missing"),
            (Some(_), None) => panic!("a removed entry is present"),
        }
    }
}

fn token(key: &str, secret: &str) -> Entry {
    refresh_token(key).secret(secret).entry()
}
