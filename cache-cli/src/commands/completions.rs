//! `completions`: the shell script that completes the command's words.

use clap::CommandFactory as _;

use crate::args::{Cli, Completions};
use crate::exit::Failure;
use crate::output::Output;

/// Prints the script.
pub(crate) fn run(args: &Completions) -> Result<(), Failure> {
    let whole = Cli::command();
    // The generators complete hidden commands too, so they get a command without them.
    let mut command = clap::Command::new("tokencache")
        .args(whole.get_arguments().cloned())
        .subcommands(whole.get_subcommands().filter(|command| !command.is_hide_set()).cloned());
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "tokencache", &mut script);
    Output::write(&script)
}
