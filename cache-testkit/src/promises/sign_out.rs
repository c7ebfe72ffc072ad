//! An account that one process removes, while others refresh its tokens, stays removed.

use cache_core::{PartitionKey, TokenCache, blocking};

use super::say;
use crate::access_tokens::{ALICE, HOST, response};
use crate::process::{Process, Worker};

const SHARED: PartitionKey = PartitionKey::Shared;

/// How many processes refresh beside a removal.
const REFRESHERS: usize = 4;

/// Sign-outs beside processes that refresh, counted.
#[derive(Debug, Default)]
pub struct SignOuts {
    runs: usize,
    refreshed: usize,
    left: usize,
}

impl SignOuts {
    /// Signs an account in to the new cache at `address`, starts four [refreshers](refresh) of it, and removes it in
    /// their midst, at another moment in each run. `open` opens the cache; one that is opened afterwards tells how many
    /// entries are left.
    ///
    /// # Panics
    /// If a step fails.
    pub fn run(&mut self, refresher: &str, address: &str, open: impl Fn(&str) -> blocking::PersistedTokenCache) {
        let cache = open(address);
        let now = cache.as_async().now();
        let signed_in = cache.update(&SHARED, |tokens| tokens.sign_in(response("first", now))).expect("an update");
        signed_in.value.expect("a complete response");
        let start = |n| Process::start(refresher, &[address, &format!("r{n}")]);
        let mut refreshers: Vec<_> = (0..REFRESHERS).map(start).collect();
        for refresher in &mut refreshers {
            refresher.wait_for_lines(1);
        }
        for refresher in &mut refreshers {
            refresher.say("go");
        }
        refreshers[self.runs % REFRESHERS].wait_for_lines(2 + self.runs / REFRESHERS % 3);
        let removed = cache.update(&SHARED, |tokens| tokens.remove_account(ALICE, HOST)).expect("an update");
        assert!(removed.value, "the account was there");
        let lines = refreshers.into_iter().flat_map(Process::finish);
        self.refreshed += lines.filter(|line| line == "refreshed").count();
        self.add_left(open(address).read(&SHARED, TokenCache::len).expect("a sound cache"));
        self.runs += 1;
    }

    /// Counts what is left besides the entries that a cache shows, such as rows of a table.
    pub fn add_left(&mut self, left: usize) {
        self.left += left;
    }

    /// Says what was seen.
    ///
    /// # Panics
    /// If anything is left, or the refreshes did not run beside the removals.
    pub fn assert_nothing_left(self) {
        let Self { runs, refreshed, left } = self;
        say(&format!(
            "{runs} sign-outs beside {REFRESHERS} processes that wrote {refreshed} refreshes: {left} entries left"
        ));
        assert_eq!(left, 0);
        assert!(refreshed > runs, "the refreshes ran beside the removal");
    }
}

/// The work of a refresher whose arguments are an address and a prefix: says that it is ready, and from the next line
/// that it hears on writes refreshed tokens of the account until it is gone, `most` at the most, and says each.
///
/// # Panics
/// If the arguments are others, or an update fails.
pub fn refresh(worker: &mut Worker, most: usize, open: impl FnOnce(&str) -> blocking::PersistedTokenCache) {
    let [address, prefix] = worker.arguments().to_vec().try_into().expect("address, prefix");
    let cache = open(&address);
    worker.say("ready");
    worker.hear();
    for n in 0..most {
        // The response of a refresh that began while the account was there and may arrive after it was removed.
        let response = response(&format!("{prefix}-{n}"), cache.as_async().now());
        let updated = cache.update(&SHARED, |tokens| tokens.insert_response(response));
        if !updated.expect("an update of a usable cache").value.expect("a complete response") {
            break;
        }
        worker.say("refreshed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "left == right")]
    fn an_entry_that_is_left_fails_the_test() {
        SignOuts { runs: 1, refreshed: 4, left: 1 }.assert_nothing_left();
    }

    #[test]
    #[should_panic(expected = "beside the removal")]
    fn removals_that_nobody_disturbed_show_nothing() {
        SignOuts { runs: 2, refreshed: 2, left: 0 }.assert_nothing_left();
    }
}
