//! Sharing one file with programs that drop, damage and delete what others wrote: ours is made good, and nothing that
//! somebody signed out comes back.

mod common;

use std::fs;
use std::path::Path;
use std::time::Duration;

use cache_core::schema::{AccessToken, Account, AppMetadata, RefreshToken};
use cache_core::{
    CacheStore as _, Clock as _, DocumentStore as _, Documents, ErrorKind, PersistedTokenCache, RefreshTokenQuery,
    SystemClock, TokenCache, TokenResponse, UnixSeconds, blocking,
};
use cache_file::{FileStore, FileStoreBuilder};
use cache_testkit::secrets::capture_traces;

use common::{Folder, SHARED, failure, protector, set_age};

const ALICE: &str = "alice.tenant";
const BOB: &str = "bob.tenant";
const HOST: &str = "login.windows.net";

fn shared(folder: &Folder) -> FileStoreBuilder {
    FileStore::at(folder.cache()).plaintext().shared_with_msal()
}

fn open(builder: FileStoreBuilder) -> blocking::PersistedTokenCache {
    let store = builder.build().expect("a usable path");
    blocking::PersistedTokenCache::new(PersistedTokenCache::builder(Documents::new(store)).build())
}

fn response(user: &str, client: &str, n: u32, now: UnixSeconds) -> TokenResponse {
    TokenResponse {
        access_token: Some(AccessToken {
            home_account_id: Some(user.into()),
            environment: HOST.into(),
            client_id: client.into(),
            realm: "tenant".into(),
            target: format!("scope-{n}").into(),
            secret: format!("at-{user}-{n}").into(),
            cached_at: Some(now),
            expires_on: Some(now.plus(3600)),
            ..AccessToken::default()
        }),
        refresh_token: Some(RefreshToken {
            home_account_id: user.into(),
            environment: HOST.into(),
            client_id: client.into(),
            secret: format!("rt-{user}-{n}").into(),
            ..RefreshToken::default()
        }),
        account: Some(Account {
            home_account_id: user.into(),
            environment: HOST.into(),
            realm: "tenant".into(),
            local_account_id: user.into(),
            username: format!("{user}@example.com").into(),
            authority_type: "MSSTS".into(),
            ..Account::default()
        }),
        app_metadata: Some(AppMetadata {
            client_id: client.into(),
            environment: HOST.into(),
            ..AppMetadata::default()
        }),
        ..TokenResponse::default()
    }
}

fn now() -> UnixSeconds {
    SystemClock.now().to_seconds()
}

fn sign_in(cache: &blocking::PersistedTokenCache, user: &str, client: &str, n: u32) {
    let now = now();
    let signed_in = cache.update(&SHARED, |content| content.sign_in(response(user, client, n, now))).expect("written");
    signed_in.value.expect("complete");
}

/// The secrets of all refresh tokens that a look at the cache finds.
fn seen(cache: &blocking::PersistedTokenCache) -> Vec<String> {
    cache.read(&SHARED, refresh_tokens).expect("read")
}

/// Those that the file itself holds.
fn stored(path: &Path) -> Vec<String> {
    TokenCache::deserialize(&fs::read(path).expect("read")).map(|cache| refresh_tokens(&cache)).expect("a document")
}

fn refresh_tokens(cache: &TokenCache) -> Vec<String> {
    let mut found: Vec<String> =
        cache.all_refresh_tokens().map(|(_, token)| token.secret.expose().to_owned()).collect();
    found.sort();
    found
}

/// Another library writes in place what it made of `content`.
fn another_writes(path: &Path, content: impl AsRef<[u8]>) {
    fs::write(path, content).expect("written");
    // At rest, so that no test waits for a writer that is not there.
    set_age(path, Duration::from_secs(2));
}

/// Another library signs everybody out, as all of them do: app metadata stays.
fn another_signs_out(path: &Path, user: &str) {
    let mut cache = TokenCache::deserialize(&fs::read(path).expect("read")).expect("a document");
    assert!(cache.remove_account(user, HOST));
    another_writes(path, cache.serialize().expose());
}

