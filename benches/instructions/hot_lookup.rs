//! One row of lookups, for callgrind to count: see `run.sh` beside this file.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)] // the script reads it

use std::hint::black_box;
use std::process::ExitCode;

use benches::{Asked, Population, Probe, Remote, fill, hit, persisted, probes};
use cache_core::{Freshness, MemoryStore, PersistedTokenCache, TokenCache};

const TOKENS: usize = 1_000;
/// Seeds of hash functions are drawn anew in every process; over this many passes they even out.
const PASSES: usize = 10;

fn main() -> ExitCode {
    let row = std::env::args().nth(1).unwrap_or_default();
    let asked = match &*row {
        "exact" | "persisted" => Asked::Exact,
        "subset" => Asked::Subset,
        "miss" => Asked::Miss,
        _ => return ExitCode::from(2),
    };
    let cache = Population::Users.cache(TOKENS);
    let probes = probes(Population::Users, TOKENS, asked);
    if row == "persisted" {
        let persisted = persisted(Remote(MemoryStore::new()), Freshness::default());
        fill(&persisted, &cache);
        counted_calls(&persisted, &probes);
    } else {
        counted_lookups(&cache, &probes, asked != Asked::Miss);
    }
    println!("{}", PASSES * probes.len());
    ExitCode::SUCCESS
}

/// Callgrind counts while one of the functions `counted_*` runs.
#[inline(never)]
fn counted_lookups(cache: &TokenCache, probes: &[Probe], found: bool) {
    for probe in std::iter::repeat_n(probes, PASSES).flatten() {
        assert_eq!(black_box(probe.look_up(cache)).is_some(), found);
    }
}

#[inline(never)]
fn counted_calls(cache: &PersistedTokenCache, probes: &[Probe]) {
    for probe in std::iter::repeat_n(probes, PASSES).flatten() {
        black_box(pollster::block_on(hit(cache, probe)));
    }
}
