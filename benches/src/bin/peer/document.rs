//! The whole document: loading, saving, and the memory that it takes when it is loaded.

use std::fs;
use std::hint::black_box;
use std::path::Path;

use cache_core::TokenCache;

use crate::case::Case;
use crate::timer::{Timer, timed};
use crate::{Failure, Report, resident};

/// Loads the document, first of all that this process does, so that its memory is the cache's.
pub(crate) fn measure(path: &Path, case: &Case, timer: &Timer, report: &mut Report) -> Result<TokenCache, Failure> {
    let empty = resident::now()?;
    let text = fs::read(path)?;
    let (cache, first) = timed(|| TokenCache::deserialize(&text));
    let cache = cache?;
    drop(text);
    report.figure("memory.per_token", (resident::now()? - empty) / case.tokens);

    let save = || Ok::<_, Failure>(timed(|| black_box(cache.serialize())).1);
    report.figure("document.save", timer.repeat(1, save)?);
    report.figure("memory.peak", resident::peak()?);

    let load = if first < timer.budget {
        let text = fs::read(path)?;
        timer.repeat(1, || Ok::<_, Failure>(timed(|| black_box(TokenCache::deserialize(&text))).1))?
    } else {
        first.as_secs_f64() * 1e9
    };
    report.figure("document.load", load);
    Ok(cache)
}
