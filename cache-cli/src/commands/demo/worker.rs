//! `demo-worker`: a process that adds tokens to the demo's cache while it looks tokens up.
//!
//! It speaks in lines with the process that started it. It says `ready` and waits for `go`; says `added WORKER NUMBER`
//! for each update once that is stored; waits for `finish`, then tells its lookups ([`Lookups::to_lines`]) and ends.
//! Whatever breaks off the conversation ends the worker, so that none outlives the demo.

use std::io::{self, BufRead as _, Write as _};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cache_core::{ErrorKind, PartitionKey, blocking};

use super::measure::Lookups;
use super::token::{Update, query};
use crate::args::DemoWorker;
use crate::context::Context;
use crate::exit::Failure;
use crate::store::Store;

/// How many lookups are made at a stretch.
const ROUND: usize = 100;
/// What is left to the writers, which share the processors, between two rounds.
const PAUSE: Duration = Duration::from_millis(1);
/// For how long a busy store is asked again.
const PATIENCE: Duration = Duration::from_secs(60);

/// Adds the tokens.
pub(crate) fn run(args: &DemoWorker, context: &Context) -> Result<(), Failure> {
    let store = Store::open(&args.location, context)?;
    let cache = store.cache();
    say("ready\n")?;
    hear("go")?;

    let added = AtomicU32::new(args.from);
    let stop = AtomicBool::new(false);
    let lookups = thread::scope(|scope| {
        let reader = scope.spawn(|| look_up(cache, args.worker, &added, &stop));
        let written = write(args, cache, context, &added).and_then(|()| hear("finish"));
        stop.store(true, Ordering::Relaxed);
        let looked_up = reader.join().unwrap_or_else(|_| Err(Failure::error("the thread that looks tokens up failed")));
        written.and(looked_up)
    })?;
    say(&lookups.to_lines())
}

/// Adds one token after the other, and says so when each is stored.
fn write(
    args: &DemoWorker,
    cache: &blocking::PersistedTokenCache,
    context: &Context,
    added: &AtomicU32,
) -> Result<(), Failure> {
    for number in args.from..args.updates {
        let update = Update { worker: args.worker, number };
        let now = context.now();
        let updated = patiently(|| cache.update(&PartitionKey::Shared, |tokens| tokens.insert(update.token(now))))?;
        updated.value?;
        if !updated.skipped.is_empty() {
            return Err(Failure::error("the store did not apply an update; this is a defect"));
        }
        added.store(number + 1, Ordering::Relaxed);
        say(&format!("added {update}\n"))?;
    }
    Ok(())
}

/// Looks up tokens that this worker has added, in rounds, until it is stopped.
fn look_up(
    cache: &blocking::PersistedTokenCache,
    worker: u16,
    added: &AtomicU32,
    stop: &AtomicBool,
) -> Result<Lookups, Failure> {
    let mut lookups = Lookups::new();
    let mut questions: Vec<(String, String)> = Vec::new();
    let mut elapsed = Duration::ZERO;
    while !stop.load(Ordering::Relaxed) {
        let known = added.load(Ordering::Relaxed);
        questions.extend((questions.len() as u32..known).map(|number| {
            let update = Update { worker, number };
            (update.scope(), update.secret())
        }));
        for (scope, secret) in questions.iter().cycle().take(ROUND) {
            let query = query(scope);
            let began = Instant::now();
            let token = patiently(|| cache.access_token(&PartitionKey::Shared, &query))?;
            let took = began.elapsed();
            elapsed += took;
            match token {
                Some(token) if token.secret.expose() == secret => lookups.hit(took),
                _ => lookups.miss(),
            }
        }
        thread::sleep(PAUSE);
    }
    lookups.took(elapsed);
    Ok(lookups)
}

/// Does it again for as long as the store is busy: on a slow machine the lock can be long in coming.
fn patiently<T>(operation: impl Fn() -> cache_core::Result<T>) -> cache_core::Result<T> {
    let began = Instant::now();
    loop {
        match operation() {
            Err(error) if error.kind() == ErrorKind::Busy && began.elapsed() < PATIENCE => {}
            ended => return ended,
        }
    }
}

fn say(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| Failure::of_output(&error))
}

fn hear(expected: &str) -> Result<(), Failure> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(|error| Failure::io("reading standard input", &error))?;
    if line.trim_end() == expected {
        return Ok(());
    }
    Err(Failure::error(format!("this command is a part of `tokencache demo`: `{expected}` was to come")))
}
