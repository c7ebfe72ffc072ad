//! A web app with a million users on many nodes, in virtual time: what its resident caches answer by themselves, what reaches
//! the server, and how old what they hand out can be.
//!
//! ```sh
//! cargo run --release -p benches --bin simulation
//! ```
//!
//! The caches are the real ones, a [`PersistedTokenCache`] per node; the server behind them is simulated. It takes about as
//! long as what it simulates. Requests go to nodes at random unless a row says otherwise, and to users by Zipf's law: the
//! user of rank k comes k times less often than the first. A token that has expired is refreshed by the node that misses it; beside
//! that, each hour one user of a hundred, whoever it is, gets another token while the old one is good, by which stale answers are seen.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)] // the table is for a terminal
#![allow(clippy::cast_precision_loss, clippy::cast_possible_wrap, clippy::cast_possible_truncation)] // counts and times are small

mod server;

use std::sync::Arc;
use std::time::Duration;

use benches::users::{home_account_id, partition, query, refresh, serial};
use benches::{NOW, Random};
use cache_core::{Clock, Freshness, ManualClock, PersistedTokenCache};
use pollster::block_on;

use server::Server;

const USERS: usize = 1_000_000;
/// Token needs per second, on all nodes together.
const REQUESTS: usize = 4_000;
/// Seconds of virtual time: until the caches are full, and then.
const WARMING: usize = 300;
const MEASURED: usize = 200;

/// How an app is run.
struct Scenario {
    name: &'static str,
    nodes: usize,
    /// Whether a user's requests all go to one node.
    is_sticky: bool,
    freshness: Freshness,
    resident_bytes: u64,
}

fn main() {
    const MIB: u64 = 1 << 20;
    let bounded = Freshness::default();
    let scenario = |name, nodes, is_sticky, freshness, resident_bytes| Scenario {
        name,
        nodes,
        is_sticky,
        freshness,
        resident_bytes,
    };
    let scenarios = [
        scenario("4 nodes, 30 s, 64 MiB (the default)", 4, false, bounded, 64 * MIB),
        scenario("16 nodes, 30 s, 64 MiB", 16, false, bounded, 64 * MIB),
        scenario("64 nodes, 30 s, 64 MiB", 64, false, bounded, 64 * MIB),
        scenario("16 nodes, 30 s, 512 MiB", 16, false, bounded, 512 * MIB),
        scenario("16 nodes, 5 min, 64 MiB", 16, false, Freshness::Bounded(Duration::from_secs(300)), 64 * MIB),
        scenario("16 nodes, pushed, 64 MiB", 16, false, Freshness::push(), 64 * MIB),
        scenario("16 nodes, 30 s, 64 MiB, each user at one node", 16, true, bounded, 64 * MIB),
    ];
    println!("{USERS} users, {REQUESTS} token needs/s, {MEASURED} s after {WARMING} s\n");
    println!(
        "| nodes, freshness, resident bytes per node | answered without the server | stamps/s | loads/s | commits/s | server, MB/s | stale answers | oldest stale answer |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let zipf = Zipf::over(USERS);
    for scenario in &scenarios {
        println!("{}", run(scenario, &zipf));
    }
}

/// Runs an app; answers its row.
fn run(scenario: &Scenario, zipf: &Zipf) -> String {
    let clock = Arc::new(ManualClock::at(NOW));
    let server = Arc::new(Server::new(USERS, Arc::clone(&clock)));
    let node = |_| {
        let cache = PersistedTokenCache::builder(Arc::clone(&server)).clock(Arc::clone(&clock) as Arc<dyn Clock>);
        cache.freshness(scenario.freshness).resident_bytes(scenario.resident_bytes).build()
    };
    let nodes: Vec<PersistedTokenCache> = (0..scenario.nodes).map(node).collect();
    let mut random = Random(11);
    let (mut answered, mut stale, mut oldest) = (0_u64, 0_u64, 0_i64);
    // Of those whose token is replaced while it is good, the rest of a second is owed to the next one.
    let mut owed = 0.0;
    for second in 0..WARMING + MEASURED {
        if second == WARMING {
            (answered, stale, oldest) = (0, 0, 0);
            server.sent.take();
        }
        owed += USERS as f64 / 100.0 / 3_600.0;
        while owed >= 1.0 {
            owed -= 1.0;
            let user = random.below(USERS);
            replace(&nodes[random.below(nodes.len())], &server, user, &clock);
        }
        for _ in 0..REQUESTS {
            let user = zipf.draw(&mut random);
            let node = &nodes[if scenario.is_sticky { user % nodes.len() } else { random.below(nodes.len()) }];
            let sent_before = server.sent.requests();
            let home_account_id = home_account_id(user);
            let token = block_on(node.access_token(&partition(user), &query(&home_account_id))).expect("no outage");
            match token {
                Some(token) => {
                    let now = server.issued(user);
                    if serial(&token) != now.serial {
                        stale += 1;
                        oldest = oldest.max(clock.now().to_seconds().0 - now.at.0);
                    }
                }
                None => replace(node, &server, user, &clock),
            }
            answered += u64::from(server.sent.requests() == sent_before);
        }
        clock.advance(Duration::from_secs(1));
    }
    let [stamps, loads, commits, bytes] = server.sent.take().map(|count| count as f64 / MEASURED as f64);
    format!(
        "| {} | {:.1} % | {:.0} | {:.0} | {:.0} | {:.1} | {:.3} % | {} |",
        scenario.name,
        100.0 * answered as f64 / (REQUESTS * MEASURED) as f64,
        stamps,
        loads,
        commits,
        bytes / 1e6,
        100.0 * stale as f64 / (REQUESTS * MEASURED) as f64,
        if stale == 0 { "-".to_owned() } else { format!("{oldest} s") },
    )
}

/// Another token for the user, from the identity provider.
fn replace(node: &PersistedTokenCache, server: &Server, user: usize, clock: &ManualClock) {
    let (serial, now) = (server.issued(user).serial + 1, clock.now().to_seconds());
    let done = block_on(node.update(&partition(user), |tokens| refresh(tokens, user, serial, now)));
    assert!(done.expect("no outage").skipped.is_empty(), "nobody else writes at the same moment");
}

/// Draws users by Zipf's law.
struct Zipf(Vec<f64>);

impl Zipf {
    fn over(count: usize) -> Self {
        let mut sum = 0.0;
        Self(
            (1..=count)
                .map(|rank| {
                    sum += 1.0 / rank as f64;
                    sum
                })
                .collect(),
        )
    }

    fn draw(&self, random: &mut Random) -> usize {
        const STEPS: usize = 1 << 40;
        let Self(sums) = self;
        let at = random.below(STEPS) as f64 / STEPS as f64 * sums.last().expect("there are users");
        sums.partition_point(|sum| *sum <= at).min(sums.len() - 1)
    }
}
