//! How long lookups take.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// The times of lookups that hit, in nanoseconds.
#[derive(Debug)]
pub(crate) struct Lookups {
    times: Histogram<u64>,
    /// For how long lookups were made, summed over the processes.
    elapsed: Duration,
    /// Lookups that should have hit and did not.
    missed: u64,
}

/// Lookups in figures. Percentiles are `None` if there was none.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Summary {
    pub(crate) hits: u64,
    pub(crate) missed: u64,
    pub(crate) per_second_and_process: u64,
    pub(crate) p50_ns: Option<u64>,
    pub(crate) p99_ns: Option<u64>,
}

impl Lookups {
    /// No lookups yet.
    pub(crate) fn new() -> Self {
        // From a nanosecond to a minute, to three digits; the bounds are sound, and longer times count as a minute.
        let times = Histogram::new_with_bounds(1, 60_000_000_000, 3).or_else(|_| Histogram::new(3));
        let times = times.unwrap_or_else(|_| unreachable!("three digits are always possible"));
        Self { times, elapsed: Duration::ZERO, missed: 0 }
    }

    /// Counts a lookup that hit.
    pub(crate) fn hit(&mut self, took: Duration) {
        self.add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), 1);
    }

    /// Counts a lookup that should have hit and did not.
    pub(crate) fn miss(&mut self) {
        self.missed += 1;
    }

    /// Says for how long the lookups were made.
    pub(crate) fn took(&mut self, elapsed: Duration) {
        self.elapsed += elapsed;
    }

    /// The lookups as lines, `lookup NANOSECONDS COUNT` for each class of times and one `lookups ELAPSED MISSED`.
    pub(crate) fn to_lines(&self) -> String {
        let classes = self
            .times
            .iter_recorded()
            .map(|class| format!("lookup {} {}\n", class.value_iterated_to(), class.count_since_last_iteration()));
        let end = format!("lookups {} {}\n", self.elapsed.as_nanos(), self.missed);
        classes.chain([end]).collect()
    }

    /// Takes in one of those lines; answers whether it was the last one. `None`: it is none of them.
    pub(crate) fn read_line(&mut self, line: &str) -> Option<bool> {
        let mut words = line.split(' ');
        let (kind, first, second) = (words.next()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        match kind {
            "lookup" => self.add(first, second),
            "lookups" => {
                self.elapsed += Duration::from_nanos(first);
                self.missed += second;
            }
            _ => return None,
        }
        Some(kind == "lookups")
    }

    /// The figures.
    pub(crate) fn summary(&self) -> Summary {
        let hits = self.times.len();
        let seconds = self.elapsed.as_secs_f64();
        // A rate is small and positive; a fraction of a lookup tells nothing.
        #[allow(clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let rate = if seconds > 0.0 { (hits as f64 / seconds) as u64 } else { 0 };
        let at = |quantile| (hits > 0).then(|| self.times.value_at_quantile(quantile));
        Summary { hits, missed: self.missed, per_second_and_process: rate, p50_ns: at(0.5), p99_ns: at(0.99) }
    }

    fn add(&mut self, nanoseconds: u64, count: u64) {
        let time = nanoseconds.clamp(self.times.low(), self.times.high());
        // Within its bounds a histogram takes everything.
        let _ = self.times.record_n(time, count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_carry_everything() {
        let mut one = Lookups::new();
        for nanoseconds in [0, 900, 900, 1_000_000, u64::MAX] {
            one.hit(Duration::from_nanos(nanoseconds));
        }
        one.miss();
        one.took(Duration::from_millis(10));

        let mut sum = Lookups::new();
        for _ in 0..2 {
            let ends: Vec<_> =
                one.to_lines().lines().map(|line| sum.read_line(line).expect("a line of ours")).collect();
            assert_eq!(ends.iter().filter(|end| **end).count(), 1);
        }
        let Summary { hits, missed, per_second_and_process, p50_ns, p99_ns } = sum.summary();
        assert_eq!((hits, missed, per_second_and_process), (10, 2, 500));
        assert!(p50_ns.is_some_and(|time| (895..=905).contains(&time)), "{p50_ns:?}");
        assert!(p99_ns.is_some_and(|time| time >= 59_900_000_000), "{p99_ns:?}");
    }

    #[test]
    fn other_lines_are_refused() {
        for line in ["", "lookup", "lookup 1", "lookup x 1", "added 3 4"] {
            assert_eq!(Lookups::new().read_line(line), None, "{line}");
        }
    }
}
