//! Pauses between tries that others have got ahead of.

use std::time::Duration;

use cache_crypto::rows::random;

/// Between two tries: longer with each, and of uneven length, so that those who wait do not wake together.
#[derive(Default)]
pub(crate) struct Naps(u32);

impl Naps {
    pub(crate) fn next_length(&mut self) -> Duration {
        const LONGEST: Duration = Duration::from_millis(100);
        let longest = (Duration::from_millis(4) * 2_u32.pow(self.0.min(5))).min(LONGEST);
        self.0 = self.0.saturating_add(1);
        let mut random_bytes = [0; 2];
        // Without a random number they are even.
        let share = random(&mut random_bytes).map_or(1.0, |()| f64::from(u16::from_le_bytes(random_bytes)) / 65_535.0);
        longest.mul_f64(0.5 + share / 2.0)
    }

    pub(crate) async fn nap(&mut self) {
        tokio::time::sleep(self.next_length()).await;
    }
}
