//! One table of what this project promises about speed and memory: ours and the limit, measured in one run.
//!
//! ```sh
//! cargo run --release -p benches --bin figures                    all of it; takes 12 GB of memory
//! cargo run --release -p benches --bin figures -- lookup codec    some sections
//! cargo run --release -p benches --bin figures -- sqlite          those of the SQLite store; keeps 7 GB in `target`
//! cargo run --release -p benches --bin figures -- redis           those of the Redis store, measured only so; starts a server
//! ```
//!
//! Ours and the limit run in blocks that alternate; times are medians over the blocks, a ratio is the median of the
//! rounds' ratios, with the quartiles behind it. Times of a machine that is doing something else mean little; ratios hold.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)] // the table, and what is being measured, are for a terminal
#![allow(clippy::cast_precision_loss)] // counts and sizes are small

mod calls;
mod codec;
mod commit;
mod lookup;
mod memory;
#[cfg(unix)]
mod redis;
#[cfg(unix)]
mod redis_memory;
#[cfg(unix)]
mod redis_push;
mod sqlite;
mod table;
mod threads;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use table::Table;

/// A part of the table: its name, and what measures it.
type Section = (&'static str, fn(&mut Table));

const SECTIONS: &[Section] = &[
    ("lookup", lookup::measure),
    ("calls", calls::measure),
    ("threads", threads::measure),
    ("codec", codec::measure),
    ("commit", commit::measure),
    ("sqlite-lookup", sqlite::lookups),
    ("sqlite-stamp", sqlite::stamp),
    ("sqlite-commit", sqlite::commit),
    ("sqlite-flat", sqlite::flat),
    ("sqlite-documents", sqlite::documents),
    ("sqlite-open", sqlite::cold_open),
    ("sqlite-large", sqlite::large_partition),
    #[cfg(unix)]
    ("redis-read", redis::read),
    #[cfg(unix)]
    ("redis-commit", redis::commit),
    #[cfg(unix)]
    ("redis-memory", redis_memory::measure),
    #[cfg(unix)]
    ("redis-push", redis_push::measure),
    ("memory", memory::measure),
    ("million", memory::measure_million),
];

/// How long a block of lookups takes.
const BLOCK: Duration = Duration::from_millis(1);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [command, tokens] = &arguments[..]
        && command == memory::CHILD
    {
        memory::run_child(tokens.parse().expect("the parent passes a number"));
        return ExitCode::SUCCESS;
    }
    let names: Vec<&str> = SECTIONS.iter().map(|(name, _)| *name).collect();
    // `sqlite` stands for all sections whose names begin with it.
    let asks_for = |argument: &str, name: &str| {
        name.strip_prefix(argument).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    let is_known = |argument: &str| names.iter().any(|name| asks_for(argument, name));
    if let Some(unknown) = arguments.iter().find(|argument| !is_known(argument)) {
        eprintln!("{unknown} is no section; there are: {}", names.join(", "));
        return ExitCode::from(2);
    }

    let mut table = Table::begin();
    for &(name, measure) in SECTIONS {
        // What needs a server is measured only when it is asked for.
        let is_by_itself = arguments.is_empty() && !asks_for("redis", name);
        if is_by_itself || arguments.iter().any(|argument| asks_for(argument, name)) {
            let started = Instant::now();
            measure(&mut table);
            eprintln!("({name}: {:.0} s)", started.elapsed().as_secs_f64());
        }
    }
    table.end();
    ExitCode::SUCCESS
}
