//! Redis servers of a test's own: real ones, on free ports of 127.0.0.1, that end with the test.
//!
//! | start | gives |
//! |---|---|
//! | [`Server::start`] | one node without persistence; [`Server::options`] for `appendonly`, users, `maxmemory`, TLS |
//! | [`Cluster::start`] | three primaries and three replicas |
//! | [`Sentinels::start`] | a primary, a replica, and three sentinels that are quick to put it in the primary's place |
//!
//! All are ready when `start` returns, and answer URLs as clients want them. Nothing else on the machine is touched: a
//! process ends through the handle of the one who started it, also when the test panics; and when the test program is
//! killed, a guard beside each server ends it. Needs `redis-server` 7.0 or newer, and `openssl` 3 for TLS.
//!
//! ```no_run
//! use cache_testkit::redis::Server;
//!
//! let mut server = Server::options().appendonly().user("app", "on >secret ~tc:* +hget +hset").start();
//! # fn store_token(_: &str) {}
//! store_token(&server.url_as("app", "secret"));
//! server.kill();
//! server.restart();
//! assert_eq!(server.command(&["EXISTS", "tc:partition"]).to_string(), "1");
//! ```

use std::env;
use std::io::Write as _;
use std::time::{Duration, Instant};

use crate::process::DEADLINE;

mod authority;
mod groups;
mod guarded;
mod reply;
mod server;

pub use self::groups::{Cluster, Sentinels};
pub use self::reply::{Connection, Reply};
pub use self::server::{Options, Server};

const PROGRAM: &str = "redis-server";
const MISSING: &str = "redis-server is not installed; on Debian and Ubuntu: apt-get install redis-server";

/// Between two looks at what a server only tells when it is asked.
const PAUSE: Duration = Duration::from_millis(5);

/// Whether `redis-server` is there. Where it is not, that is said, past the test harness that keeps what passing tests
/// say; and with `CI` set it is a failure.
///
/// # Panics
/// If it is missing and `CI` is set.
pub fn is_installed() -> bool {
    let is_there = is_there();
    if !is_there {
        assert!(env::var_os("CI").is_none(), "{MISSING}");
        let _ = writeln!(std::io::stderr(), "{MISSING}: a test on Redis is left out");
    }
    is_there
}

fn is_there() -> bool {
    env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(PROGRAM).is_file()))
}

/// Waits until it holds, which servers do not tell by themselves.
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests;
