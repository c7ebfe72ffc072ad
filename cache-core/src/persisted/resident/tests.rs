use super::super::loaded::AsOf;
use super::*;
use crate::time::UnixMillis;
use crate::token_cache::TokenCache;

const NOW: AsOf = at(0);

/// Some milliseconds later, before any notice.
const fn at(millis: i64) -> AsOf {
    AsOf { time: UnixMillis(1_800_000_000_000 + millis), notices: 0 }
}

fn user(n: u64) -> PartitionKey {
    PartitionKey::user(&format!("user-{n}"))
}

fn loaded(partition: PartitionKey, weight: u64) -> Arc<Loaded> {
    Arc::new(Loaded::new(partition, TokenCache::default(), None, NOW).with_weight(weight))
}

fn keep(resident: &Resident, loaded: &Arc<Loaded>) {
    resident.keep(loaded, resident.moment(&loaded.partition));
}

fn holds(resident: &Resident, loaded: &Arc<Loaded>) -> bool {
    resident.get(&loaded.partition).is_some_and(|present| Arc::ptr_eq(&present, loaded))
}

#[test]
fn what_nobody_used_leaves_first() {
    let resident = Resident::bounded(8 * 1000);
    let partitions: Vec<_> = (0..10).map(|n| loaded(user(n), 1000)).collect();
    for loaded in &partitions[..9] {
        keep(&resident, loaded);
    }
    // All were new, so that the hand came by all of them before it took one. Now all that are left but one are used.
    let mut left = partitions[..9].iter().filter(|loaded| is_there(&resident, loaded));
    let idle = left.next().expect("eight are left");
    let used: Vec<_> = left.filter(|loaded| holds(&resident, loaded)).collect();
    assert_eq!(used.len(), 7);
    keep(&resident, &partitions[9]);
    assert!(used.into_iter().chain([&partitions[9]]).all(|loaded| holds(&resident, loaded)));
    assert!(!holds(&resident, idle));
}

/// Whether this content is there, without a look at it.
fn is_there(resident: &Resident, loaded: &Arc<Loaded>) -> bool {
    let bucket = resident.places[resident.place(&loaded.partition)].bucket.load();
    bucket.as_ref().is_some_and(|bucket| bucket.iter().any(|present| Arc::ptr_eq(present, loaded)))
}

#[test]
fn room_is_found_soon_when_everything_is_in_use() {
    let resident = Resident::bounded(3000);
    let partitions: Vec<_> = (0..3000).map(|n| loaded(user(n), 1)).collect();
    for loaded in &partitions {
        keep(&resident, loaded);
    }
    keep(&resident, &loaded(user(3000), 1));
    let marked = partitions.iter().filter(|loaded| loaded.is_marked()).count();
    assert!(marked >= 2000, "{marked} of 3000 marks were left alone");
    assert_eq!(resident.size().1, 3000);
}

#[test]
fn what_turned_out_to_be_old_is_forgotten_but_not_what_has_replaced_it() {
    let resident = Resident::bounded(1000);
    let (old, new) = (loaded(user(1), 100), loaded(user(1), 100));
    keep(&resident, &old);
    resident.forget(&old, None);
    assert!(resident.get(&user(1)).is_none());
    keep(&resident, &new);
    resident.forget(&old, None);
    assert!(holds(&resident, &new));
}

#[test]
fn what_comes_in_stays_until_something_else_does() {
    let resident = Resident::bounded(1000);
    for n in 0..100 {
        let newest = loaded(user(n), 700);
        keep(&resident, &newest);
        assert!(holds(&resident, &newest));
    }
}

#[test]
fn content_that_outgrows_the_bound_does_not_leave_its_old_self_behind() {
    let resident = Resident::bounded(1000);
    let (small, large) = (loaded(user(1), 1000), loaded(user(1), 1001));
    keep(&resident, &small);
    assert!(holds(&resident, &small));
    keep(&resident, &large);
    assert!(resident.get(&user(1)).is_none());
    assert_eq!(resident.size(), (0, 0));
}

#[test]
fn the_ledger_tells_what_is_there() {
    let resident = Resident::bounded(20_000);
    let mut last = None;
    for n in 0..2000_u64 {
        let partition = user(n * 7 % 61);
        match n % 5 {
            0 => drop(resident.write(&partition)),
            1 => {
                let empty = Loaded::new(partition.clone(), TokenCache::default(), None, NOW);
                resident.write(&partition).adopt(empty.with_weight(n * 13 % 3000));
            }
            2 => last.iter().for_each(|loaded| resident.forget(loaded, None)),
            _ => keep(&resident, last.insert(loaded(partition, n * 31 % 3000))),
        }
        let present = resident.places.iter().filter_map(|place| place.bucket.load_full());
        let present: Vec<_> = present.flat_map(|bucket| bucket.to_vec()).collect();
        let bytes = present.iter().map(|loaded| loaded.weight()).sum();
        assert_eq!(resident.size(), (present.len(), bytes));
        assert!(bytes <= 20_000);
    }
    assert!(resident.size().0 > 5, "most of the bound is made use of");
}

