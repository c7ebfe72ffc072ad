//! Medians of what calls take.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use crate::case::Probe;

/// Repeats for so long.
pub(crate) struct Timer {
    pub(crate) budget: Duration,
}

/// Even of the slowest calls there are so many.
const AT_LEAST: usize = 3;

impl Timer {
    /// Nanoseconds per call, the median over rounds of all probes: a clock read takes about as long as a lookup, so that
    /// single ones cannot be timed.
    pub(crate) fn rounds(&self, probes: &[Probe], mut call: impl FnMut(&Probe)) -> f64 {
        let mut round = || timed(|| probes.iter().for_each(&mut call)).1;
        round();
        let Ok(median) = self.repeat(AT_LEAST, || Ok::<_, Infallible>(round()));
        per_probe(median, probes)
    }

    /// The same for calls that are awaited.
    pub(crate) async fn rounds_of(&self, probes: &[Probe], mut call: impl AsyncFnMut(&Probe)) -> f64 {
        for probe in probes {
            call(probe).await;
        }
        let mut times = Vec::new();
        let began = Instant::now();
        while times.len() < AT_LEAST || began.elapsed() < self.budget {
            let start = Instant::now();
            for probe in probes {
                call(probe).await;
            }
            times.push(start.elapsed());
        }
        per_probe(median(times), probes)
    }

    /// Median nanoseconds of what `call` measures each time.
    pub(crate) fn repeat<E>(&self, at_least: usize, mut call: impl FnMut() -> Result<Duration, E>) -> Result<f64, E> {
        let mut times = Vec::new();
        let began = Instant::now();
        while times.len() < at_least || began.elapsed() < self.budget {
            times.push(call()?);
        }
        Ok(median(times))
    }
}

/// The result of `call`, and how long it took.
pub(crate) fn timed<R>(call: impl FnOnce() -> R) -> (R, Duration) {
    let start = Instant::now();
    let result = call();
    (result, start.elapsed())
}

/// In nanoseconds.
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times.get(times.len() / 2).map_or(f64::NAN, |time| time.as_secs_f64() * 1e9)
}

fn per_probe(round: f64, probes: &[Probe]) -> f64 {
    round / f64::from(u32::try_from(probes.len()).unwrap_or(u32::MAX))
}
