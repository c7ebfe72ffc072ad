//! This toolkit as one more writer and holder of locks, with the commands `write` and `hold` of `peers/README.md`.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cache_core::{Blob, DocumentStore as _, Edit, Error, Result, Skip, TokenCache, blocking};
use clap::{Args, Parser, Subcommand};
use interop::flows;
use interop::ours::{PARTITION, open_store, shared, wall_clock, writer_account, writer_response};
use interop::redis;
use serde_json::{Value, json};

#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Signs in, then adds tokens one by one.
    Write(Write),
    /// Adds one token, and waits for a line of input inside the exclusive section.
    Hold {
        #[arg(long)]
        cache: PathBuf,
        #[arg(long)]
        tag: String,
    },
    /// Gets tokens over Redis, as each line of input says.
    RedisWorker {
        #[arg(long)]
        port: u16,
        #[arg(long)]
        id: usize,
        #[arg(long)]
        layout: redis::Layout,
    },
}

#[derive(Args)]
struct Write {
    #[arg(long)]
    cache: PathBuf,
    #[arg(long)]
    tag: String,
    #[arg(long, default_value_t = 50)]
    count: usize,
    /// Both modes are one: there is no way around the cache.
    #[arg(long)]
    mode: Option<String>,
    #[arg(long, default_value_t = 0)]
    pause_ms: u64,
    #[arg(long, default_value_t = 0.0)]
    start_at: f64,
    #[arg(long)]
    progress: Option<String>,
    /// Writes for the peers' account and client, is signed in already, and ends when the account is signed out.
    #[arg(long)]
    until_signed_out: bool,
}

fn main() -> ExitCode {
    let done = match Options::parse().command {
        Command::Write(options) => write(&options),
        Command::Hold { cache, tag } => hold(&cache, tag),
        Command::RedisWorker { port, id, layout } => redis::work(port, id, layout),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&json!({ "error": error.to_string() }));
            ExitCode::FAILURE
        }
    }
}

fn write(options: &Write) -> Result<()> {
    let (home, client) = if options.until_signed_out {
        (flows::write().home_account_id.as_str(), flows::write().client_id.as_str())
    } else {
        writer_account()
    };
    let cache = open_store(&options.cache)?;
    let response = |index: usize| {
        let (scope, secret) = (format!("peer.{}.{index}", options.tag), format!("synthetic-{}-{index}", options.tag));
        writer_response(home, client, &scope, &secret, wall_clock())
    };
    wait_until(options.start_at);
    let (mut acked, mut errors, mut sign_ins) = (Vec::new(), serde_json::Map::new(), 0_u32);
    for index in 0..options.count {
        match update(&cache, index == 0 && !options.until_signed_out, || response(index)) {
            Ok(true) => acked.push(index),
            Ok(false) if options.until_signed_out => break,
            // The account is gone although nobody signed it out: the user would have to sign in again.
            Ok(false) => {
                sign_ins += 1;
                cache.update(&PARTITION, |tokens| tokens.sign_in(response(index)))?.value?;
                acked.push(index);
            }
            Err(error) => {
                let count = errors.entry(format!("{:?}: {error}", error.kind())).or_insert(json!(0));
                *count = json!(count.as_u64().unwrap_or(0) + 1);
                continue;
            }
        }
        if options.progress.as_deref() == Some("yes") {
            say(&json!({ "ack": index }));
        }
        pause(options.pause_ms);
    }
    say(&json!({ "tag": options.tag, "acked": acked, "errors": errors, "sign_ins": sign_ins }));
    Ok(())
}

/// Whether the update is stored: `false` if the user was signed out.
fn update(
    cache: &blocking::PersistedTokenCache,
    signs_in: bool,
    response: impl Fn() -> cache_core::TokenResponse,
) -> Result<bool> {
    if signs_in {
        cache.update(&PARTITION, |tokens| tokens.sign_in(response()))?.value?;
        return Ok(true);
    }
    let updated = cache.update(&PARTITION, |tokens| tokens.insert_response(response()))?;
    // Something newer of another writer may stand there; a guard that is gone is an account that somebody removed.
    let guarded = updated.skipped.iter().any(|(_, skip)| *skip == Skip::GuardGone);
    Ok(updated.value? && !guarded)
}

fn hold(cache: &std::path::Path, tag: String) -> Result<()> {
    let store = shared(cache).build()?;
    let calls = Arc::new(Mutex::new(0_u32));
    let edit = move |document: Option<&Blob>| {
        let mut calls = calls.lock().map_err(|_| Error::new(cache_core::ErrorKind::InvalidInput, "a panic before"))?;
        *calls += 1;
        if *calls == 1 {
            say(&json!({ "event": "held", "pid": std::process::id() }));
            hear();
        } else {
            say(&json!({ "event": "again" }));
        }
        let mut tokens =
            document.map_or_else(|| Ok(TokenCache::default()), |bytes| TokenCache::deserialize(bytes.expose()))?;
        let (home, client) = writer_account();
        let response =
            writer_response(home, client, &format!("peer.{tag}.0"), &format!("synthetic-{tag}-0"), wall_clock());
        tokens.sign_in(response)?;
        Ok(Edit::Replace(tokens.serialize()))
    };
    pollster::block_on(store.modify(&PARTITION, Box::new(edit)))?;
    say(&json!({ "event": "released" }));
    Ok(())
}

/// A random time of 0 to twice this, as the peers pause.
fn pause(milliseconds: u64) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    std::thread::sleep(Duration::from_micros(u64::from(now.subsec_nanos() / 7) % (2000 * milliseconds + 1)));
}

fn wait_until(second: f64) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    std::thread::sleep(Duration::try_from_secs_f64(second - now).unwrap_or_default());
}

fn hear() {
    // At the end of the input there is nobody to wait for.
    let _ = std::io::stdin().read_line(&mut String::new());
}

fn say(line: &Value) {
    let mut output = std::io::stdout().lock();
    // Whoever listened is gone: nobody wants to know.
    let _ = writeln!(output, "{line}").and_then(|()| output.flush());
}
