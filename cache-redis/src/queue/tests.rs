use cache_core::{AccountRef, Blob, Entry, EntryId};

use super::*;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

fn put(section: &str, key: &str, length: usize) -> Change {
    Change::put(Entry {
        id: EntryId::new(section, key),
        account: Some(AccountRef { home_account_id: "alice".into(), environment: "login.windows.net".into() }),
        written_at: None,
        expires_on: None,
        json: Blob::new(vec![b' '; length]),
    })
}

fn commit(changes: impl IntoIterator<Item = Change>) -> Write {
    Write::Commit(Changes::new(changes.into_iter().collect()))
}

fn access_token(key: &str) -> Write {
    commit([put("AccessToken", key, 10)])
}

fn refresh_token(key: &str) -> Write {
    commit([put("RefreshToken", key, 10)])
}

fn user(name: &str) -> PartitionKey {
    PartitionKey::user(name)
}

fn within(changes: usize) -> Queue {
    Queue::new(Limits { changes, bytes: 1 << 20 })
}

/// The keys of what waits of the partition, in order, all of it sent.
fn sent(queue: &Queue, partition: &PartitionKey) -> Vec<String> {
    let mut sent = Vec::new();
    while let Some((number, write)) = queue.first(partition, NOW) {
        match write {
            Write::Commit(changes) => sent.extend(changes.iter().map(|change| match change {
                Change::Put { entry: Entry { id, .. }, .. } | Change::Remove { id, .. } => id.key().to_owned(),
                Change::RemoveAccount { .. } => "account".to_owned(),
            })),
            Write::Removal => sent.push("all".to_owned()),
        }
        queue.note_sent(number);
    }
    sent
}

fn counts(queue: &Queue) -> [u64; 4] {
    [queue.queued.get(), queue.replayed.get(), queue.dropped.get(), queue.size().0 as u64]
}

#[test]
fn each_partition_keeps_its_order() {
    let queue = within(100);
    let (alice, bob) = (user("alice"), user("bob"));
    for (partition, write) in [
        (&alice, access_token("1")),
        (&bob, access_token("a")),
        (&alice, Write::Removal),
        (&bob, refresh_token("b")),
        (&alice, commit([put("AccessToken", "2", 10), Change::remove(EntryId::new("AccessToken", "3"))])),
    ] {
        assert!(queue.add(partition, write, NOW));
    }
    assert_eq!(sent(&queue, &alice), ["1", "all", "2", "3"]);
    assert_eq!(counts(&queue), [5, 3, 0, 2]);
    assert_eq!(sent(&queue, &bob), ["a", "b"]);
    assert_eq!((counts(&queue), queue.size()), ([5, 5, 0, 0], (0, 0)));
}

#[test]
fn access_tokens_make_room_and_nothing_else_does() {
    let queue = within(4);
    let alice = user("alice");
    let id_token = commit([put("IdToken", "id", 10), put("AccessToken", "1", 10)]);
    for write in [refresh_token("r1"), id_token, access_token("2")] {
        assert!(queue.add(&alice, write, NOW));
    }
    assert!(queue.add(&alice, Write::Removal, NOW), "the oldest leaves, both of its changes");
    assert!(queue.add(&user("bob"), access_token("3"), NOW));
    assert!(queue.add(&alice, access_token("4"), NOW), "they make room for their like, too");
    assert!(queue.add(&alice, commit([Change::remove(EntryId::new("AccessToken", "gone"))]), NOW));
    assert!(queue.add(&alice, refresh_token("r2"), NOW));
    for write in [access_token("5"), refresh_token("r3"), Write::Removal] {
        assert!(!queue.add(&alice, write, NOW), "all the others matter");
    }
    assert_eq!(sent(&queue, &alice), ["r1", "all", "gone", "r2"]);
    assert_eq!(sent(&queue, &user("bob")).len(), 0);
    assert_eq!(counts(&queue), [8, 4, 4, 0]);
}