#[test]
fn what_was_replaced_or_removed_is_freed_when_the_last_look_at_it_ends() {
    let resident = Resident::bounded(1 << 20);
    let partition = user(1);
    let kept = || {
        let loaded = loaded(partition.clone(), 1000);
        keep(&resident, &loaded);
        Arc::downgrade(&loaded)
    };
    let is_freed = |content: &std::sync::Weak<Loaded>| content.strong_count() == 0;
    let (first, second) = (kept(), kept());
    assert!(is_freed(&first) && !is_freed(&second));
    let third = resident.look(&partition, |_| {
        let third = kept();
        assert!(!is_freed(&second), "it is looked at");
        third
    });
    assert!(is_freed(&second));
    drop(resident.write(&partition));
    assert!(is_freed(&third.expect("was there")));
}

#[test]
fn a_load_that_was_overtaken_does_not_bring_back_what_it_read() {
    let resident = Resident::bounded(1 << 20);
    let partition = user(1);
    let loaded = |as_of| Arc::new(Loaded::new(partition.clone(), TokenCache::default(), None, as_of));
    let (slow, began) = (loaded(NOW), resident.moment(&partition));
    let fast = loaded(at(1));
    keep(&resident, &fast);
    resident.keep(&slow, began);
    assert!(holds(&resident, &fast));
    // Content that was found to be the store's once more counts as new.
    fast.confirm(at(10));
    keep(&resident, &loaded(at(9)));
    assert!(holds(&resident, &fast));
    let next = loaded(at(10));
    keep(&resident, &next);
    assert!(holds(&resident, &next));
}

#[test]
fn of_writes_that_overlap_none_is_adopted_nor_what_was_loaded_before_either() {
    let resident = Resident::bounded(1 << 20);
    let partition = user(1);
    let content = || Loaded::new(partition.clone(), TokenCache::default(), None, NOW);
    let before = resident.moment(&partition);
    keep(&resident, &Arc::new(content()));
    let (first, second) = (resident.write(&partition), resident.write(&partition));
    let meanwhile = resident.moment(&partition);
    assert!(resident.get(&partition).is_some(), "no commit has returned yet");
    first.adopt(content());
    assert!(resident.get(&partition).is_none());
    second.adopt(content());
    for began in [before, meanwhile] {
        resident.keep(&Arc::new(content()), began);
        assert!(resident.get(&partition).is_none());
    }
}

#[test]
fn what_was_loaded_during_a_commit_does_not_replace_what_it_left() {
    let resident = Resident::bounded(1 << 20);
    let partition = user(1);
    let content = |weight| Loaded::new(partition.clone(), TokenCache::default(), None, NOW).with_weight(weight);
    let write = resident.write(&partition);
    let began = resident.moment(&partition);
    write.adopt(content(2));
    resident.keep(&Arc::new(content(1)), began);
    assert_eq!(resident.size(), (1, 2));
}

#[test]
fn what_is_made_of_content_that_was_replaced_is_not_kept() {
    let resident = Resident::bounded(1 << 20);
    let partition = user(1);
    let content = || Arc::new(Loaded::new(partition.clone(), TokenCache::default(), None, NOW));
    let (first, second, third) = (content(), content(), content());
    let began = resident.moment(&partition);
    assert!(!resident.keep_instead(Some(&first), &second, began), "nothing is there");
    assert!(resident.keep_instead(None, &first, began) && holds(&resident, &first));
    assert!(!resident.keep_instead(None, &second, began) && holds(&resident, &first));
    assert!(resident.keep_instead(Some(&first), &second, began) && holds(&resident, &second));
    assert!(!resident.keep_instead(Some(&first), &third, began) && holds(&resident, &second));
    drop(resident.write(&partition));
    assert!(resident.keep_instead(None, &third, began), "nothing is there");
    assert!(!holds(&resident, &third), "and what was loaded before the write does not come in");
}

#[test]
fn in_the_place_of_what_is_old_comes_what_is_known_then() {
    let resident = Resident::bounded(1 << 20);
    let partition = user(1);
    let content = || Arc::new(Loaded::new(partition.clone(), TokenCache::default(), None, NOW));
    let (old, anew, other) = (content(), content(), content());
    keep(&resident, &old);
    resident.forget(&old, Some(&anew));
    assert!(holds(&resident, &anew));
    resident.forget(&old, Some(&other));
    assert!(holds(&resident, &anew), "the old content has been replaced already");
    drop(resident.write(&partition));
    resident.forget(&anew, Some(&other));
    assert!(resident.get(&partition).is_none(), "a write has taken it out");
}
