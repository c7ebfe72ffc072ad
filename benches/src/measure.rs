//! Measuring things against each other: blocks that alternate within one run, and their medians.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::population::Random;

/// One of several things that are measured beside each other. A call runs one block and answers what a single
/// operation took in it, in nanoseconds.
pub type Contender<'a> = Box<dyn FnMut() -> f64 + 'a>;

/// What the blocks of one contender took per operation, in nanoseconds, in the order of the rounds.
#[derive(Debug, Clone)]
pub struct Samples(Vec<f64>);

/// A quotient of two contenders.
#[derive(Debug, Clone, Copy)]
pub struct Ratio {
    /// The median over the rounds.
    pub median: f64,
    /// A quarter of the rounds was below this.
    pub lower: f64,
    /// A quarter of the rounds was above this.
    pub upper: f64,
}

/// Runs a block of each contender per round, so that whatever slows the machine down for a while meets all of them; in
/// another order each time, since what came just before counts: a disk that has flushed is quick for a moment. The first
/// round is not counted.
pub fn interleaved<const N: usize>(rounds: usize, mut contenders: [Contender<'_>; N]) -> [Samples; N] {
    let mut samples = std::array::from_fn(|_| Samples(Vec::with_capacity(rounds)));
    let mut order: [usize; N] = std::array::from_fn(|which| which);
    let mut random = Random(7);
    for round in 0..=rounds {
        (1..N).for_each(|place| order.swap(place, random.below(place + 1)));
        for which in order {
            let took = contenders[which]();
            if round > 0 {
                samples[which].0.push(took);
            }
        }
    }
    samples
}

impl Samples {
    /// The median, in nanoseconds per operation.
    pub fn median(&self) -> f64 {
        quantile(&self.0, 0.5)
    }

    /// What this contender takes more than `other`, in nanoseconds: the median of the rounds' differences.
    pub fn minus(&self, other: &Self) -> f64 {
        let differences: Vec<f64> = self.0.iter().zip(&other.0).map(|(ours, theirs)| ours - theirs).collect();
        quantile(&differences, 0.5)
    }

    /// This contender's time over `other`'s, round by round: both blocks of a round ran next to each other.
    pub fn over(&self, other: &Self) -> Ratio {
        let quotients: Vec<f64> = self.0.iter().zip(&other.0).map(|(ours, theirs)| ours / theirs).collect();
        Ratio {
            median: quantile(&quotients, 0.5),
            lower: quantile(&quotients, 0.25),
            upper: quantile(&quotients, 0.75),
        }
    }
}

/// A contender that asks for all `probes` in turn: once to warm the caches up, which is not timed, then as often as fits into
/// `block`. Short blocks are seldom interrupted, so that their median holds on a busy machine too.
pub fn passes<'a, P, R>(probes: &'a [P], block: Duration, mut ask: impl FnMut(&P) -> R + 'a) -> Contender<'a> {
    Box::new(move || {
        for probe in probes {
            drop(black_box(ask(probe)));
        }
        let mut passes = Passes::begin(block);
        while passes.next() {
            for probe in probes {
                drop(black_box(ask(black_box(probe))));
            }
        }
        passes.nanoseconds() / probes.len() as f64
    })
}

/// The same for what answers by a future. All of a block runs in one task, so that no executor is measured.
pub fn async_passes<'a, P, R>(probes: &'a [P], block: Duration, ask: impl AsyncFn(&P) -> R + 'a) -> Contender<'a> {
    Box::new(move || {
        pollster::block_on(async {
            for probe in probes {
                drop(black_box(ask(probe).await));
            }
            let mut passes = Passes::begin(block);
            while passes.next() {
                for probe in probes {
                    drop(black_box(ask(black_box(probe)).await));
                }
            }
            passes.nanoseconds() / probes.len() as f64
        })
    })
}

/// Counts passes until a block is over; the first one always fits.
struct Passes {
    block: Duration,
    started: Instant,
    elapsed: Duration,
    begun: u32,
}

impl Passes {
    fn begin(block: Duration) -> Self {
        Self { block, started: Instant::now(), elapsed: Duration::ZERO, begun: 0 }
    }

    /// Whether there is time for one more.
    fn next(&mut self) -> bool {
        self.elapsed = self.started.elapsed();
        let more = self.begun == 0 || self.elapsed < self.block;
        self.begun += u32::from(more);
        more
    }

    /// What one pass took.
    fn nanoseconds(&self) -> f64 {
        nanoseconds(self.elapsed) / f64::from(self.begun)
    }
}

/// A contender that does one thing once per block; what it returns is dropped outside of the measurement.
pub fn single<'a, R>(mut once: impl FnMut() -> R + 'a) -> Contender<'a> {
    Box::new(move || {
        let started = Instant::now();
        let result = black_box(once());
        let took = started.elapsed();
        drop(result);
        nanoseconds(took)
    })
}

