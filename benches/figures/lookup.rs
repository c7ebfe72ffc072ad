//! Lookups in memory.

use benches::measure::{interleaved, passes};
use benches::{Asked, BuiltKeyMap, Population, probes};

use crate::BLOCK;
use crate::table::{Table, Target};

const ROUNDS: usize = 301;

pub(crate) fn measure(table: &mut Table) {
    for (tokens, size) in [(1_000, "1k"), (100_000, "100k"), (1_000_000, "1M")] {
        ways_of_asking(table, tokens, size);
    }
    large_owners(table);
}

fn ways_of_asking(table: &mut Table, tokens: usize, size: &str) {
    let cache = Population::Users.cache(tokens);
    let map = BuiltKeyMap::of(&cache);
    let [exact, subset, miss, expired] = [Asked::Exact, Asked::Subset, Asked::Miss, Asked::Expired]
        .map(|asked| probes(Population::Users, tokens, asked));
    let [limit, exact, subset, miss, expired] = interleaved(
        ROUNDS,
        [
            passes(&exact, BLOCK, |probe| map.look_up(probe).expect("a hit")),
            passes(&exact, BLOCK, |probe| probe.look_up(&cache).expect("a hit")),
            passes(&subset, BLOCK, |probe| probe.look_up(&cache).expect("a hit")),
            passes(&miss, BLOCK, |probe| assert!(probe.look_up(&cache).is_none())),
            passes(&expired, BLOCK, |probe| assert!(probe.look_up(&cache).is_none())),
        ],
    );
    table.times(
        &format!("exact hit, {size} user tokens"),
        "`TokenCache::access_token` and a clone of the handle, 2,000 hot probes drawn over the whole cache; limit: the \
         key's five parts joined in a new string, a foldhash probe of a hash map, a clone of the handle, same probes",
        [&exact, &limit],
        Target::AtMost(1.5),
    );
    table.times(
        &format!("subset of scopes, {size}"),
        "one of the token's three scopes is asked for; limit: the exact hit",
        [&subset, &exact],
        Target::AtMost(2.0),
    );
    table.times(
        &format!("miss, {size}"),
        "a scope of the token and one that was not granted; limit: the exact hit",
        [&miss, &exact],
        Target::AtMost(2.0),
    );
    table.times(
        &format!("expired, {size}"),
        "the exact query at the time of expiry, so a miss; limit: the exact hit",
        [&expired, &exact],
        Target::AtMost(2.0),
    );
}

fn large_owners(table: &mut Table) {
    const TOKENS: usize = 100_000;
    let [users, account, tenant] = [Population::Users, Population::OneAccount, Population::OneTenant]
        .map(|population| (population.cache(TOKENS), probes(population, TOKENS, Asked::Exact)));
    let [exact, account, tenant] = interleaved(
        ROUNDS,
        [users, account, tenant]
            .each_ref()
            .map(|(cache, probes)| passes(probes, BLOCK, move |probe| probe.look_up(cache).expect("a hit"))),
    );
    let measured = "exact hits with a resource per token; limit: the exact hit among users with 10 tokens each";
    table.times("one account with 100k tokens", measured, [&account, &exact], Target::AtMost(2.0));
    table.times("one app tenant with 100k resources", measured, [&tenant, &exact], Target::AtMost(2.0));
}
