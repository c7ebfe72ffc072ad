//! Every row of the merge table that a put can meet. The clock stands still where a case does not move it.

use std::time::Duration;

use cache_core::{Change, Entry, Skip, UnixMillis, Version};

use super::Setup;
use super::setup::{ALICE, PUBLIC, now_plus, put_over, skip};
use crate::entries::{access_token, refresh_token};

/// Put, nothing present: inserted.
pub async fn a_put_into_nothing_inserts(setup: &Setup<'_>) {
    let entry = token("one", Some(now_plus(0)));
    let done = setup.apply(vec![Change::put(entry.clone())]).await;
    assert_eq!(done.before, None);
    assert!(done.after.is_some());
    setup.expect_only(&[&entry]).await;
}

/// Put that names a version, nothing present: inserted all the same; only a guard keeps it out.
pub async fn a_put_over_a_version_that_is_gone_inserts(setup: &Setup<'_>) {
    let entry = token("one", Some(now_plus(0)));
    let seen = setup.given(&entry).await;
    setup.apply(vec![Change::remove(entry.id.clone())]).await;
    let next = token("two", Some(now_plus(-60)));
    setup.apply(vec![put_over(&next, &seen)]).await;
    setup.expect_only(&[&next]).await;
}

/// Put, same content: nothing happens, whatever the versions say.
pub async fn a_put_of_the_same_content_changes_nothing(setup: &Setup<'_>) {
    let old = token("old", Some(now_plus(-60)));
    let stale = setup.given(&old).await;
    let entry = token("one", Some(now_plus(0)));
    setup.given(&entry).await;
    let before = setup.stamp().await;
    for again in [Change::put(entry.clone()), put_over(&entry, &stale)] {
        let done = setup.apply(vec![again]).await;
        assert_eq!(done.before, before);
        assert_eq!(done.after, before);
    }
    assert_eq!(setup.stamp().await, before);
    setup.expect_only(&[&entry]).await;
}

/// Put over exactly the version present: replaced, also by an entry with an older time.
pub async fn a_put_over_the_present_version_beats_the_clock(setup: &Setup<'_>) {
    let seen = setup.given(&token("one", Some(now_plus(0)))).await;
    let next = token("two", Some(now_plus(-3600)));
    setup.apply(vec![put_over(&next, &seen)]).await;
    setup.expect_only(&[&next]).await;
}

/// Put over exactly the version present: replaced, also by an entry without a time.
pub async fn a_put_over_the_present_version_needs_no_time(setup: &Setup<'_>) {
    let seen = setup.given(&token("one", Some(now_plus(0)))).await;
    let next = token("two", None);
    setup.apply(vec![put_over(&next, &seen)]).await;
    setup.expect_only(&[&next]).await;
}

/// Put, an entry with a newer time present: skipped.
pub async fn an_older_put_is_skipped(setup: &Setup<'_>) {
    expect_skipped(setup, Some(now_plus(0)), Some(now_plus(-1)), false).await;
}

/// The same by one millisecond, which refresh tokens carry.
pub async fn a_put_older_by_a_millisecond_is_skipped(setup: &Setup<'_>) {
    let [earlier, later] = in_one_second();
    expect_skipped(setup, Some(later), Some(earlier), false).await;
}

/// Put over another version than the one present, which is newer: skipped.
pub async fn an_older_put_over_another_version_is_skipped(setup: &Setup<'_>) {
    expect_skipped(setup, Some(now_plus(0)), Some(now_plus(-1)), true).await;
}

/// Put, an entry with an older time present: replaced.
pub async fn a_newer_put_replaces(setup: &Setup<'_>) {
    expect_replaced(setup, Some(now_plus(-1)), Some(now_plus(0)), false).await;
}

/// The same by one millisecond, which refresh tokens carry.
pub async fn a_put_newer_by_a_millisecond_replaces(setup: &Setup<'_>) {
    let [earlier, later] = in_one_second();
    expect_replaced(setup, Some(earlier), Some(later), true).await;
}

/// Put over another version than the one present, which is older: replaced.
pub async fn a_newer_put_over_another_version_replaces(setup: &Setup<'_>) {
    expect_replaced(setup, Some(now_plus(-1)), Some(now_plus(0)), true).await;
}

/// Access tokens are ordered by `cached_at` as refresh tokens are by `last_modification_time`.
pub async fn access_tokens_are_ordered_by_cached_at(setup: &Setup<'_>) {
    let token = |secret, seconds| access_token("at").of(ALICE, PUBLIC[0]).at(now_plus(seconds)).secret(secret).entry();
    let (older, newer) = (token("older", -60), token("newer", -30));
    setup.given(&newer).await;
    assert_eq!(setup.commit(vec![Change::put(older.clone())]).await.skipped, skip(&older, Skip::NewerPresent));
    let newest = token("newest", 0);
    setup.given(&newest).await;
    setup.expect_only(&[&newest]).await;
}

/// Put with a time, an entry without one present: replaced.
pub async fn a_put_with_a_time_replaces_one_without(setup: &Setup<'_>) {
    expect_replaced(setup, None, Some(now_plus(-3600)), false).await;
}

/// Put with a time over another version than the one present, which has no time: replaced.
pub async fn a_put_with_a_time_over_another_version_replaces_one_without(setup: &Setup<'_>) {
    expect_replaced(setup, None, Some(now_plus(-3600)), true).await;
}

