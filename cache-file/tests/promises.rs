//! The promises about processes that share one encrypted file, with real processes and real kills.
//!
//! Short by default; `TOKEN_CACHE_FULL_LENGTH=1` runs every test at the length that the project promises, and each prints
//! what it saw:
//!
//!     TOKEN_CACHE_FULL_LENGTH=1 cargo test --release -p cache-file --test promises -- --nocapture

#![allow(clippy::print_stderr)] // each test says what it saw

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cache_core::schema::{AccessToken, Account, RefreshToken};
use cache_core::{
    AccessContext, Documents, PartitionKey, PersistedTokenCache, TokenCache, TokenResponse, UnifiedDocument, blocking,
};
use cache_crypto::{Envelope, Key};
use cache_file::FileStore;
use cache_testkit::process::{self, Process};
use cache_testkit::worker_name;

const P: PartitionKey = PartitionKey::Shared;
const ALICE: &str = "alice.home";
const HOST: &str = "login.windows.net";

/// `full` for the promised length, else `short`.
fn length(full: usize, short: usize) -> usize {
    if std::env::var_os("TOKEN_CACHE_FULL_LENGTH").is_some() { full } else { short }
}

fn key() -> Key {
    Key::from_bytes(&[7; Key::LEN])
}

fn open(path: &str) -> blocking::PersistedTokenCache {
    let store = FileStore::at(Path::new(path))
        .protector(Arc::new(Envelope::with_key(key())))
        // The promise is about updates, not about patience: eight writers without a pause are no usual load.
        .lock_wait(Duration::from_secs(60))
        .build()
        .expect("a usable path");
    blocking::PersistedTokenCache::new(PersistedTokenCache::builder(Documents::new(store)).build())
}

fn token(name: &str, now: cache_core::UnixSeconds) -> AccessToken {
    AccessToken {
        home_account_id: Some(ALICE.into()),
        environment: HOST.into(),
        client_id: "client".into(),
        realm: "home".into(),
        target: format!("api://{name}/.default").into(),
        secret: format!("secret of {name}").into(),
        cached_at: Some(now),
        expires_on: Some(now.plus(3600)),
        ..AccessToken::default()
    }
}

fn add(cache: &blocking::PersistedTokenCache, name: &str) {
    let token = token(name, cache.as_async().now());
    let updated = cache.update(&P, |tokens| tokens.insert(token)).expect("an update of a usable file");
    updated.value.expect("a complete token");
    assert!(updated.skipped.is_empty(), "nobody else writes this token: {:?}", updated.skipped);
}

/// The names of the tokens in the file, read by a process that has not written it.
fn names(path: &str) -> Vec<String> {
    let name = |(_, token): (_, &Arc<AccessToken>)| {
        assert!(token.secret.expose().starts_with("secret of "));
        token.secret.expose()["secret of ".len()..].to_owned()
    };
    open(path).read(&P, |tokens| tokens.access_tokens().map(name).collect()).expect("a valid file")
}

fn lost<'a>(acknowledged: impl IntoIterator<Item = &'a String>, path: &str) -> usize {
    let stored: std::collections::HashSet<String> = names(path).into_iter().collect();
    acknowledged.into_iter().filter(|name| !stored.contains(*name)).count()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    fn cache(&self) -> String {
        self.0.path().join("tokens.bin").to_str().expect("an ordinary path").to_owned()
    }
}

/// Adds tokens `<prefix>-<n>` and says each that is stored. Begins when it hears a line.
#[test]
#[ignore = "a worker process of other tests"]
fn writer() {
    process::work(worker_name!(writer), |worker| {
        let [path, prefix, count] = worker.arguments().to_vec().try_into().expect("path, prefix, count");
        let cache = open(&path);
        worker.hear();
        let from = names(&path).iter().filter(|name| name.starts_with(&format!("{prefix}-"))).count();
        for n in from..count.parse().expect("a number") {
            let name = format!("{prefix}-{n}");
            add(&cache, &name);
            worker.say(&name);
        }
    });
}

/// Adds each token that it hears of, and says it when it is stored.
#[test]
#[ignore = "a worker process of other tests"]
fn paced_writer() {
    process::work(worker_name!(paced_writer), |worker| {
        let cache = open(&worker.arguments()[0].clone());
        while let Some(name) = worker.hear() {
            add(&cache, &name);
            worker.say(&name);
        }
    });
}