#[test]
fn what_never_fits_displaces_nothing() {
    let queue = Queue::new(Limits { changes: 100, bytes: 2000 });
    let alice = user("alice");
    assert!(queue.add(&alice, access_token("1"), NOW));
    assert!(!queue.add(&alice, commit([put("RefreshToken", "r", 2000)]), NOW));
    assert!(!queue.add(&alice, commit((0..101).map(|n| put("AccessToken", &n.to_string(), 0))), NOW));
    assert_eq!(sent(&queue, &alice), ["1"]);
    for limits in [Limits { changes: 0, bytes: 2000 }, Limits { changes: 100, bytes: 0 }] {
        let queue = Queue::new(limits);
        assert!(!queue.add(&alice, Write::Removal, NOW), "it is switched off");
        assert!(queue.turn(&alice).is_none());
    }
}

#[test]
fn what_is_too_old_is_not_sent() {
    let queue = within(2);
    let (alice, later) = (user("alice"), UnixMillis(NOW.0 + 1));
    assert!(queue.add(&alice, refresh_token("old"), NOW));
    assert!(queue.add(&alice, refresh_token("young"), later));
    let [last, over] = [0, 1].map(|ms| UnixMillis(NOW.0 + 3_600_000 + ms));
    queue.expire(last);
    assert_eq!(queue.size().0, 2);
    assert!(queue.first(&alice, over).is_some_and(|(number, _)| number == 1));
    assert_eq!(counts(&queue), [2, 0, 1, 1]);
    assert!(queue.add(&alice, refresh_token("new"), over), "there is room again");
    // A clock that was set back makes nothing old.
    queue.expire(UnixMillis(0));
    assert_eq!(queue.size().0, 2);
}

#[test]
fn a_line_lasts_until_who_has_its_turn_ends_it() {
    let queue = within(10);
    let alice = user("alice");
    assert!(queue.turn(&alice).is_none() && !queue.has_lines());
    assert!(queue.add(&alice, access_token("1"), NOW));
    let turn = queue.turn(&alice).expect("there is a line");
    assert_eq!(sent(&queue, &alice), ["1"]);
    assert!(queue.is_turn(&alice, &turn) && queue.has_lines());
    assert!(queue.add(&alice, access_token("2"), NOW));
    queue.end_line(&alice);
    assert!(queue.is_turn(&alice, &turn), "something waits in it");
    assert_eq!(sent(&queue, &alice), ["2"]);
    queue.end_line(&alice);
    assert!(queue.turn(&alice).is_none() && queue.partitions().is_empty());
    assert!(queue.add(&alice, access_token("3"), NOW));
    assert!(!queue.is_turn(&alice, &turn), "this is another line");
}

#[test]
fn no_line_is_left_of_what_is_gone() {
    let queue = within(2);
    for n in 0..100 {
        assert!(queue.add(&user(&n.to_string()), access_token("1"), NOW));
    }
    assert_eq!((queue.partitions().len(), counts(&queue)), (2, [100, 0, 98, 2]));
    let turn = queue.turn(&user("99")).expect("there is a line");
    queue.expire(UnixMillis(NOW.0 + 3_600_001));
    assert_eq!(queue.partitions(), [user("99")], "somebody has its turn");
    assert!(queue.is_turn(&user("99"), &turn));
    queue.end_line(&user("99"));
    assert!(!queue.has_lines());
}

#[test]
fn whoever_waits_for_the_end_hears_of_it() {
    let queue = within(10);
    let alice = user("alice");
    pollster::block_on(queue.emptied());
    assert!(queue.add(&alice, access_token("1"), NOW));
    assert!(queue.add(&alice, access_token("2"), NOW));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| pollster::block_on(queue.emptied()));
        let (first, _) = queue.first(&alice, NOW).expect("the first");
        queue.note_sent(first);
        assert!(!waiting.is_finished());
        let (second, _) = queue.first(&alice, NOW).expect("the second");
        queue.give_up(second);
        waiting.join().expect("no panic");
    });
    assert_eq!(counts(&queue), [2, 1, 1, 0]);
}

#[test]
fn debug_shows_counts_alone() {
    let queue = within(10);
    assert!(queue.add(&user("alice"), access_token("1"), NOW));
    let shown = format!("{queue:?}");
    assert!(shown.starts_with("Queue { commits: 1, bytes: ") && !shown.contains("alice"), "{shown}");
}
