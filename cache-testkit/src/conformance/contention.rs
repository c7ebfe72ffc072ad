//! Many writers at once: nothing is lost, and what was removed stays removed.

use std::sync::atomic::{AtomicBool, Ordering};

use cache_core::{CacheStore, Change, Entry, EntryId, Guard, Skip};
use serde_json::Value;

use super::Setup;
use super::removal::remove_account;
use super::setup::{ALICE, BOB, Gate, PUBLIC, commit_to, hosts, put_over};
use crate::entries::{account, refresh_token};

const WRITERS: usize = 8;
const UPDATES: usize = 25;

/// Eight threads write on one handle.
pub async fn eight_writers_on_one_handle_lose_nothing(setup: &Setup<'_>) {
    lose_nothing(setup, &[setup.store()]).await;
}

/// Eight threads write on two handles in turn.
pub async fn eight_writers_on_two_handles_lose_nothing(setup: &Setup<'_>) {
    let other = setup.another_handle().await;
    lose_nothing(setup, &[setup.store(), &*other]).await;
}

/// Eight threads count in one entry, each step over the version that it read, on one handle.
pub async fn eight_counters_on_one_handle_lose_no_step(setup: &Setup<'_>) {
    lose_no_step(setup, &[setup.store()]).await;
}

/// The same on two handles.
pub async fn eight_counters_on_two_handles_lose_no_step(setup: &Setup<'_>) {
    let other = setup.another_handle().await;
    lose_no_step(setup, &[setup.store(), &*other]).await;
}

/// An account is removed while four writers keep putting its tokens, guarded by the account: nothing of it is left.
pub async fn a_removed_account_stays_removed_while_others_write(setup: &Setup<'_>) {
    const WRITERS: usize = 4;
    let other = setup.another_handle().await;
    let handles: [&dyn CacheStore; 2] = [setup.store(), &*other];
    let (alice, bob) = (account("alice").of(ALICE, PUBLIC[0]).entry(), account("bob").of(BOB, PUBLIC[0]).entry());
    for _ in 0..5 {
        setup.apply(vec![Change::put(alice.clone()), Change::put(bob.clone())]).await;
        let (writing, removed) = (Gate::default(), AtomicBool::new(false));
        setup.on_threads(WRITERS + 1, async |thread| {
            if thread == WRITERS {
                let _said = SetAtEnd(&removed);
                writing.wait_for(WRITERS);
                commit_to(handles[0], setup.partition(), vec![remove_account(ALICE, &PUBLIC)]).await;
                return;
            }
            for step in 0.. {
                let too_late = removed.load(Ordering::SeqCst);
                let done = commit_to(handles[thread % 2], setup.partition(), vec![guarded(thread, step)]).await;
                if done.skipped.iter().any(|(_, reason)| *reason == Skip::GuardGone) {
                    break;
                }
                assert!(!too_late, "a guarded put applies after the removal");
                if step == 0 {
                    writing.arrive();
                }
            }
        });
        setup.expect_only(&[&bob]).await;
    }
}

/// Readers beside writers see whole commits only.
pub async fn readers_see_whole_commits(setup: &Setup<'_>) {
    let other = setup.another_handle().await;
    let pair = |step: usize| {
        let secret = step.to_string();
        [refresh_token("left").secret(&secret).entry(), refresh_token("right").secret(&secret).entry()]
    };
    setup.apply(pair(0).map(Change::put).to_vec()).await;
    let done = AtomicBool::new(false);
    setup.on_threads(3, async |thread| {
        if thread == 0 {
            let _said = SetAtEnd(&done);
            for step in 1..=4 * UPDATES {
                setup.apply(pair(step).map(Change::put).to_vec()).await;
            }
            return;
        }
        let reader = if thread == 1 { setup.store() } else { &*other };
        let ids = pair(0).map(|entry| entry.id);
        loop {
            let last = done.load(Ordering::SeqCst);
            let snapshot = reader.load(setup.partition()).await.expect("load").expect("never empty");
            let secrets: Vec<Value> = snapshot.entries.iter().map(|stored| secret(&stored.entry)).collect();
            assert!(secrets.len() == 2 && secrets[0] == secrets[1], "load saw half of a commit");
            let found = reader.get(setup.partition(), &ids).await.expect("get");
            let [Some(left), Some(right)] = &found[..] else { panic!("get missed an entry") };
            assert_eq!(secret(&left.entry), secret(&right.entry), "get saw half of a commit");
            if last {
                break;
            }
        }
    });
}

