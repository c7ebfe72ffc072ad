//! A profile in a store of documents, and under a resident cache.

use std::collections::BTreeSet;
use std::sync::Arc;

use cache_core::schema::{AccessToken, ExtendedKey, section};
use cache_core::{
    Blob, CacheStore, Change, Changes, Committed, Documents, EntryId, PartitionKey, Peer, PersistedTokenCache, Profile,
    Stored, TokenCache, UnifiedDocument, UnixSeconds,
};
use cache_testkit::MemoryDocuments;
use cache_testkit::entries::{access_token, account, id_token, unclassifiable};
use cache_testkit::fixtures::{NOW, clock};
use pollster::block_on;

use super::documents::every_document;
use super::{EVERY, profiles};

const P: PartitionKey = PartitionKey::Shared;

fn store(documents: &MemoryDocuments, profile: Profile) -> Documents<MemoryDocuments> {
    Documents::with_clock(documents.clone(), Arc::new(clock())).with_profile(profile)
}

fn commit(store: &dyn CacheStore, changes: Vec<Change>) -> Committed {
    block_on(store.commit(&P, &Changes::new(changes))).expect("commit")
}

fn present(store: &dyn CacheStore, id: &EntryId) -> Option<Stored> {
    block_on(store.get(&P, std::slice::from_ref(id))).expect("get").remove(0)
}

#[test]
fn a_commit_that_changes_nothing_leaves_the_document_as_it_is() {
    for profile in profiles() {
        for (_, document) in every_document().filter(|(_, document)| !document.is_empty()) {
            let documents = MemoryDocuments::new();
            let mut bytes = b" ".to_vec();
            bytes.extend_from_slice(document.render().expose());
            documents.overwrite(&P, Blob::new(bytes));
            let store = store(&documents, profile);
            let committed = commit(&store, vec![Change::remove(EntryId::new(section::ACCESS_TOKEN, "absent"))]);
            assert_eq!(committed.after, committed.before);
            assert!(!committed.others_changed);
        }
    }
}

#[test]
fn what_was_imported_is_there_in_its_form_and_again_changes_nothing() {
    for profile in profiles() {
        for (name, document) in every_document() {
            let store = store(&MemoryDocuments::new(), profile);
            let puts = || document.clone().into_entries().map(Change::put).collect::<Vec<_>>();
            let first = commit(&store, puts());
            let stored = block_on(store.load(&P)).expect("load").map_or_else(Vec::new, |snapshot| snapshot.entries);
            for (id, version) in &first.written {
                let found = stored.iter().find(|stored| stored.entry.id == *id).expect("written");
                assert_eq!(found.version, *version, "{name}: {profile:?} {id:?}");
            }
            let second = commit(&store, puts());
            assert_eq!(second.before, first.after, "{name}");
            assert_eq!(second.after, second.before, "{name}: {profile:?} the second import changed something");
        }
    }
}