#[test]
fn what_another_program_drops_is_back_at_the_next_look() {
    let folder = Folder::in_memory();
    let ours = open(shared(&folder));
    sign_in(&ours, BOB, "theirs", 1);
    let stale = fs::read(folder.cache()).expect("read");
    sign_in(&ours, ALICE, "ours", 1);
    another_writes(&folder.cache(), &stale);
    assert_eq!(seen(&ours), ["rt-alice.tenant-1", "rt-bob.tenant-1"]);
    assert_eq!(stored(&folder.cache()), ["rt-alice.tenant-1", "rt-bob.tenant-1"]);
    // A handle that is not shared reads what is there.
    another_writes(&folder.cache(), &stale);
    assert_eq!(seen(&open(FileStore::at(folder.cache()).plaintext())), ["rt-bob.tenant-1"]);
}

#[test]
fn another_process_of_ours_puts_it_back_too() {
    for builder in [shared, |folder: &Folder| FileStore::at(folder.cache()).protector(protector()).shared_with_msal()] {
        let folder = Folder::in_memory();
        sign_in(&open(builder(&folder)), BOB, "theirs", 1);
        let stale = fs::read(folder.cache()).expect("read");
        sign_in(&open(builder(&folder)), ALICE, "ours", 1);
        another_writes(&folder.cache(), &stale);
        assert_eq!(seen(&open(builder(&folder))), ["rt-alice.tenant-1", "rt-bob.tenant-1"]);
    }
}

#[test]
fn the_next_write_puts_it_back_as_well() {
    let folder = Folder::in_memory();
    let ours = open(shared(&folder));
    sign_in(&ours, BOB, "theirs", 1);
    let stale = fs::read(folder.cache()).expect("read");
    sign_in(&ours, ALICE, "ours", 1);
    another_writes(&folder.cache(), &stale);
    sign_in(&ours, BOB, "theirs", 2);
    assert_eq!(stored(&folder.cache()), ["rt-alice.tenant-1", "rt-bob.tenant-2"]);
    assert_eq!(seen(&ours), ["rt-alice.tenant-1", "rt-bob.tenant-2"], "the resident cache knows of it");
}

#[test]
fn a_sign_out_by_another_program_stands() {
    let folder = Folder::in_memory();
    let ours = open(shared(&folder));
    sign_in(&ours, ALICE, "ours", 1);
    another_signs_out(&folder.cache(), ALICE);
    assert!(seen(&ours).is_empty());
    assert!(seen(&open(shared(&folder))).is_empty());
    // Nor does damage bring it back.
    another_writes(&folder.cache(), "");
    let left = open(shared(&folder)).read(&SHARED, refresh_tokens);
    assert!(left.map_or(true, |left| left.is_empty()));
}

#[test]
fn our_sign_out_stands_against_a_program_that_brings_the_account_back() {
    let folder = Folder::in_memory();
    let ours = open(shared(&folder));
    sign_in(&ours, ALICE, "ours", 1);
    sign_in(&ours, BOB, "ours", 1);
    let stale = fs::read(folder.cache()).expect("read");
    let removed = ours.update(&SHARED, |content| content.remove_account(ALICE, HOST)).expect("written");
    assert!(removed.value);
    another_writes(&folder.cache(), &stale);
    assert_eq!(seen(&open(shared(&folder))), ["rt-bob.tenant-1"]);
    assert_eq!(stored(&folder.cache()), ["rt-bob.tenant-1"]);
}

#[test]
fn a_removed_cache_stays_removed() {
    let folder = Folder::in_memory();
    let ours = open(shared(&folder));
    sign_in(&ours, ALICE, "ours", 1);
    let stale = fs::read(folder.cache()).expect("read");
    pollster::block_on(shared(&folder).open().expect("a path").remove(&SHARED)).expect("removed");
    assert!(!folder.cache().exists());
    another_writes(&folder.cache(), &stale);
    assert!(seen(&ours).is_empty());
}

#[test]
fn a_commit_that_puts_back_is_no_continuation_of_what_was_loaded() {
    let folder = Folder::in_memory();
    sign_in(&open(shared(&folder)), BOB, "theirs", 1);
    let stale = fs::read(folder.cache()).expect("read");
    sign_in(&open(shared(&folder)), ALICE, "ours", 1);
    another_writes(&folder.cache(), &stale);
    let store = shared(&folder).build().expect("a path");
    let seen = pollster::block_on(store.stamp(&SHARED)).expect("a stat").expect("is there");
    let committed = common::put(&store, &SHARED, "another").expect("written");
    assert_ne!(committed.before.as_ref(), Some(&seen), "a resident cache must load what was put back");
    assert_eq!(stored(&folder.cache()), ["rt-alice.tenant-1", "rt-bob.tenant-1"]);
}

