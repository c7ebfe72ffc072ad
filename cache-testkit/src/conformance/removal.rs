//! Removal of entries and of accounts.

use cache_core::{Change, Entry, EntryId, Skip};

use super::Setup;
use super::setup::{ALICE, BOB, CHINA, PUBLIC, hosts, now_plus, skip};
use crate::entries::{access_token, account, app_metadata, id_token, refresh_token, unknown_section};

/// Remove: gone, whatever it is.
pub async fn a_removed_entry_is_gone(setup: &Setup<'_>) {
    let (going, staying) = (refresh_token("rt").at(now_plus(0)).entry(), refresh_token("other").entry());
    setup.given(&going).await;
    setup.given(&staying).await;
    let done = setup.apply(vec![Change::remove(going.id.clone())]).await;
    assert_ne!(done.before, done.after);
    assert_eq!(setup.present(&going.id).await, None);
    setup.expect_only(&[&staying]).await;
}

/// Remove of what is not there: no error, nothing happens.
pub async fn removal_of_nothing_is_no_error(setup: &Setup<'_>) {
    let absent = EntryId::new("RefreshToken", "absent");
    let done = setup.apply(vec![Change::remove(absent.clone())]).await;
    assert_eq!((done.before, done.after), (None, None));
    let entry = refresh_token("rt").entry();
    let version = setup.given(&entry).await;
    let matching = Change::Remove { id: absent.clone(), if_match: Some(version) };
    let done = setup.apply(vec![Change::remove(absent), matching]).await;
    assert_eq!(done.before, done.after);
    setup.expect_only(&[&entry]).await;
}

/// Remove `if_match`, that version present: gone.
pub async fn a_matching_removal_applies(setup: &Setup<'_>) {
    let entry = refresh_token("rt").entry();
    let version = setup.given(&entry).await;
    let done = setup.apply(vec![Change::Remove { id: entry.id, if_match: Some(version) }]).await;
    assert_eq!(done.after, None);
    setup.expect_only(&[]).await;
}

/// Remove `if_match`, another version present: skipped.
pub async fn a_removal_that_does_not_match_is_skipped(setup: &Setup<'_>) {
    let old = setup.given(&refresh_token("rt").secret("old").entry()).await;
    let entry = refresh_token("rt").secret("new").entry();
    setup.given(&entry).await;
    let done = setup.commit(vec![Change::Remove { id: entry.id.clone(), if_match: Some(old) }]).await;
    assert_eq!(done.skipped, skip(&entry, Skip::NoMatch));
    assert_eq!(done.before, done.after);
    setup.expect_only(&[&entry]).await;
}

/// The same key text in another section stays.
pub async fn removal_is_bound_to_the_section(setup: &Setup<'_>) {
    let (going, staying) = (refresh_token("key").entry(), id_token("key").entry());
    setup.apply(vec![Change::put(going.clone()), Change::put(staying.clone())]).await;
    setup.apply(vec![Change::remove(going.id)]).await;
    setup.expect_only(&[&staying]).await;
}

/// Remove account: every entry of that home account id in those environments is gone, whoever wrote it and whenever;
/// other accounts, other clouds, app tokens, app metadata and unknown data stay.
pub async fn removal_of_an_account_takes_its_entries_and_no_others(setup: &Setup<'_>) {
    let (going, staying) = household();
    let all: Vec<Change> = going.iter().chain(&staying).cloned().map(Change::put).collect();
    setup.apply(all).await;
    let done = setup.apply(vec![remove_account(ALICE, &PUBLIC)]).await;
    assert_ne!(done.before, done.after);
    setup.expect_only(&staying.iter().collect::<Vec<_>>()).await;
}

/// Only the environments named are looked at.
pub async fn removal_of_an_account_is_bound_to_its_environments(setup: &Setup<'_>) {
    let (going, staying) =
        (refresh_token("going").of(ALICE, PUBLIC[1]).entry(), refresh_token("staying").of(ALICE, PUBLIC[0]).entry());
    setup.given(&going).await;
    setup.given(&staying).await;
    setup.apply(vec![remove_account(ALICE, &PUBLIC[1..])]).await;
    setup.expect_only(&[&staying]).await;
}

/// Environments are compared ignoring case and port, in the change and in the entry.
pub async fn removal_of_an_account_ignores_case_and_port_of_hosts(setup: &Setup<'_>) {
    let entry = refresh_token("rt").of(ALICE, "Login.Windows.NET:443").entry();
    setup.given(&entry).await;
    setup.apply(vec![remove_account(ALICE, &["LOGIN.windows.net:8443"])]).await;
    setup.expect_only(&[]).await;
}

/// An entry that names no host goes with its user in any cloud.
pub async fn an_entry_without_a_host_goes_with_its_user(setup: &Setup<'_>) {
    let of_bob = refresh_token("bob").of(BOB, "").entry();
    setup.given(&of_bob).await;
    for hosts in [&PUBLIC[..], &[CHINA]] {
        setup.given(&refresh_token("alice").of(ALICE, "").entry()).await;
        setup.given(&account("alice").field("home_account_id", ALICE).entry()).await;
        setup.apply(vec![remove_account(ALICE, hosts)]).await;
        setup.expect_only(&[&of_bob]).await;
    }
}