#[test]
fn a_put_has_the_version_of_its_form_and_others_are_told() {
    let documents = MemoryDocuments::new();
    let foreign = r#"{"AccessToken":{"foreign":{"secret":"s","client_id":"c","environment":"e","kid":7}},"Z":[1, 2]}"#;
    documents.overwrite(&P, Blob::copy_of(foreign.as_bytes()));
    let store = store(&documents, Profile::shared_with([Peer::DotNet]));
    let put = unclassifiable("RefreshToken", "ours", r#"{"secret":17,"x":17}"#);

    let committed = commit(&store, vec![Change::put(put.clone())]);
    let ours = present(&store, &put.id).expect("present");
    assert_eq!(String::from_utf8_lossy(ours.entry.json.expose()), r#"{"secret":"17","x":17}"#);
    assert_eq!(committed.written, [(put.id.clone(), ours.version.clone())]);
    assert!(committed.others_changed, "the foreign token has another form");

    let committed = commit(&store, vec![Change::put(put.clone())]);
    assert_eq!(committed.after, committed.before, "the form is there");
    let next = unclassifiable("RefreshToken", "ours", r#"{"secret":18}"#);
    let replaced = Change::Put { entry: next, replaces: Some(ours.version), guard: None };
    let committed = commit(&store, vec![replaced]);
    assert!(committed.skipped.is_empty() && !committed.others_changed);
}

#[test]
fn a_put_that_the_profile_drops_is_not_written() {
    let documents = MemoryDocuments::new();
    let store = store(&documents, Profile::shared_with([Peer::DotNet, Peer::Node]));
    let (user, damaged) = (account("user").of("u.t", "login.windows.net").entry(), id_token("damaged").entry());
    let expired =
        access_token("expired").of("u.t", "login.windows.net").field("ext_cache_key", "hash").expires(NOW).entry();

    let committed = commit(&store, vec![Change::put(damaged.clone()), Change::put(expired.clone())]);
    assert_eq!((committed.before, committed.after, committed.written), (None, None, Vec::new()));
    let committed = commit(&store, vec![Change::put(user.clone()), Change::put(damaged.clone())]);
    assert!(committed.others_changed);
    assert_eq!(committed.written.iter().map(|(id, _)| id).collect::<Vec<_>>(), [&user.id]);
    let committed = commit(&store, vec![Change::put(damaged), Change::put(expired)]);
    assert_eq!(committed.after, committed.before, "nothing of it stays");
}

/// A resident cache goes on from what the profile left in the store: nothing is skipped, nothing is lost, and what was
/// dropped is not served.
#[test]
fn a_resident_cache_goes_on_from_the_form() {
    for profile in profiles() {
        let documents = MemoryDocuments::new();
        let foreign = r#"{
            "AccessToken":{"bearer":{"secret":"s","client_id":"c","environment":"login.windows.net","target":"s",
                "ext":{"a":"b"},"expires_on":1800003000}},
            "IdToken":{"no JWT":{"secret":"s","client_id":"c","environment":"login.windows.net"}},
            "Account":{"k":{"home_account_id":"u.t","x":1}}}"#;
        documents.overwrite(&P, Blob::copy_of(foreign.as_bytes()));
        let store = store(&documents, profile);
        let cache = PersistedTokenCache::builder(store).clock(Arc::new(clock())).build();
        let token = |secret: &str, seconds| AccessToken {
            environment: "login.windows.net".into(),
            client_id: "c".into(),
            target: "s".into(),
            secret: secret.into(),
            cached_at: Some(NOW),
            expires_on: Some(UnixSeconds(NOW.0 + seconds)),
            token_type: Some("pop".into()),
            key_id: Some("K".into()),
            extended: Some(ExtendedKey::new([("a", "b")])),
            ..AccessToken::default()
        };
        for (secret, seconds) in [("1", 3600), ("2", 3600), ("3", 3601)] {
            let updated = block_on(cache.update(&P, |tokens| tokens.insert(token(secret, seconds)))).expect("update");
            updated.value.expect("writable");
            assert!(updated.skipped.is_empty(), "{profile:?} {:?}", updated.skipped);

            let held = block_on(cache.read(&P, TokenCache::serialize)).expect("read");
            let held = UnifiedDocument::parse(&held).expect("sound");
            let stored = stored_document(&documents);
            let ids = |document: &UnifiedDocument| {
                document.clone().into_entries().map(|entry| entry.id).collect::<BTreeSet<EntryId>>()
            };
            assert_eq!(ids(&held), ids(&stored), "{profile:?}");
            let secrets = String::from_utf8_lossy(stored.render().expose()).into_owned();
            assert!(secrets.contains(&format!(r#""secret":"{secret}""#)), "{profile:?} {secrets}");
        }
    }
    assert!(profiles().contains(&Profile::shared_with(EVERY)));
}

fn stored_document(documents: &MemoryDocuments) -> UnifiedDocument {
    let plain = Documents::with_clock(documents.clone(), Arc::new(clock()));
    let stored = block_on(cache_core::DocumentStore::read(plain.document_store(), &P)).expect("read").expect("there");
    UnifiedDocument::parse(&stored.bytes).expect("what we write")
}