async fn lose_nothing(setup: &Setup<'_>, handles: &[&dyn CacheStore]) {
    let entry = |writer: usize, update: usize| refresh_token(&format!("rt {writer} {update}")).entry();
    let shared = |writer: usize, update: usize| refresh_token("shared").secret(&format!("{writer} {update}")).entry();
    setup.on_threads(WRITERS, async |writer| {
        let store = handles[writer % handles.len()];
        for update in 0..UPDATES {
            let changes = vec![Change::put(entry(writer, update)), Change::put(shared(writer, update))];
            let done = commit_to(store, setup.partition(), changes).await;
            assert_eq!(done.skipped, []);
            assert_ne!(done.before, done.after);
        }
    });
    let snapshot = setup.store().load(setup.partition()).await.expect("load").expect("not empty");
    assert_eq!(snapshot.entries.len(), WRITERS * UPDATES + 1);
    for writer in 0..WRITERS {
        let ids: Vec<EntryId> = (0..UPDATES).map(|update| entry(writer, update).id).collect();
        let found = setup.store().get(setup.partition(), &ids).await.expect("get");
        assert!(found.iter().all(Option::is_some), "an update of writer {writer} is lost");
    }
}

async fn lose_no_step(setup: &Setup<'_>, handles: &[&dyn CacheStore]) {
    setup.given(&count(0, "nobody")).await;
    setup.on_threads(WRITERS, async |writer| {
        let store = handles[writer % handles.len()];
        for _ in 0..UPDATES {
            step_once(store, setup, &writer.to_string()).await;
        }
    });
    let last = setup.present(&count(0, "").id).await.expect("the count is present");
    assert_eq!(number(&last.entry), WRITERS * UPDATES);
}

/// Counts one further, as often anew as another writer was faster: no more often than there are steps in all.
async fn step_once(store: &dyn CacheStore, setup: &Setup<'_>, writer: &str) {
    for _ in 0..=WRITERS * UPDATES {
        let found = store.get(setup.partition(), &[count(0, "").id]).await.expect("get");
        let seen = found[0].as_ref().expect("the count is present");
        let next = count(number(&seen.entry) + 1, writer);
        let done = commit_to(store, setup.partition(), vec![put_over(&next, &seen.version)]).await;
        match &done.skipped[..] {
            [] => return,
            [(_, Skip::NewerPresent)] => {}
            other => panic!("skipped as {other:?}"),
        }
    }
    panic!("a step over the version just read is skipped although nobody else makes one");
}

/// The count at `n`. It names its writer: two writers of the same content would both have their way.
fn count(n: usize, writer: &str) -> Entry {
    refresh_token("count").secret(&n.to_string()).field("writer", writer).entry()
}

fn number(entry: &Entry) -> usize {
    secret(entry).as_str().and_then(|n| n.parse().ok()).expect("a number")
}

fn guarded(thread: usize, step: usize) -> Change {
    let guard = Guard::Account { home_account_id: ALICE.into(), environments: hosts(&PUBLIC) };
    let token = refresh_token(&format!("rt {thread} {step}")).of(ALICE, PUBLIC[step % 2]).entry();
    Change::Put { entry: token, replaces: None, guard: Some(guard) }
}

fn secret(entry: &Entry) -> Value {
    let json: Value = serde_json::from_slice(entry.json.expose()).expect("an entity is JSON");
    json["secret"].clone()
}

/// Set when its thread is through, or fails: others that go on until then must not go on forever.
struct SetAtEnd<'a>(&'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
