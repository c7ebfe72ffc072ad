//! A process that is killed in the midst of an update loses nothing that it acknowledged, and blocks nobody.

use std::time::{Duration, Instant};

use super::{lost, say};
use crate::process::Process;
use crate::random::Random;

/// How many tokens the process beside the killed ones writes meanwhile.
const BESIDE: usize = 3;

/// Writers that are killed, one after the other, beside one that goes on.
#[derive(Debug)]
pub struct Kills {
    address: String,
    steady: Process,
    random: Random,
    count: usize,
    acknowledged: Vec<String>,
    taken: usize,
    slowest: Duration,
}

impl Kills {
    /// Starts the one that goes on: a [writer of what it hears](super::write_what_is_heard), of the cache at `address`.
    ///
    /// # Panics
    /// As [`Process::start`].
    pub fn beside(paced_writer: &str, address: &str) -> Self {
        Self {
            address: address.to_owned(),
            steady: Process::start(paced_writer, &[address]),
            random: Random(0x9E37_79B9_7F4A_7C15),
            count: 0,
            acknowledged: Vec::new(),
            taken: 0,
            slowest: Duration::ZERO,
        }
    }

    /// Starts a [writer](super::write), kills it within an update, and calls `add` with the name of a token: whoever comes
    /// next opens the cache and adds it, at once.
    ///
    /// # Panics
    /// If the writer fails by itself.
    pub fn kill(&mut self, writer: &str, add: impl FnOnce(&str)) {
        let kill = self.count;
        let mut victim = Process::start(writer, &[&self.address, &format!("v{kill}"), "1000000"]);
        for n in 0..BESIDE {
            self.steady.say(&format!("steady-{kill}-{n}"));
        }
        victim.say("go");
        kill_within_an_update(&mut victim, &mut self.random, 3);
        let came = Instant::now();
        let after = format!("after-{kill}");
        add(&after);
        self.slowest = self.slowest.max(came.elapsed());
        self.acknowledged.extend(victim.lines().iter().cloned());
        self.acknowledged.push(after);
        self.count += 1;
    }

    /// The tokens that killed processes acknowledged, and those that were added right after a kill.
    pub fn acknowledged(&self) -> &[String] {
        &self.acknowledged
    }

    /// The same, to be looked for now and no more: a test may remove them from the cache, to keep it small.
    pub fn take_acknowledged(&mut self) -> Vec<String> {
        self.taken += self.acknowledged.len();
        std::mem::take(&mut self.acknowledged)
    }

    /// Ends the process beside, looks for all that was acknowledged and not taken among the tokens that are `stored`
    /// then, and says what was seen. Answers how long the slowest update after a kill took.
    ///
    /// # Panics
    /// If one is lost, or the process beside has not written all that it was told.
    pub fn assert_nothing_lost(self, stored: impl FnOnce() -> Vec<String>) -> Duration {
        let Self { steady, count, acknowledged, taken, slowest, .. } = self;
        let beside = steady.finish();
        let lost = lost(acknowledged.iter().chain(&beside), stored());
        say(&format!(
            "{count} kills: {} updates acknowledged by killed processes or right after, and {} by a process beside \
             them, {lost} lost; slowest update after a kill {slowest:?}",
            taken + acknowledged.len(),
            beside.len()
        ));
        assert_eq!(beside.len(), BESIDE * count);
        assert_eq!(lost, 0, "lost after {count} kills");
        slowest
    }
}

/// Kills a process at a random moment: after 1 to `lines` lines, and some microseconds into the next update.
///
/// # Panics
/// As [`Process::wait_for_lines`] and [`Process::kill`].
pub fn kill_within_an_update(process: &mut Process, random: &mut Random, lines: usize) {
    process.wait_for_lines(random.below(lines) + 1);
    let until = Instant::now() + Duration::from_micros(random.bits() & 0xFFF);
    while Instant::now() < until {
        std::hint::spin_loop();
    }
    process.kill();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::{Folder, text};
    use crate::promises::tests::{PACED_WRITER, WRITER, add};

    /// Kills three, and lets whoever comes next lose what it adds if it has this name.
    fn kill_three(loses: &str) {
        let folder = Folder::in_memory();
        let address = text(folder.path());
        let mut kills = Kills::beside(PACED_WRITER, &address);
        for _ in 0..3 {
            kills.kill(WRITER, |name| {
                if name != loses {
                    add(&address, name);
                }
            });
        }
        assert!(kills.acknowledged().len() >= 6, "each victim said a line: {:?}", kills.acknowledged());
        kills.assert_nothing_lost(|| folder.names());
    }

    #[test]
    fn what_killed_writers_acknowledged_is_found() {
        kill_three("");
    }

    #[test]
    #[should_panic(expected = "lost after 3 kills")]
    fn what_is_lost_after_a_kill_fails_the_test() {
        kill_three("after-1");
    }

    #[test]
    fn what_was_taken_is_looked_for_no_more() {
        let folder = Folder::in_memory();
        let address = text(folder.path());
        let mut kills = Kills::beside(PACED_WRITER, &address);
        kills.kill(WRITER, |_| ());
        let taken = kills.take_acknowledged();
        assert_eq!(lost(&taken, folder.names()), 1);
        assert!(kills.acknowledged().is_empty());
        kills.assert_nothing_lost(|| folder.names());
    }
}