/// Home account ids are compared exactly.
pub async fn removal_of_an_account_keeps_the_case_of_ids(setup: &Setup<'_>) {
    let entry = refresh_token("rt").of(ALICE, PUBLIC[0]).entry();
    setup.given(&entry).await;
    let done = setup.apply(vec![remove_account(&ALICE.to_uppercase(), &PUBLIC)]).await;
    assert_eq!(done.before, done.after);
    setup.expect_only(&[&entry]).await;
}

/// A part of an id, or an id that goes on, is another id.
pub async fn removal_of_an_account_compares_whole_ids(setup: &Setup<'_>) {
    let longer = refresh_token("longer").of(&format!("{ALICE}0"), PUBLIC[0]).entry();
    let shorter = refresh_token("shorter").of(&ALICE[..ALICE.len() - 1], PUBLIC[0]).entry();
    setup.apply(vec![Change::put(longer.clone()), Change::put(shorter.clone())]).await;
    setup.apply(vec![remove_account(ALICE, &PUBLIC)]).await;
    setup.expect_only(&[&longer, &shorter]).await;
}

/// Remove account of which there is nothing: no error, nothing happens.
pub async fn removal_of_an_unknown_account_is_no_error(setup: &Setup<'_>) {
    let done = setup.apply(vec![remove_account(ALICE, &PUBLIC)]).await;
    assert_eq!((done.before, done.after), (None, None));
    let entry = refresh_token("rt").of(BOB, PUBLIC[0]).entry();
    setup.given(&entry).await;
    let done = setup.apply(vec![remove_account(ALICE, &PUBLIC)]).await;
    assert_eq!(done.before, done.after);
    setup.expect_only(&[&entry]).await;
}

/// With the last entry the partition is gone.
pub async fn removal_of_the_last_entry_leaves_nothing(setup: &Setup<'_>) {
    let entry = refresh_token("rt").of(ALICE, PUBLIC[0]).entry();
    for last in [Change::remove(entry.id.clone()), remove_account(ALICE, &PUBLIC)] {
        setup.given(&entry).await;
        let done = setup.apply(vec![last]).await;
        assert!(done.before.is_some());
        assert_eq!(done.after, None);
        assert_eq!(setup.stamp().await, None);
        assert!(setup.store().load(setup.partition()).await.expect("load").is_none());
    }
}

/// What was removed can be put again.
pub async fn what_was_removed_can_come_back(setup: &Setup<'_>) {
    let entry = refresh_token("rt").of(ALICE, PUBLIC[0]).at(now_plus(0)).entry();
    setup.given(&entry).await;
    setup.apply(vec![remove_account(ALICE, &PUBLIC)]).await;
    let older = refresh_token("rt").of(ALICE, PUBLIC[0]).at(now_plus(-60)).entry();
    setup.given(&older).await;
    setup.expect_only(&[&older]).await;
}

pub(super) fn remove_account(home_account_id: &str, environments: &[&str]) -> Change {
    Change::RemoveAccount { home_account_id: home_account_id.into(), environments: hosts(environments) }
}

/// Everything of Alice in the public cloud, and everything else.
fn household() -> (Vec<Entry>, Vec<Entry>) {
    let alice = vec![
        access_token("alice at").of(ALICE, PUBLIC[0]).at(now_plus(0)).entry(),
        access_token("alice at, written ahead").of(ALICE, PUBLIC[1]).at(now_plus(3600)).entry(),
        refresh_token("alice rt").of(ALICE, PUBLIC[0]).at(now_plus(-86_400)).entry(),
        refresh_token("alice family rt").of(ALICE, PUBLIC[1]).field("family_id", "1").entry(),
        id_token("alice idt").of(ALICE, PUBLIC[0]).entry(),
        account("alice").of(ALICE, PUBLIC[0]).entry(),
        account("alice as guest").of(ALICE, PUBLIC[1]).at(now_plus(0)).entry(),
    ];
    let others = vec![
        access_token("bob at").of(BOB, PUBLIC[0]).at(now_plus(0)).entry(),
        refresh_token("bob rt").of(BOB, PUBLIC[0]).entry(),
        account("bob").of(BOB, PUBLIC[0]).entry(),
        refresh_token("alice rt in china").of(ALICE, CHINA).entry(),
        account("alice in china").of(ALICE, CHINA).entry(),
        access_token("app at").field("environment", PUBLIC[0]).at(now_plus(0)).entry(),
        app_metadata("app").of(ALICE, PUBLIC[0]).entry(),
        unknown_section(
            "Unknown",
            &format!(r#"{{"x":{{"home_account_id":"{ALICE}","environment":"{}"}}}}"#, PUBLIC[0]),
        ),
    ];
    (alice, others)
}