#[test]
fn an_emptied_file_is_restored_and_said_so() {
    for content in ["", "\0\0\0\0\0\0\0\0", "no document at all", "[1,2]"] {
        let folder = Folder::in_memory();
        sign_in(&open(shared(&folder)), ALICE, "ours", 1);
        another_writes(&folder.cache(), content);
        let again = open(shared(&folder));
        let traces = capture_traces(|| assert_eq!(seen(&again), ["rt-alice.tenant-1"], "{content:?}"));
        assert!(traces.contains("they are back") || traces.contains("restored from the last good copy"), "{traces}");
        assert_eq!(stored(&folder.cache()), ["rt-alice.tenant-1"]);
        let aside = folder.names().iter().filter(|name| name.contains(".corrupt-")).count();
        assert_eq!(aside, usize::from(!content.is_empty()), "what is not understood is kept: {content:?}");
    }
}

#[test]
fn a_torn_file_is_repaired_by_a_look() {
    let folder = Folder::in_memory();
    let ours = open(shared(&folder));
    sign_in(&ours, ALICE, "ours", 1);
    let whole = fs::read(folder.cache()).expect("read");
    for torn in [[&whole[..], b"}}"].concat(), whole[..whole.len() - 2].to_vec(), whole[..whole.len() / 2].to_vec()] {
        another_writes(&folder.cache(), torn);
        assert_eq!(seen(&open(shared(&folder))), ["rt-alice.tenant-1"]);
        assert_eq!(stored(&folder.cache()), ["rt-alice.tenant-1"], "the file itself is sound again");
        assert!(serde_json::from_slice::<serde_json::Value>(&fs::read(folder.cache()).expect("read")).is_ok());
    }
}

