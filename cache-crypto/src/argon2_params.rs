//! The cost of turning a passphrase into a key.

use std::fmt;

use cache_core::{Error, ErrorKind, Result};

/// How much work argon2id does for each passphrase: memory, passes over it, and lanes.
///
/// The default is 64 MiB, 3 passes, 1 lane. Values out of bounds cannot be made, so an envelope that demands more is
/// refused before any work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Argon2Params {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Argon2Params {
    /// The most memory: 1 GiB, in KiB.
    pub const MAX_MEMORY_KIB: u32 = 1024 * 1024;
    /// The most passes over the memory.
    pub const MAX_PASSES: u32 = 16;
    /// The most lanes.
    pub const MAX_LANES: u32 = 16;

    /// Parameters of `memory_kib` KiB, at least 8 for each lane, of `passes` and `lanes`, at least one each.
    /// Out of bounds: `InvalidInput`.
    pub fn new(memory_kib: u32, passes: u32, lanes: u32) -> Result<Self> {
        let in_bounds = (1..=Self::MAX_LANES).contains(&lanes)
            && (1..=Self::MAX_PASSES).contains(&passes)
            && (8 * lanes..=Self::MAX_MEMORY_KIB).contains(&memory_kib);
        if !in_bounds {
            let message = format!(
                "argon2id parameters must be within 8 KiB a lane to {} KiB, 1 to {} passes, 1 to {} lanes; got \
                 {memory_kib} KiB, {passes} passes, {lanes} lanes",
                Self::MAX_MEMORY_KIB,
                Self::MAX_PASSES,
                Self::MAX_LANES
            );
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        Ok(Self { memory_kib, passes, lanes })
    }

    /// Memory in KiB.
    pub fn memory_kib(&self) -> u32 {
        self.memory_kib
    }

    /// Passes over the memory.
    pub fn passes(&self) -> u32 {
        self.passes
    }

    /// Lanes: how many processors a guess can use at once.
    pub fn lanes(&self) -> u32 {
        self.lanes
    }
}

impl Default for Argon2Params {
    fn default() -> Self {
        Self { memory_kib: 64 * 1024, passes: 3, lanes: 1 }
    }
}

/// For people: `argon2id, 64 MiB, 3 passes, 1 lane`.
impl fmt::Display for Argon2Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (memory, unit) = match self.memory_kib {
            kib if kib % 1024 == 0 => (kib / 1024, "MiB"),
            kib => (kib, "KiB"),
        };
        let pass = if self.passes == 1 { "pass" } else { "passes" };
        let lane = if self.lanes == 1 { "lane" } else { "lanes" };
        write!(f, "argon2id, {memory} {unit}, {} {pass}, {} {lane}", self.passes, self.lanes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_held() {
        for (memory, passes, lanes) in [(8, 1, 1), (128, 16, 16), (1024 * 1024, 16, 16), (65536, 3, 1)] {
            let params = Argon2Params::new(memory, passes, lanes).expect("in bounds");
            assert_eq!((params.memory_kib(), params.passes(), params.lanes()), (memory, passes, lanes));
        }
        let max = u32::MAX;
        for (memory, passes, lanes) in [
            (7, 1, 1),
            (127, 1, 16),
            (1024 * 1024 + 1, 1, 1),
            (max, 1, 1),
            (64, 0, 1),
            (64, 17, 1),
            (64, max, 1),
            (64, 1, 0),
            (1024, 1, 17),
            (max, 1, max),
        ] {
            let error = Argon2Params::new(memory, passes, lanes).expect_err("out of bounds");
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn people_can_read_them() {
        assert_eq!(Argon2Params::default().to_string(), "argon2id, 64 MiB, 3 passes, 1 lane");
        let small = Argon2Params::new(40, 1, 2).expect("in bounds");
        assert_eq!(small.to_string(), "argon2id, 40 KiB, 1 pass, 2 lanes");
    }
}
