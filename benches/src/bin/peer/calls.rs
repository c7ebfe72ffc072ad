//! Whole calls: the persisted cache over a store in memory.

use std::hint::black_box;

use cache_core::{AccessTokenQuery, MemoryStore, PartitionKey, PersistedTokenCache, TokenCache, blocking};

use crate::case::{Case, Probe};
use crate::timer::{Timer, timed};
use crate::{Failure, Report};

/// More than any cache here takes.
pub(crate) const RESIDENT_BYTES: u64 = 32 << 30;

pub(crate) fn measure(tokens: &TokenCache, case: &Case, timer: &Timer, report: &mut Report) -> Result<(), Failure> {
    let cache = PersistedTokenCache::builder(MemoryStore::new()).resident_bytes(RESIDENT_BYTES).build();
    let cache = blocking::PersistedTokenCache::new(cache);
    fill(&cache, tokens)?;

    report.digest("call.exact", case.digest(|probe| secret(&cache, &case.exact(probe)))?);
    if cache.access_token(&PartitionKey::Shared, &case.miss(&case.probes[0]))?.is_some() {
        return Err("a miss was answered".into());
    }
    report.figure("call.exact", awaited(&cache, case, timer, Case::exact));
    report.figure("call.exact.blocking", blocked(&cache, case, timer, Case::exact));
    report.figure("call.miss", awaited(&cache, case, timer, Case::miss));
    if case.is_user() {
        report.digest("call.subset", case.digest(|probe| secret(&cache, &case.subset(probe)))?);
        report.figure("call.subset", awaited(&cache, case, timer, Case::subset));
    }
    if case.kind == "users" {
        let list = || {
            let (listed, time) = timed(|| black_box(cache.read(&PartitionKey::Shared, TokenCache::accounts)));
            listed.map(|_| time)
        };
        report.figure("call.accounts", timer.repeat(1, list)?);
    }
    Ok(())
}

/// Stores every entry of `tokens`.
pub(crate) fn fill(cache: &blocking::PersistedTokenCache, tokens: &TokenCache) -> Result<(), Failure> {
    let updated = cache.update(&PartitionKey::Shared, |stored| {
        tokens.entries().for_each(|entry| stored.insert_entry(entry));
    })?;
    if updated.skipped.is_empty() { Ok(()) } else { Err("an empty store refused entries".into()) }
}

/// Nanoseconds per call for a task that is running.
pub(crate) fn awaited(
    cache: &blocking::PersistedTokenCache,
    case: &Case,
    timer: &Timer,
    query: impl for<'a> Fn(&'a Case, &'a Probe) -> AccessTokenQuery<'a>,
) -> f64 {
    let cache = cache.as_async();
    pollster::block_on(timer.rounds_of(&case.probes, async |probe| {
        drop(black_box(cache.access_token(&PartitionKey::Shared, black_box(&query(case, probe))).await));
    }))
}

/// Nanoseconds per call without a runtime.
pub(crate) fn blocked(
    cache: &blocking::PersistedTokenCache,
    case: &Case,
    timer: &Timer,
    query: impl for<'a> Fn(&'a Case, &'a Probe) -> AccessTokenQuery<'a>,
) -> f64 {
    timer.rounds(&case.probes, |probe| {
        drop(black_box(cache.access_token(&PartitionKey::Shared, black_box(&query(case, probe)))));
    })
}

pub(crate) fn secret(cache: &blocking::PersistedTokenCache, query: &AccessTokenQuery<'_>) -> Result<String, Failure> {
    let token = cache.access_token(&PartitionKey::Shared, query)?.ok_or("a hit was missed")?;
    Ok(token.secret.expose().to_owned())
}