#[test]
fn eight_processes_lose_no_update() {
    let (runs, updates) = (length(10, 1), length(200, 25));
    for run in 0..runs {
        let folder = Folder::new();
        let path = folder.cache();
        let count = updates.to_string();
        let mut writers: Vec<_> =
            (0..8).map(|n| Process::start(worker_name!(writer), &[&path, &format!("w{n}"), &count])).collect();
        for writer in &mut writers {
            writer.say("go");
        }
        let acknowledged: Vec<String> = writers.into_iter().flat_map(Process::finish).collect();
        assert_eq!(acknowledged.len(), 8 * updates);
        let lost = lost(&acknowledged, &path);
        eprintln!("8 processes x {updates} updates, run {}: {lost} of {} lost", run + 1, acknowledged.len());
        assert_eq!(lost, 0);
    }
}

#[test]
fn a_killed_process_loses_nothing_and_blocks_nobody() {
    let kills = length(200, 12);
    let folder = Folder::new();
    let path = folder.cache();
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut slowest = Duration::ZERO;
    let (mut acknowledged, mut total) = (Vec::new(), 0);
    let mut steady = Process::start(worker_name!(paced_writer), &[&path]);
    for kill in 0..kills {
        let mut victim = Process::start(worker_name!(writer), &[&path, &format!("v{kill}"), "1000000"]);
        // Another process writes at the same time.
        for n in 0..3 {
            steady.say(&format!("steady-{kill}-{n}"));
        }
        victim.say("go");
        // A random moment: after some lines, and some microseconds into the next update.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        victim.wait_for_lines((state % 3) as usize + 1);
        let until = Instant::now() + Duration::from_micros(state >> 32 & 0xFFF);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        victim.kill();
        // Whoever comes next gets the lock, finds a valid file, and everything that was acknowledged.
        let came = Instant::now();
        let cache = open(&path);
        let after = format!("after-{kill}");
        add(&cache, &after);
        slowest = slowest.max(came.elapsed());
        acknowledged.extend(victim.lines().iter().cloned());
        acknowledged.push(after);
        if kill % 20 == 19 || kill + 1 == kills {
            assert_eq!(lost(&acknowledged, &path), 0, "after {} kills", kill + 1);
            // Keeps the file small: what was seen is taken out again, as everybody's right.
            let updated = cache.update(&P, |tokens| {
                let ids: Vec<_> = tokens
                    .access_tokens()
                    .filter(|(_, token)| !token.target.contains("steady"))
                    .map(|(id, _)| id)
                    .collect();
                ids.iter().filter(|id| tokens.remove(id)).count()
            });
            assert!(updated.expect("an update").skipped.is_empty());
            total += acknowledged.len();
            acknowledged.clear();
        }
    }
    let beside = steady.finish();
    let lost = lost(&beside, &path);
    let limit = Duration::from_secs(3);
    eprintln!(
        "{kills} kills: {} updates acknowledged by killed processes or right after, and {} by a process beside them, \
         {lost} lost; slowest update after a kill {slowest:?}",
        total,
        beside.len()
    );
    assert_eq!(beside.len(), 3 * kills);
    assert_eq!(lost, 0);
    assert!(slowest < limit, "the lock of a killed process is recovered within {limit:?}");
    let left: Vec<_> = std::fs::read_dir(PathBuf::from(&path).parent().expect("a folder"))
        .expect("the folder")
        .map(|entry| entry.expect("an entry").file_name())
        .filter(|name| name.to_string_lossy().contains("corrupt"))
        .collect();
    assert!(left.is_empty(), "the file was never damaged: {left:?}");
}

fn response(secret: &str, now: cache_core::UnixSeconds) -> TokenResponse {
    TokenResponse {
        access_token: Some(token(secret, now)),
        refresh_token: Some(RefreshToken {
            home_account_id: ALICE.into(),
            environment: HOST.into(),
            client_id: "client".into(),
            secret: secret.into(),
            ..RefreshToken::default()
        }),
        account: Some(Account {
            home_account_id: ALICE.into(),
            environment: HOST.into(),
            realm: "home".into(),
            username: "alice@contoso.example".into(),
            ..Account::default()
        }),
        ..TokenResponse::default()
    }
}

