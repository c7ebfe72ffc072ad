//! Whole calls through an encrypted file.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cache_core::schema::AccessToken;
use cache_core::{PartitionKey, PersistedTokenCache, TokenCache, blocking};
use cache_crypto::{Envelope, Key};
use cache_file::FileStore;

use crate::calls::{RESIDENT_BYTES, awaited, blocked, fill, secret};
use crate::case::Case;
use crate::timer::{Timer, timed};
use crate::{Failure, Report, limits};

pub(crate) fn measure(
    tokens: &TokenCache,
    case: &Case,
    timer: &Timer,
    directory: &Path,
    report: &mut Report,
) -> Result<(), Failure> {
    let (path, key) = (directory.join("cache"), Key::generate()?);
    let cache = open(&path, &key)?;
    fill(&cache, tokens)?;

    report.digest("file", case.digest(|probe| secret(&cache, &case.exact(probe)))?);
    // So old that a look cannot coincide with the change before it.
    std::thread::sleep(Duration::from_millis(50));
    report.figure("file.unchanged", awaited(&cache, case, timer, Case::exact));
    report.figure("file.unchanged.blocking", blocked(&cache, case, timer, Case::exact));
    report.figure("file.changed", changed(&cache, &open(&path, &key)?, case, timer)?);
    report.figure("file.save_one", save_one(&cache, case, timer)?);
    limits::of_file(&path, timer, case, report)
}

fn open(path: &Path, key: &Key) -> Result<blocking::PersistedTokenCache, Failure> {
    let store = FileStore::at(path).protector(Arc::new(Envelope::with_key(key.clone()))).open()?;
    let cache = PersistedTokenCache::builder(store).resident_bytes(RESIDENT_BYTES).build();
    Ok(blocking::PersistedTokenCache::new(cache))
}

/// Nanoseconds of a lookup after `other`, as another process would, has changed one entry.
fn changed(
    cache: &blocking::PersistedTokenCache,
    other: &blocking::PersistedTokenCache,
    case: &Case,
    timer: &Timer,
) -> Result<f64, Failure> {
    let mut versions = versions(other, case, ['a', 'b'])?;
    let query = case.exact(&case.probes[0]);
    timer.repeat(1, || {
        put(other, &mut versions)?;
        let (found, time) = timed(|| cache.access_token(&PartitionKey::Shared, &query));
        found?.ok_or("a hit was missed")?;
        Ok(time)
    })
}

/// Nanoseconds of the update that changes one entry, until it is durable.
fn save_one(cache: &blocking::PersistedTokenCache, case: &Case, timer: &Timer) -> Result<f64, Failure> {
    let mut versions = versions(cache, case, ['c', 'd'])?;
    timer.repeat(1, || {
        let (done, time) = timed(|| put(cache, &mut versions));
        done.map(|()| time)
    })
}

/// Two versions of one token in turn, of the same length. They consist of letters that the store does not hold yet: what
/// is there already would not be written.
fn versions(
    cache: &blocking::PersistedTokenCache,
    case: &Case,
    letters: [char; 2],
) -> Result<impl Iterator<Item = AccessToken> + use<>, Failure> {
    let query = case.exact(&case.probes[0]);
    let stored = cache.access_token(&PartitionKey::Shared, &query)?.ok_or("a hit was missed")?;
    let version = |letter: char| {
        let mut token = AccessToken::clone(&stored);
        let secret: String = std::iter::repeat_n(letter, token.secret.expose().len()).collect();
        token.secret = secret.into();
        token
    };
    Ok(letters.map(version).into_iter().cycle())
}

fn put(cache: &blocking::PersistedTokenCache, versions: &mut impl Iterator<Item = AccessToken>) -> Result<(), Failure> {
    let token = versions.next().ok_or("there is always a next version")?;
    let updated = cache.update(&PartitionKey::Shared, |tokens| tokens.insert(token))?;
    updated.value?;
    if updated.skipped.is_empty() { Ok(()) } else { Err("a change was refused".into()) }
}
