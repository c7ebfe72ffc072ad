//! Arguments and import documents of the `tokencache` command. The input is one argument a line up to an empty line, and
//! then a document.
//!
//! The command has no library, so that its modules that read arguments are compiled here, and an import does by the
//! public API of `cache-core` what the command does by it.

#![no_main]
// Of the command's modules, only what reads arguments is called.
#![allow(dead_code)]

#[path = "../../cache-cli/src/address.rs"]
mod address;
#[path = "../../cache-cli/src/args/mod.rs"]
mod args;
#[path = "../../cache-cli/src/entry_name.rs"]
mod entry_name;
#[path = "../../cache-cli/src/exit.rs"]
mod exit;
#[path = "../../cache-cli/src/redis_address.rs"]
mod redis_address;
#[path = "../../cache-cli/src/text.rs"]
mod text;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::sync::Arc;

use cache_core::{
    AccessTokenQuery, Blob, CacheStore as _, Change, Changes, Clock, Documents, Entry, EntryId, ManualClock,
    PartitionKey, TokenCache, UnifiedDocument, UnixSeconds,
};
use cache_testkit::MemoryDocuments;
use clap::Parser as _;
use libfuzzer_sys::fuzz_target;
use pollster::block_on;

use self::args::{Cli, Command};
use self::entry_name::EntryNames;

const PLACE: PartitionKey = PartitionKey::Shared;

fuzz_target!(|input: &[u8]| {
    let end = input.windows(2).position(|two| two == b"\n\n");
    let (lines, document) = end.map_or((input, &[][..]), |end| (&input[..end], &input[end + 2..]));
    let arguments = lines.split(|byte| *byte == b'\n').map(|line| OsString::from_vec(line.to_vec()));
    let document = Blob::copy_of(document);
    match Cli::try_parse_from(std::iter::once(OsString::from("tokencache")).chain(arguments)) {
        Ok(cli) => run(&cli, &document),
        Err(refused) => {
            // Rendering is what a user sees; the command adds nothing to it.
            let _ = refused.render().to_string();
        }
    }
});

fn run(cli: &Cli, document: &Blob) {
    let _ = cli.check();
    let now = UnixSeconds(cli.common.now.unwrap_or(1_800_000_000));
    let salvage = match &cli.command {
        Command::Import(import) => import.salvage,
        _ => false,
    };
    let Some(cache) = imported(document, salvage, now) else { return };
    match &cli.command {
        Command::List(_) | Command::Import(_) | Command::Export(_) => lists(&cache),
        Command::Show(show) => {
            if let Ok(id) = EntryNames::of(&cache).find(&show.entry) {
                assert!(cache.entries().any(|entry| entry.id == *id));
            }
        }
        Command::GetToken(asked) => {
            let accounts = cache.accounts();
            let account = asked.account.as_ref().and_then(|name| {
                accounts.iter().find(|group| *group.home_account_id == **name || *group.username == **name)
            });
            let mut query = match account {
                Some(group) => AccessTokenQuery::user(&group.home_account_id, &asked.client_id, &asked.scope),
                None => AccessTokenQuery::app(&asked.client_id, &asked.scope),
            };
            if let Some(tenant) = &asked.tenant {
                query = query.with_realm(tenant);
            }
            if let Some(host) = &asked.environment {
                query = query.with_environment(host);
            }
            if let Some(token) = cache.access_token(&query, now) {
                assert!(token.is_usable(now, 300));
            }
        }
        Command::Remove(removal) => removes(cache, &removal.what, now),
        _ => {}
    }
}

/// The document merged into an empty store, twice: everything is there, and the second time changes nothing.
fn imported(document: &Blob, salvage: bool, now: UnixSeconds) -> Option<TokenCache> {
    let parsed = UnifiedDocument::parse(document).ok();
    let parsed = parsed.or_else(|| salvage.then(|| UnifiedDocument::salvage(document)).flatten())?;
    let entries: Vec<Entry> = parsed.into_entries().collect();
    let clock = Arc::new(ManualClock::at(now)) as Arc<dyn Clock>;
    let store = Documents::with_clock(MemoryDocuments::new(), clock);
    let changes = Changes::new(entries.iter().cloned().map(Change::put).collect());
    let first = block_on(store.commit(&PLACE, &changes)).expect("nothing fails");
    assert!(first.skipped.is_empty(), "an empty store holds nothing newer");
    let second = block_on(store.commit(&PLACE, &changes)).expect("nothing fails");
    assert_eq!(second.before, second.after, "the second import changes nothing");

    let held = block_on(store.load(&PLACE)).expect("what was written can be read");
    let held = held.map(|snapshot| snapshot.entries).unwrap_or_default();
    let named = |entry: &Entry| (entry.id.clone(), entry.json.expose().to_vec());
    let mut cache = TokenCache::default();
    let stored: BTreeSet<_> = held.iter().map(|stored| named(&stored.entry)).collect();
    assert_eq!(stored, entries.iter().map(named).collect(), "an import takes everything");
    for stored in held {
        cache.insert_entry(stored.entry);
    }
    Some(cache)
}

/// Every entry has a name, by which it is found, and nothing in a name steers a terminal.
fn lists(cache: &TokenCache) {
    let names = EntryNames::of(cache);
    let ids: Vec<EntryId> = cache.entries().map(|entry| entry.id).collect();
    for id in &ids {
        assert_eq!(names.find(&names.short(id)).ok(), Some(id));
        let full = entry_name::full(id);
        assert!(names.find(&full).is_ok());
        assert!(!text::printable(&full).chars().any(char::is_control));
        assert!(!text::tsv_field(&full).contains(['\t', '\n', '\r']));
    }
    let _ = cache.accounts();
}

fn removes(mut cache: TokenCache, what: &args::Removal, now: UnixSeconds) {
    let before = cache.len();
    if let Some(name) = &what.account {
        for group in cache.accounts() {
            if *group.home_account_id == **name || *group.username == **name {
                assert!(cache.remove_account(&group.home_account_id, &group.environment));
                assert!(cache.account(&group.home_account_id, &group.environment).is_none());
            }
        }
    }
    if let Some(client) = &what.client_id {
        let gone = cache.remove_client(client);
        assert_eq!(cache.len(), before - gone);
    }
    if what.expired {
        let gone = cache.remove_expired(now);
        assert_eq!(cache.len(), before - gone);
        assert_eq!(cache.remove_expired(now), 0);
    }
}