/// Writes refreshed tokens of the account until it hears a line, then says how many.
#[test]
#[ignore = "a worker process of other tests"]
fn refresher() {
    process::work(worker_name!(refresher), |worker| {
        let [path, prefix] = worker.arguments().to_vec().try_into().expect("path, prefix");
        let cache = open(&path);
        worker.say("ready");
        worker.hear();
        for n in 0..10 {
            // The response of a refresh that began while the account was there and may arrive after it was removed.
            let response = response(&format!("{prefix}-{n}"), cache.as_async().now());
            let updated = cache.update(&P, |tokens| tokens.insert_response(response));
            if !updated.expect("an update of a usable file").value.expect("a complete response") {
                break;
            }
            worker.say("refreshed");
        }
    });
}

#[test]
fn a_removed_account_stays_removed_whoever_refreshes() {
    let runs = length(100, 6);
    let (mut refreshed, mut left) = (0, 0);
    for run in 0..runs {
        let folder = Folder::new();
        let path = folder.cache();
        let cache = open(&path);
        let now = cache.as_async().now();
        let signed_in = cache.update(&P, |tokens| tokens.sign_in(response("first", now))).expect("an update");
        signed_in.value.expect("a complete response");
        let mut refreshers: Vec<_> =
            (0..4).map(|n| Process::start(worker_name!(refresher), &[&path, &format!("r{n}")])).collect();
        for refresher in &mut refreshers {
            refresher.wait_for_lines(1);
        }
        for refresher in &mut refreshers {
            refresher.say("go");
        }
        // At another moment in each run.
        refreshers[run % 4].wait_for_lines(2 + run / 4 % 3);
        let removed = cache.update(&P, |tokens| tokens.remove_account(ALICE, HOST)).expect("an update");
        assert!(removed.value, "the account was there");
        refreshed += refreshers.into_iter().flat_map(Process::finish).filter(|line| line == "refreshed").count();
        left += open(&path).read(&P, TokenCache::len).expect("a valid file");
    }
    eprintln!("{runs} sign-outs beside 4 processes that wrote {refreshed} refreshes: {left} entries left");
    assert_eq!(left, 0);
    assert!(refreshed > runs, "the refreshes ran beside the removal");
}

/// A library with a cache of its own, which only knows whole documents.
#[test]
#[ignore = "a worker process of other tests"]
fn library() {
    process::work(worker_name!(library), |worker| {
        let [path, prefix, count] = worker.arguments().to_vec().try_into().expect("path, prefix, count");
        let cache = open(&path);
        worker.hear();
        for n in 0..count.parse().expect("a number") {
            let name = format!("{prefix}-{n}");
            let access = cache.before_access(&AccessContext::new(&P)).expect("a valid file");
            let mut memory = TokenCache::deserialize(access.document().unwrap_or_default()).expect("a sound document");
            memory.insert(token(&name, cache.as_async().now())).expect("a complete token");
            let skipped = access.after_access(Some(memory.serialize().expose())).expect("an update of a usable file");
            assert!(skipped.is_empty(), "{skipped:?}");
            worker.say(&name);
        }
    });
}

#[test]
fn libraries_with_whole_documents_lose_nothing_over_processes() {
    let folder = Folder::new();
    let path = folder.cache();
    let count = length(100, 30).to_string();
    let mut libraries: Vec<_> =
        ["a", "b"].iter().map(|prefix| Process::start(worker_name!(library), &[&path, prefix, &count])).collect();
    for library in &mut libraries {
        library.say("go");
    }
    let acknowledged: Vec<String> = libraries.into_iter().flat_map(Process::finish).collect();
    let lost = lost(&acknowledged, &path);
    eprintln!("2 libraries x {count} updates of whole documents: {lost} of {} lost", acknowledged.len());
    assert_eq!((lost, acknowledged.len()), (0, 2 * count.parse::<usize>().expect("a number")));
}

#[test]
fn what_is_in_the_file_is_a_unified_cache_document() {
    let folder = Folder::new();
    let path = folder.cache();
    add(&open(&path), "one");
    let bytes = std::fs::read(&path).expect("the file");
    assert!(UnifiedDocument::parse(&bytes.into()).is_err(), "nobody reads it without the key");
    let document = open(&path).read(&P, TokenCache::serialize).expect("a valid file");
    assert!(UnifiedDocument::parse(&document).is_ok());
}