#[test]
fn without_a_copy_only_the_last_minutes_are_made_good() {
    let folder = Folder::in_memory();
    let builder = || shared(&folder).last_good_copy(false);
    another_writes(&folder.cache(), r#"{"Account":{},"Extra":{"of":"others"}}"#);
    sign_in(&open(builder()), ALICE, "ours", 1);
    let journal = fs::read_to_string(folder.path().join("msal.cache.journal")).expect("read");
    assert!(!journal.contains("others"), "{journal}");
    another_writes(&folder.cache(), "");
    assert_eq!(seen(&open(builder())), ["rt-alice.tenant-1"]);
}

#[test]
fn a_missing_file_stays_missing() {
    let folder = Folder::in_memory();
    let ours = open(shared(&folder));
    sign_in(&ours, ALICE, "ours", 1);
    fs::remove_file(folder.cache()).expect("removed");
    assert!(seen(&ours).is_empty());
    assert!(!folder.cache().exists());
    // Somebody begins anew without us: then ours belongs into it.
    another_writes(&folder.cache(), r#"{"AppMetadata":{}}"#);
    assert_eq!(seen(&ours), ["rt-alice.tenant-1"]);
    // Where its absence means that everybody was signed out, it does not.
    let folder = Folder::in_memory();
    let ours = open(shared(&folder).absence_is_sign_out(true));
    sign_in(&ours, ALICE, "ours", 1);
    fs::remove_file(folder.cache()).expect("removed");
    assert!(seen(&ours).is_empty());
    another_writes(&folder.cache(), r#"{"AppMetadata":{}}"#);
    assert!(seen(&ours).is_empty());
}

#[test]
fn the_journal_is_as_private_as_the_cache() {
    let folder = Folder::in_memory();
    sign_in(&open(FileStore::at(folder.cache()).protector(protector()).shared_with_msal()), ALICE, "ours", 1);
    assert_eq!(folder.names(), ["msal.cache", "msal.cache.journal"]);
    let journal = fs::read(folder.path().join("msal.cache.journal")).expect("read");
    for secret in ["alice", "rt-", "ReapplyJournal"] {
        assert!(!journal.windows(secret.len()).any(|part| part == secret.as_bytes()), "{secret}");
    }
    // Nor can it be put in the place of the cache.
    fs::copy(folder.path().join("msal.cache.journal"), folder.cache()).expect("copied");
    let opened = FileStore::at(folder.cache()).protector(protector()).build().expect("a path");
    assert_eq!(failure(common::keys(&opened, &SHARED)).kind(), ErrorKind::Corrupt);
}

#[cfg(unix)]
#[test]
fn the_journal_of_a_plaintext_cache_is_its_owners_alone() {
    let folder = Folder::in_memory();
    sign_in(&open(shared(&folder)), ALICE, "ours", 1);
    assert_eq!(cache_testkit::folder::mode(&folder.path().join("msal.cache.journal")), 0o600);
}

#[test]
fn a_journal_that_cannot_be_read_costs_the_journal_only() {
    let folder = Folder::in_memory();
    let builder = || FileStore::at(folder.cache()).protector(protector()).shared_with_msal();
    sign_in(&open(builder()), ALICE, "ours", 1);
    let journal = folder.path().join("msal.cache.journal");
    for damaged in [&b""[..], b"{}", b"\x89TOKENC\nnonsense"] {
        fs::write(&journal, damaged).expect("written");
        let traces = capture_traces(|| assert_eq!(seen(&open(builder())), ["rt-alice.tenant-1"]));
        assert!(traces.contains("journal"), "{traces}");
    }
    sign_in(&open(builder()), BOB, "ours", 2);
    assert_eq!(seen(&open(builder())), ["rt-alice.tenant-1", "rt-bob.tenant-2"]);
}

#[test]
fn what_is_moved_aside_does_not_come_back() {
    let folder = Folder::in_memory();
    let store = shared(&folder).build().expect("a path");
    sign_in(&open(shared(&folder)), ALICE, "ours", 1);
    pollster::block_on(store.move_aside(&SHARED)).expect("moved").expect("was there");
    another_writes(&folder.cache(), "");
    assert!(open(shared(&folder)).read(&SHARED, refresh_tokens).map_or(true, |left| left.is_empty()));
}

#[test]
fn a_folder_of_partitions_is_not_shared() {
    let folder = Folder::in_memory();
    let error = failure(FileStore::in_dir(folder.path()).plaintext().shared_with_msal().build());
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_refresh_of_ours_wins_over_the_stale_one_that_comes_back() {
    let folder = Folder::in_memory();
    let ours = open(shared(&folder));
    sign_in(&ours, ALICE, "ours", 1);
    let stale = fs::read(folder.cache()).expect("read");
    let refreshed = TokenResponse { account: None, ..response(ALICE, "ours", 2, now()) };
    assert!(ours.update(&SHARED, |content| content.insert_response(refreshed)).expect("written").value.expect("whole"));
    another_writes(&folder.cache(), stale);
    let query = RefreshTokenQuery::user(ALICE, "ours", HOST);
    let best =
        ours.read(&SHARED, |content| content.refresh_tokens(&query).first().map(|(_, token)| token.secret.clone()));
    assert_eq!(best.expect("read").expect("found").expose(), "rt-alice.tenant-2");
    assert_eq!(seen(&ours), ["rt-alice.tenant-2"]);
}

#[test]
fn a_write_where_the_file_is_gone_brings_ours_along() {
    let folder = Folder::in_memory();
    sign_in(&open(shared(&folder)), ALICE, "ours", 1);
    fs::remove_file(folder.cache()).expect("removed");
    let ours = open(shared(&folder));
    assert!(seen(&ours).is_empty());
    sign_in(&ours, BOB, "ours", 2);
    assert_eq!(stored(&folder.cache()), ["rt-alice.tenant-1", "rt-bob.tenant-2"]);
    assert_eq!(seen(&ours), ["rt-alice.tenant-1", "rt-bob.tenant-2"], "the resident cache knows of it");
    // Where its absence means that everybody was signed out, it does not.
    let folder = Folder::in_memory();
    let builder = || shared(&folder).absence_is_sign_out(true);
    sign_in(&open(builder()), ALICE, "ours", 1);
    fs::remove_file(folder.cache()).expect("removed");
    sign_in(&open(builder()), BOB, "ours", 2);
    assert_eq!(stored(&folder.cache()), ["rt-bob.tenant-2"]);
}

#[test]
fn what_may_be_protected_by_another_program_is_left_alone() {
    let folder = Folder::in_memory();
    sign_in(&open(shared(&folder)), ALICE, "ours", 1);
    let protected = b"\x89TOKENC\n\xff\xfe of another version";
    another_writes(&folder.cache(), protected);
    let ours = open(shared(&folder));
    assert_eq!(failure(ours.read(&SHARED, refresh_tokens)).kind(), ErrorKind::Unsupported);
    let now = now();
    let written = ours.update(&SHARED, |content| content.sign_in(response(BOB, "ours", 2, now)));
    assert_eq!(failure(written).kind(), ErrorKind::Unsupported);
    assert_eq!(fs::read(folder.cache()).expect("read"), protected);
    assert_eq!(folder.names(), ["msal.cache", "msal.cache.journal"]);
}

#[cfg(unix)]
#[test]
fn what_is_no_journal_costs_the_journal_only() {
    let folder = Folder::in_memory();
    let journal = folder.path().join("msal.cache.journal");
    sign_in(&open(shared(&folder)), ALICE, "ours", 1);
    let things: [fn(&Path); 2] = [
        |journal| std::os::unix::fs::symlink("elsewhere", journal).expect("linked"),
        |journal| fs::File::create(journal).and_then(|file| file.set_len((1 << 30) + 1)).expect("made"),
    ];
    for (n, thing) in things.iter().enumerate() {
        fs::remove_file(&journal).expect("removed");
        thing(&journal);
        let traces = capture_traces(|| sign_in(&open(shared(&folder)), BOB, "ours", n as u32));
        assert!(traces.contains("journal"), "{traces}");
        assert_eq!(stored(&folder.cache()), ["rt-alice.tenant-1".to_owned(), format!("rt-bob.tenant-{n}")]);
        assert!(fs::symlink_metadata(&journal).expect("is there").is_file());
    }
    // What cannot be replaced fails the write, and leaves everything as it is.
    fs::remove_file(&journal).expect("removed");
    fs::create_dir(&journal).expect("made");
    let (ours, now) = (open(shared(&folder)), now());
    let error = failure(ours.update(&SHARED, |content| content.sign_in(response(BOB, "ours", 9, now))));
    assert!(error.to_string().contains("msal.cache.journal"), "{error}");
    assert_eq!(stored(&folder.cache()), ["rt-alice.tenant-1", "rt-bob.tenant-1"]);
    assert_eq!(folder.names(), ["msal.cache", "msal.cache.journal"]);
}

#[cfg(unix)]
#[test]
fn a_look_at_what_is_well_writes_nothing() {
    use std::os::unix::fs::MetadataExt as _;

    let files = |folder: &Folder| -> Vec<_> {
        let names = folder.names().into_iter();
        let stat = |name: &String| fs::metadata(folder.path().join(name)).expect("a stat");
        names.map(|name| (stat(&name).ino(), stat(&name).ctime_nsec(), name)).collect()
    };
    for left in [
        None,
        Some("{}"),
        Some(
            r#"{"RefreshToken":{"a":{"home_account_id":"x","environment":"e","client_id":"c","secret":"s"}},"AppMetadata":{"b":{"client_id":"c","environment":"e"}}}"#,
        ),
    ] {
        let folder = Folder::in_memory();
        let builders = || [shared(&folder), shared(&folder).last_good_copy(false)];
        for (n, builder) in builders().into_iter().enumerate() {
            sign_in(&open(builder), [ALICE, BOB][n], "ours", 1);
        }
        if let Some(left) = left {
            fs::remove_file(folder.path().join("msal.cache.journal")).expect("removed");
            another_writes(&folder.cache(), left);
        }
        let look = |builder| {
            seen(&open(builder));
            files(&folder)
        };
        let [_, settled] = builders().map(look);
        for _ in 0..2 {
            for builder in builders() {
                assert_eq!(look(builder), settled, "{left:?}");
            }
        }
    }
}

#[test]
fn a_write_that_was_cut_short_after_its_journal_harms_nothing() {
    let folder = Folder::in_memory();
    sign_in(&open(shared(&folder)), ALICE, "ours", 1);
    let before = fs::read(folder.cache()).expect("read");
    // A refresh: either both or none of it was seen by somebody.
    sign_in(&open(shared(&folder)), ALICE, "ours", 2);
    another_writes(&folder.cache(), &before);
    assert_eq!(seen(&open(shared(&folder))), ["rt-alice.tenant-2"]);
    // A sign-out.
    let before = fs::read(folder.cache()).expect("read");
    assert!(
        open(shared(&folder)).update(&SHARED, |content| content.remove_account(ALICE, HOST)).expect("written").value
    );
    another_writes(&folder.cache(), &before);
    assert!(seen(&open(shared(&folder))).is_empty());
    // What a killed process leaves goes with a later write.
    let left = folder.path().join("msal.cache.journal.1.0123456789abcdef.tmp");
    fs::write(&left, "{}").expect("written");
    set_age(&left, Duration::from_secs(120));
    sign_in(&open(shared(&folder)), BOB, "ours", 1);
    assert_eq!(folder.names(), ["msal.cache", "msal.cache.journal"]);
}
