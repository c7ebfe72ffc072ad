//! Readers on several threads, and a writer beside them.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cache_core::PersistedTokenCache;

use crate::{PARTITION, Population, Probe};

/// Probes for two threads or more that ask for the same tokens, each beginning at another place.
pub fn same_tokens(threads: usize, mut probes: impl FnMut() -> Vec<Probe>) -> Vec<Vec<Probe>> {
    let set = |thread| {
        let mut set = probes();
        let from = set.len() * thread / threads;
        set.rotate_left(from);
        set
    };
    (0..threads).map(set).collect()
}

/// How long it takes until a thread per set has asked for `lookups` of the set's probes, from the first one's start to the
/// last one's end. They start together.
pub fn lookups_of_threads(sets: &[&[Probe]], lookups: u64, ask: impl Fn(&Probe) + Sync) -> Duration {
    let ready = Barrier::new(sets.len());
    let run = |probes: &[Probe]| {
        probes.iter().for_each(&ask);
        ready.wait();
        let started = Instant::now();
        (0..lookups / probes.len() as u64).for_each(|_| probes.iter().for_each(&ask));
        probes.iter().take((lookups % probes.len() as u64) as usize).for_each(&ask);
        (started, Instant::now())
    };
    let times: Vec<(Instant, Instant)> = thread::scope(|scope| {
        let run = &run;
        let running: Vec<_> = sets.iter().map(|probes| scope.spawn(move || run(probes))).collect();
        running.into_iter().map(|thread| thread.join().expect("a lookup does not fail")).collect()
    });
    let first = times.iter().map(|(started, _)| *started).min();
    let last = times.iter().map(|(_, ended)| *ended).max();
    last.zip(first).map_or(Duration::ZERO, |(last, first)| last - first)
}

/// Calls `read` while a thread renews one token of `population` in `cache` every 10 ms. Also answers how many commits it
/// made per second; fewer than 100 if one takes longer.
pub fn beside_writer<R>(
    cache: &PersistedTokenCache,
    population: Population,
    tokens: usize,
    read: impl FnOnce() -> R,
) -> (R, f64) {
    const PERIOD: Duration = Duration::from_millis(10);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let started = Instant::now();
            let (mut due, mut commits) = (started, 0);
            while !stop.load(Ordering::Relaxed) {
                save_one_change(cache, population, tokens, commits);
                commits += 1;
                due = (due + PERIOD).max(Instant::now());
                thread::sleep(due.duration_since(Instant::now()));
            }
            f64::from(commits) / started.elapsed().as_secs_f64()
        });
        let result = read();
        stop.store(true, Ordering::Relaxed);
        (result, writer.join().expect("the writer does not fail"))
    })
}

/// Renews one token of `population` in `cache`, another one for each `serial`.
pub fn save_one_change(cache: &PersistedTokenCache, population: Population, tokens: usize, serial: u32) {
    let token = population.renewed(tokens, serial as usize % tokens, i64::from(serial));
    let updated = pollster::block_on(cache.update(&PARTITION, |content| content.insert(token)));
    let updated = updated.expect("the store takes a change");
    updated.value.expect("the token is complete");
    assert!(updated.skipped.is_empty(), "nobody else writes");
}
