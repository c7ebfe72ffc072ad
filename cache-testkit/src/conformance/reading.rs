//! What a store gives back: everything it was given, value for value, and nothing else.

use cache_core::{Change, Entry, EntryId, UnixSeconds};

use super::Setup;
use super::removal::remove_account;
use super::setup::{ALICE, PUBLIC, expect_only, expect_same, now_plus};
use crate::entries::{access_token, account, app_metadata, id_token, refresh_token, unclassifiable, unknown_section};
use crate::fixtures::NOW;

/// A partition that holds nothing is a miss, not an error and not an empty snapshot.
pub async fn nothing_is_none(setup: &Setup<'_>) {
    let (store, partition) = (setup.store(), setup.partition());
    assert!(store.load(partition).await.expect("load").is_none());
    assert_eq!(store.stamp(partition).await.expect("stamp"), None);
    let ids = [EntryId::new("RefreshToken", "a"), EntryId::new("Unknown", "")];
    assert_eq!(store.get(partition, &ids).await.expect("get"), [None, None]);
    store.remove(partition).await.expect("removal of nothing");
}

/// Entries of every section come back with their facts.
pub async fn every_section_comes_back(setup: &Setup<'_>) {
    let entries = one_of_each();
    setup.apply(entries.iter().cloned().map(Change::put).collect::<Vec<_>>()).await;
    setup.expect_only(&entries.iter().collect::<Vec<_>>()).await;
}

/// `get` answers in the order asked, also ids that are asked twice or that are not there.
pub async fn get_answers_in_the_order_asked(setup: &Setup<'_>) {
    let entries = one_of_each();
    setup.apply(entries.iter().cloned().map(Change::put).collect::<Vec<_>>()).await;
    let (first, last) = (entries[0].clone(), entries[entries.len() - 1].clone());
    let absent = EntryId::new("RefreshToken", "absent");
    let ids = [last.id.clone(), absent.clone(), first.id.clone(), last.id.clone(), absent];
    let found = setup.store().get(setup.partition(), &ids).await.expect("get");
    let expected = [Some(&last), None, Some(&first), Some(&last), None];
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        match (found, expected) {
            (Some(found), Some(expected)) => expect_same(&found.entry, expected),
            (None, None) => {}
            _ => panic!("an answer in another order"),
        }
    }
    assert_eq!(setup.store().get(setup.partition(), &[]).await.expect("get of nothing"), []);
}

/// An id means its section and its whole key text.
pub async fn get_compares_whole_ids(setup: &Setup<'_>) {
    setup.given(&refresh_token("some key").entry()).await;
    for (section, key) in [("RefreshToken", "some"), ("RefreshToken", "some key "), ("IdToken", "some key")] {
        assert_eq!(setup.present(&EntryId::new(section, key)).await, None);
    }
    assert_eq!(setup.present(&EntryId::new("RefreshTokensome key", "")).await, None);
}

/// Removing a partition takes everything of it; what follows starts anew.
pub async fn a_removed_partition_holds_nothing(setup: &Setup<'_>) {
    let entries = one_of_each();
    setup.apply(entries.iter().cloned().map(Change::put).collect::<Vec<_>>()).await;
    setup.store().remove(setup.partition()).await.expect("remove");
    nothing_is_none(setup).await;
    let listed = setup.store().partitions(None, 10).await.expect("partitions");
    assert_eq!(listed, []);
    // Older than what was there: nothing of it is remembered.
    let entry = refresh_token("rt").at(now_plus(-86_400)).entry();
    let done = setup.apply(vec![Change::put(entry.clone())]).await;
    assert_eq!(done.before, None);
    setup.expect_only(&[&entry]).await;
}

