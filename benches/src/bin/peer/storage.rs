//! Lookups in a cache that is in memory, and nothing around them.

use std::hint::black_box;
use std::sync::Arc;

use cache_core::schema::AccessToken;
use cache_core::{AccessTokenQuery, TokenCache, UnixSeconds};

use crate::case::{Case, Probe};
use crate::limits::KeyedMap;
use crate::timer::Timer;
use crate::{Failure, Report};

/// After every token was received, long before any expires.
const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

pub(crate) fn measure(cache: &TokenCache, case: &Case, timer: &Timer, report: &mut Report) -> Result<(), Failure> {
    let secret = |query: &AccessTokenQuery<'_>| {
        find(cache, query).map(|token| token.secret.expose().to_owned()).ok_or(Failure::from("a hit was missed"))
    };

    report.digest("storage.exact", case.digest(|probe| secret(&case.exact(probe)))?);
    if find(cache, &case.miss(&case.probes[0])).is_some() {
        return Err("a miss was answered".into());
    }
    report.figure("storage.exact", lookups(cache, case, timer, Case::exact));
    report.figure("storage.miss", lookups(cache, case, timer, Case::miss));
    if case.is_user() {
        report.figure("storage.subset", lookups(cache, case, timer, Case::subset));
        report.digest("storage.subset", case.digest(|probe| secret(&case.subset(probe)))?);
    }

    let map = KeyedMap::of(cache);
    report.digest("limit.exact", case.digest(|probe| map.secret(case, probe))?);
    report.figure("limit.exact", timer.rounds(&case.probes, |probe| drop(black_box(map.find(case, black_box(probe))))));
    Ok(())
}

/// Nanoseconds per lookup.
fn lookups(
    cache: &TokenCache,
    case: &Case,
    timer: &Timer,
    query: impl for<'a> Fn(&'a Case, &'a Probe) -> AccessTokenQuery<'a>,
) -> f64 {
    timer.rounds(&case.probes, |probe| drop(black_box(find(cache, black_box(&query(case, probe))))))
}

fn find(cache: &TokenCache, query: &AccessTokenQuery<'_>) -> Option<Arc<AccessToken>> {
    cache.access_token(query, NOW).map(Arc::clone)
}
