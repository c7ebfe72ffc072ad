//! `tokencache`: looks into MSAL token caches, and imports, exports and cleans them, whatever store they are kept in.
//!
//! `args` says what can be asked for, `commands` has a module for each, `store` opens the store that `--store` names,
//! and `output` prints. A command reads all that it needs first, builds a report, and prints that in one write.

#![forbid(unsafe_code)]

mod accounts;
mod address;
mod args;
mod commands;
mod context;
mod diagnostics;
mod entry_name;
mod exit;
mod output;
mod partition_name;
mod process;
mod progress;
mod protection;
mod redis_address;
mod redis_store;
mod store;
mod text;
mod times;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Cli;
use crate::context::Context;
use crate::exit::{Exit, Failure};

fn main() -> ExitCode {
    process::forbid_core_dumps();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(refused) => return exit::of_arguments(&refused).into(),
    };
    diagnostics::start(cli.common.verbose);
    let ended = Context::new(&cli).and_then(|context| commands::run(&cli.command, &context));
    ended.map_or_else(Failure::report, |()| Exit::Success).into()
}
