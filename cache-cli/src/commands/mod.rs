//! A module for each command.

mod completions;
mod copy;
mod demo;
mod export;
mod get_token;
mod import;
mod list;
mod recover;
mod remove;
mod show;
mod stores;
mod verify;

use crate::args::Command;
use crate::context::Context;
use crate::exit::Failure;

/// Runs the command.
pub(crate) fn run(command: &Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Import(args) => import::run(args, context),
        Command::Export(args) => export::run(args, context),
        Command::Stores => stores::run(context),
        Command::List(args) => list::run(args, context),
        Command::Show(args) => show::run(args, context),
        Command::GetToken(args) => get_token::run(args, context),
        Command::Remove(args) => remove::run(args, context),
        Command::Copy(args) => copy::run(args, context),
        Command::Verify(args) => verify::run(args, context),
        Command::Recover(args) => recover::run(args, context),
        Command::Demo(args) => demo::run(args, context),
        Command::Completions(args) => completions::run(args),
        Command::DemoWorker(args) => demo::worker::run(args, context),
        Command::DemoVerify(args) => demo::verify::run(args, context),
    }
}