/// A contender that does one thing `times` times per block, each with what `prepare` makes before the clock runs, and answers
/// the mean: what happens once in many calls counts with its share.
pub fn mean<'a, T>(times: usize, mut prepare: impl FnMut() -> T + 'a, mut once: impl FnMut(&T) + 'a) -> Contender<'a> {
    Box::new(move || {
        let prepared: Vec<T> = (0..times).map(|_| prepare()).collect();
        let started = Instant::now();
        prepared.iter().for_each(&mut once);
        nanoseconds(started.elapsed()) / times as f64
    })
}

/// A contender that times `calls` calls one by one in each block, and answers the `share` quantile of them. The probes are asked
/// in turn over all blocks, so that each is asked for once if there are enough; `begin` gives what a block asks, before the
/// clock runs.
pub fn slowest<'a, P, A, R>(
    share: f64,
    calls: usize,
    probes: &'a [P],
    mut begin: impl FnMut() -> A + 'a,
    mut ask: impl FnMut(&A, &P) -> R + 'a,
) -> Contender<'a> {
    let mut turn = probes.iter().cycle();
    Box::new(move || {
        let asked = begin();
        let mut time = |probe| {
            let started = Instant::now();
            let answer = black_box(ask(&asked, black_box(probe)));
            let took = started.elapsed();
            drop(answer);
            nanoseconds(took)
        };
        let times: Vec<f64> = turn.by_ref().take(calls).map(&mut time).collect();
        quantile(&times, share)
    })
}

/// `duration` in nanoseconds.
pub fn nanoseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e9
}

/// The value that a `share` of all is below, between two of them if need be.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = share * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    below + (above - below) * place.fract()
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // small whole numbers and halves are exact
mod tests {
    use super::*;

    #[test]
    fn each_round_has_each_contender_once_in_changing_order_and_the_first_does_not_count() {
        let order = std::cell::RefCell::new(Vec::new());
        let contender = |name: f64| -> Contender<'_> {
            let order = &order;
            let mut round = 0.0;
            Box::new(move || {
                order.borrow_mut().push(name);
                round += 1.0;
                if round == 1.0 { 1e9 } else { name * round }
            })
        };
        let [a, b] = interleaved(31, [contender(1.0), contender(2.0)]);
        let order = order.borrow();
        let (rounds, rest) = order.as_chunks::<2>();
        assert_eq!((rounds.len(), rest), (32, &[][..]));
        let forward = rounds.iter().filter(|round| **round == [1.0, 2.0]).count();
        let backward = rounds.iter().filter(|round| **round == [2.0, 1.0]).count();
        assert_eq!(forward + backward, 32);
        assert!(forward > 8 && backward > 8, "{forward} times in order");
        assert_eq!((a.median(), b.median()), (17.0, 34.0));
        let ratio = b.over(&a);
        assert_eq!((ratio.lower, ratio.median, ratio.upper), (2.0, 2.0, 2.0));
        assert_eq!(b.minus(&a), 17.0);
    }

    #[test]
    fn quantiles_lie_between_the_values() {
        let values = [4.0, 1.0, 3.0, 2.0];
        assert_eq!([0.0, 0.25, 0.5, 1.0].map(|share| quantile(&values, share)), [1.0, 1.75, 2.5, 4.0]);
    }
}