/// Entities that are not understood stay as they are while others come and go.
pub async fn foreign_data_stays_untouched(setup: &Setup<'_>) {
    let foreign = [
        unknown_section("Unknown", r#"{"a":{"secret":"s","list":[1,2,{"x":null}],"n":12345678901234567890123}}"#),
        unknown_section("UnknownText", r#""text \u00e9 \" \\ \/""#),
        unknown_section("UnknownNumber", "-1.50e+3"),
        unknown_section("UnknownList", "[[],{},0]"),
        unclassifiable("AccessToken", "odd at", r#"{"foo":"bar"}"#),
        unclassifiable("RefreshToken", "odd rt", r#"{"secret":17,"environment":["login.windows.net"]}"#),
        unclassifiable("Account", "odd account", r#"{"username":"","tenantProfiles":["{\"tenantId\":\"t\"}"]}"#),
    ];
    setup.apply(foreign.iter().cloned().map(Change::put).collect::<Vec<_>>()).await;
    let known = account("user").of(ALICE, PUBLIC[0]).entry();
    let token = refresh_token("rt").of(ALICE, PUBLIC[0]).at(now_plus(0)).entry();
    setup.apply(vec![Change::put(known), Change::put(token.clone())]).await;
    setup.apply(vec![Change::remove(token.id), Change::remove(EntryId::new("AccessToken", "absent"))]).await;
    setup.apply(vec![remove_account(ALICE, &PUBLIC)]).await;
    setup.expect_only(&foreign.iter().collect::<Vec<_>>()).await;
    let number = setup.present(&foreign[0].id).await.expect("present").entry.json;
    assert!(
        String::from_utf8_lossy(number.expose()).contains("12345678901234567890123"),
        "a number beyond every machine's range keeps its digits"
    );
}

/// An unknown section is one entry, replaced and removed as a whole.
pub async fn an_unknown_section_is_one_entry(setup: &Setup<'_>) {
    let staying = unknown_section("Other", r#"{"x":1}"#);
    setup.given(&staying).await;
    let seen = setup.given(&unknown_section("Unknown", r#"{"a":1}"#)).await;
    let next = unknown_section("Unknown", r"[2]");
    setup.apply(vec![super::setup::put_over(&next, &seen)]).await;
    setup.expect_only(&[&staying, &next]).await;
    setup.apply(vec![Change::remove(next.id)]).await;
    setup.expect_only(&[&staying]).await;
}

/// Fields that nobody knows, and values in every form of JSON, come back in an entity that is otherwise ordinary.
pub async fn unknown_fields_come_back(setup: &Setup<'_>) {
    let text = "\u{0}\u{1f} \" \\ / \u{e9} e\u{301} \u{1f469}\u{200d}\u{1f4bb} \u{202e} \u{feff} \u{10ffff}";
    let entry = refresh_token("rt").of(ALICE, PUBLIC[0]).field("unknown", text).field("", "no name").entry();
    setup.given(&entry).await;
    setup.expect_only(&[&entry]).await;
}

/// Entries of one partition are not seen in another, and its removal leaves the other's.
pub async fn partitions_are_apart(setup: &Setup<'_>) {
    let (a, b) = (setup.partition_named("a"), setup.partition_named("b"));
    if a == b {
        return; // The place holds one partition only.
    }
    let (of_a, of_b) = (refresh_token("rt").secret("a").entry(), refresh_token("rt").secret("b").entry());
    for (partition, entry) in [(&a, &of_a), (&b, &of_b)] {
        super::setup::commit_to(setup.store(), partition, vec![Change::put(entry.clone())]).await;
    }
    expect_only(setup.store(), &a, &[&of_a]).await;
    setup.store().remove(&a).await.expect("remove");
    expect_only(setup.store(), &a, &[]).await;
    expect_only(setup.store(), &b, &[&of_b]).await;
}

/// A second handle that opens later finds everything.
pub async fn what_was_written_is_there_when_opened_again(setup: &Setup<'_>) {
    let entries = one_of_each();
    setup.apply(entries.iter().cloned().map(Change::put).collect::<Vec<_>>()).await;
    let again = setup.another_handle().await;
    expect_only(&*again, setup.partition(), &entries.iter().collect::<Vec<_>>()).await;
    assert_eq!(again.partitions(None, 10).await.expect("partitions"), [setup.partition().clone()]);
}

pub(super) fn one_of_each() -> Vec<Entry> {
    let later = UnixSeconds(NOW.0 + 3600);
    vec![
        access_token("at").of(ALICE, PUBLIC[0]).at(now_plus(0)).expires(later).entry(),
        access_token("app at").field("environment", PUBLIC[0]).at(now_plus(0)).expires(later).entry(),
        refresh_token("rt").of(ALICE, PUBLIC[0]).at(cache_core::UnixMillis(now_plus(0).0 - 1)).entry(),
        refresh_token("rt without time").of(ALICE, PUBLIC[1]).entry(),
        id_token("idt").of(ALICE, PUBLIC[0]).entry(),
        account("user").of(ALICE, PUBLIC[0]).at(now_plus(-5)).entry(),
        app_metadata("app").entry(),
        unknown_section("Unknown", r#"{"x":{"y":[1,null]}}"#),
    ]
}
