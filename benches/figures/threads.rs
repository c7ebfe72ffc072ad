//! Several threads on one cache.

use std::cell::RefCell;
use std::hint::black_box;
use std::time::Duration;

use benches::measure::{Contender, Samples, interleaved, nanoseconds, passes};
use benches::{
    Asked, BuiltKeyMap, Population, Probe, Remote, beside_writer, fill, hit, lookups_of_threads, persisted, probes,
    same_tokens,
};
use cache_core::{Freshness, MemoryStore};

use crate::table::{Table, Target};

pub(crate) fn measure(table: &mut Table) {
    for (tokens, size) in [(1_000, "1k"), (100_000, "100k")] {
        two_threads(table, tokens, size);
    }
    for (tokens, size) in [(1_000, "1k"), (100_000, "100k")] {
        writer(table, tokens, size);
    }
}

fn two_threads(table: &mut Table, tokens: usize, size: &str) {
    let content = Population::Users.cache(tokens);
    let map = BuiltKeyMap::of(&content);
    let cache = persisted(Remote(MemoryStore::new()), Freshness::default());
    fill(&cache, &content);
    let bare = |probe: &Probe| drop(black_box(map.look_up(probe)));
    let whole = |probe: &Probe| drop(black_box(pollster::block_on(hit(&cache, probe))));

    let all = || probes(Population::Users, tokens, Asked::Exact);
    let same = same_tokens(2, all);
    // Halves of the tokens, not of the draws, so that none is in both.
    let (own_a, own_b): (Vec<_>, Vec<_>) = all().into_iter().partition(Probe::is_of_even_account);
    for (sets, whose, measured) in [
        (
            [&own_a[..], &own_b],
            "own tokens",
            "throughput of two threads over that of one (column limit), `PersistedTokenCache::access_token` within the \
             freshness window, one cache, about 1,000 hot probes a thread, no token asked for by both",
        ),
        (
            [&same[0][..], &same[1]],
            "same tokens",
            "the same where both threads ask for the same 2,000 tokens, and so write to the same reference counts",
        ),
    ] {
        let [bare_1, bare_2, whole_1, whole_2] = interleaved(
            41,
            [
                on_threads(&sets[..1], bare),
                on_threads(&sets, bare),
                on_threads(&sets[..1], whole),
                on_threads(&sets, whole),
            ],
        );
        let mut row = |what: &str, measured, samples: [&Samples; 2], target| {
            let figure = format!("two threads, {whose}, {what}, {size}");
            table.rates(&figure, measured, samples, (1e-6, "M/s"), target);
        };
        row("whole call", measured, [&whole_2, &whole_1], Target::AtLeast(1.7));
        let measured = "the row above it for the limit of lookups: what sharing costs where nothing but the handle's count \
                        is shared";
        row("bare map", measured, [&bare_2, &bare_1], Target::None);
    }
}

fn on_threads<'a>(sets: &'a [&'a [Probe]], ask: impl Fn(&Probe) + Sync + 'a) -> Contender<'a> {
    const LOOKUPS: u64 = 100_000;
    Box::new(move || {
        let took = lookups_of_threads(sets, LOOKUPS, &ask);
        nanoseconds(took) / (LOOKUPS * sets.len() as u64) as f64
    })
}

fn writer(table: &mut Table, tokens: usize, size: &str) {
    let cache = persisted(MemoryStore::new(), Freshness::default());
    fill(&cache, &Population::Users.cache(tokens));
    let probes = probes(Population::Users, tokens, Asked::Exact);

    let rates = RefCell::new(Vec::new());
    let reader = || passes(&probes, Duration::from_millis(300), |probe| pollster::block_on(hit(&cache, probe)));
    let mut reads = reader();
    let [alone, beside] = interleaved(
        15,
        [
            reader(),
            Box::new(|| {
                let (took, rate) = beside_writer(&cache, Population::Users, tokens, &mut reads);
                rates.borrow_mut().push(rate);
                took
            }),
        ],
    );
    let rates = rates.take();
    let rate = rates.iter().sum::<f64>() / rates.len() as f64;
    table.times(
        &format!("reader beside a writer, {size} tokens ({rate:.0} commits/s)"),
        "one reader of `PersistedTokenCache::access_token` over memory while another thread commits one renewed token \
         every 10 ms to the same cache; limit: the reader alone",
        [&beside, &alone],
        Target::AtMost(1.1),
    );
}
