//! Waiting for others, in naps of uneven length so that those who wait do not wake together.

use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

/// What is left of a wait.
#[derive(Debug)]
pub(crate) struct Patience {
    /// `None`: a wait beyond what the clock can tell, which has no end.
    deadline: Option<Instant>,
    naps: u32,
}

impl Patience {
    pub(crate) fn new(wait: Duration) -> Self {
        Self { deadline: Instant::now().checked_add(wait), naps: 0 }
    }

    /// Sleeps a little and answers whether to try again; `false`: the wait is over.
    pub(crate) fn is_left(&mut self) -> bool {
        /// A commit takes a few milliseconds.
        const LONGEST: Duration = Duration::from_millis(16);
        let longest = (Duration::from_micros(500) * 2_u32.pow(self.naps.min(5))).min(LONGEST);
        self.naps += 1;
        let left = self.deadline.map_or(longest, |deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return false;
        }
        let share = f64::from(RandomState::new().hash_one(self.naps) as u32) / f64::from(u32::MAX);
        std::thread::sleep(longest.mul_f64(0.5 + share / 2.0).min(left));
        true
    }
}
