//! Numbers that look random and are the same in each run, so that a failure comes again.

/// A sequence of numbers, told by its seed, which is not 0 (xorshift64).
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `limit`; 0 if that is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.bits() >> 1).unwrap_or(usize::MAX) % limit.max(1)
    }

    /// Heads or tails.
    pub fn coin(&mut self) -> bool {
        self.bits() >> 17 & 1 == 1
    }
}