/// Put without a time, an entry with one present: skipped.
pub async fn a_put_without_a_time_is_skipped_where_one_has_it(setup: &Setup<'_>) {
    expect_skipped(setup, Some(now_plus(-3600)), None, false).await;
}

/// Put without a time over another version than the one present, which has one: skipped.
pub async fn a_put_without_a_time_over_another_version_is_skipped_where_one_has_it(setup: &Setup<'_>) {
    expect_skipped(setup, Some(now_plus(-3600)), None, true).await;
}

/// Put, same time, no version named: replaced.
pub async fn a_put_of_the_same_time_replaces(setup: &Setup<'_>) {
    expect_replaced(setup, Some(now_plus(0)), Some(now_plus(0)), false).await;
}

/// Put, same time, over another version than the one present: skipped.
pub async fn a_put_of_the_same_time_over_another_version_is_skipped(setup: &Setup<'_>) {
    expect_skipped(setup, Some(now_plus(0)), Some(now_plus(0)), true).await;
}

/// Put, neither has a time, no version named: replaced.
pub async fn a_put_without_times_replaces(setup: &Setup<'_>) {
    expect_replaced(setup, None, None, false).await;
}

/// Put, neither has a time, over another version than the one present: skipped.
pub async fn a_put_without_times_over_another_version_is_skipped(setup: &Setup<'_>) {
    expect_skipped(setup, None, None, true).await;
}

/// An entry from a machine ten minutes ahead counts as written now, so that one written now replaces it.
pub async fn a_present_time_beyond_the_clock_freezes_nothing(setup: &Setup<'_>) {
    expect_replaced(setup, Some(now_plus(600)), Some(now_plus(0)), false).await;
}

/// The same once the clock has moved on, but not to that time.
pub async fn a_present_time_beyond_the_clock_freezes_nothing_later(setup: &Setup<'_>) {
    setup.given(&token("ahead", Some(now_plus(600)))).await;
    setup.clock().advance(Duration::from_secs(60));
    let next = token("next", Some(now_plus(60)));
    setup.given(&next).await;
    setup.expect_only(&[&next]).await;
}

/// The clock is looked at with every commit: what was beyond it once is not for ever.
pub async fn times_that_the_clock_has_passed_count_as_they_are(setup: &Setup<'_>) {
    setup.clock().advance(Duration::from_secs(60));
    expect_replaced(setup, Some(now_plus(30)), Some(now_plus(60)), true).await;
    setup.apply(vec![Change::remove(token("", None).id)]).await;
    expect_skipped(setup, Some(now_plus(60)), Some(now_plus(30)), false).await;
}

/// An entry from a machine ten minutes ahead counts as written now, so that it does not beat one that was.
pub async fn a_put_time_beyond_the_clock_is_no_newer_than_now(setup: &Setup<'_>) {
    expect_skipped(setup, Some(now_plus(0)), Some(now_plus(600)), true).await;
}

/// Two entries from machines that are ahead by different amounts count as written at the same time.
pub async fn times_beyond_the_clock_are_equal(setup: &Setup<'_>) {
    expect_replaced(setup, Some(now_plus(900)), Some(now_plus(600)), false).await;
    setup.apply(vec![Change::remove(token("", None).id)]).await;
    expect_skipped(setup, Some(now_plus(600)), Some(now_plus(900)), true).await;
}

/// A time before 1970 is a time, older than any later one.
pub async fn a_negative_time_is_a_time(setup: &Setup<'_>) {
    expect_replaced(setup, Some(UnixMillis(-86_400_000)), Some(UnixMillis(0)), true).await;
    setup.apply(vec![Change::remove(token("", None).id)]).await;
    expect_skipped(setup, Some(UnixMillis(-86_400_000)), None, false).await;
}

fn token(secret: &str, at: Option<UnixMillis>) -> Entry {
    let token = refresh_token("rt").of(ALICE, PUBLIC[0]).secret(secret);
    match at {
        Some(at) => token.at(at).entry(),
        None => token.entry(),
    }
}

/// Two times that differ by a millisecond and lie in the same second.
fn in_one_second() -> [UnixMillis; 2] {
    [499, 500].map(|part| UnixMillis(now_plus(-1).0 + part))
}

async fn expect_replaced(setup: &Setup<'_>, present: Option<UnixMillis>, put: Option<UnixMillis>, with_stale: bool) {
    let (change, _, new) = meet(setup, present, put, with_stale).await;
    let done = setup.apply(vec![change]).await;
    assert_ne!(done.before, done.after);
    setup.expect_only(&[&new]).await;
}

async fn expect_skipped(setup: &Setup<'_>, present: Option<UnixMillis>, put: Option<UnixMillis>, with_stale: bool) {
    let (change, old, new) = meet(setup, present, put, with_stale).await;
    let done = setup.commit(vec![change]).await;
    assert_eq!(done.skipped, skip(&new, Skip::NewerPresent));
    assert_eq!(done.before, done.after);
    setup.expect_only(&[&old]).await;
}

/// An entry that is present, one that shall take its place, and the change that tries so: without a version, or with
/// that of a third entry, which was present before.
async fn meet(
    setup: &Setup<'_>,
    present: Option<UnixMillis>,
    put: Option<UnixMillis>,
    with_stale: bool,
) -> (Change, Entry, Entry) {
    let first: Version = setup.given(&token("seen by the writer", None)).await;
    let (old, new) = (token("old", present), token("new", put));
    setup.given(&old).await;
    let change = if with_stale { put_over(&new, &first) } else { Change::put(new.clone()) };
    (change, old, new)
}
