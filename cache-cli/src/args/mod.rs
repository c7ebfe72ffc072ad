//! What can be asked for on the command line.

mod copy;

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

pub(crate) use self::copy::CopyStore;
use crate::address::Address;
use crate::exit::Failure;

/// Headings of the help texts.
const PROTECTION: &str =
    "Protection of all but preset:NAME (exactly one, or the environment variable TOKENCACHE_PASSPHRASE)";
const REDIS: &str =
    "Redis (the password can stand in TOKENCACHE_REDIS_PASSWORD too, its user in TOKENCACHE_REDIS_USER)";
const REMOVAL: &str = "What to remove (exactly one)";
const COMMON: &str = "Common options";

/// Look into MSAL token caches, and import, export and clean them.
#[derive(Debug, Parser)]
#[command(
    name = "tokencache",
    version,
    propagate_version = true,
    after_help = "Exit codes: 0 done, 1 error, 2 usage, 4 nothing valid found.\n\
                  Output: tables on a terminal, JSON otherwise; NO_COLOR is respected."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Form of the output; without it a table on a terminal and JSON otherwise
    #[arg(short, long, global = true, help_heading = COMMON, value_enum, value_name = "FORMAT")]
    pub(crate) output: Option<Format>,

    /// The clock of the whole command, merge included, for caches with a time of their own
    #[arg(long, global = true, help_heading = COMMON, value_name = "UNIX_SECONDS", allow_negative_numbers = true)]
    pub(crate) now: Option<i64>,

    /// Say more on standard error; -vv and -vvv say still more
    #[arg(short, long, global = true, help_heading = COMMON, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// A form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// For programs; the shapes are documented in the README
    Json,
    /// Tab-separated values without a header
    Tsv,
    /// The access token and nothing else (get-token only)
    Token,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Merge a unified cache document into a store
    Import(Import),
    /// Write everything in a store as a unified cache document, secrets included
    Export(Export),
    /// Show the token caches of other products on this machine
    Stores,
    /// Show accounts and tokens, without secrets; of a database without its key, counts and expiries
    List(List),
    /// Show one entry, its secrets redacted
    Show(Show),
    /// Print a valid access token
    GetToken(GetToken),
    /// Remove an account, everything of a client, or expired access tokens
    Remove(Remove),
    /// Copy everything in one store to another, and read it back
    Copy(CopyStore),
    /// Look for damage
    Verify(Verify),
    /// Make a new database out of what can be read of a damaged one, which is moved aside
    Recover(Recover),
    /// Show that processes sharing an encrypted cache lose nothing, even when killed
    Demo(Demo),
    /// Print a completion script
    Completions(Completions),
    /// One of the processes that a demo starts
    #[command(hide = true)]
    DemoWorker(DemoWorker),
    /// The process that a demo ends with
    #[command(hide = true)]
    DemoVerify(DemoVerify),
}

/// Which store, and how it is protected.
#[derive(Debug, Clone, Args)]
pub(crate) struct Location {
    /// The store: file:PATH, sqlite:PATH for a database, redis://HOST:PORT/DB for a Redis server (also redis+unix:///PATH,
    /// redis+cluster://HOST:PORT,... and redis+sentinel://HOST:PORT,.../NAME), or preset:NAME for the cache of a product, for
    /// example preset:azure-cli
    #[arg(long, value_name = "STORE")]
    pub(crate) store: Address,

    #[command(flatten)]
    pub(crate) protection: ProtectionArgs,

    /// The server's password is in this file
    #[arg(long, value_name = "FILE", help_heading = REDIS)]
    pub(crate) redis_password_file: Option<PathBuf>,
}

/// The consent that a command which writes needs for the cache of another product.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Writing {
    /// Write to the cache of another product, which preset:NAME names; without it that is only read
    #[arg(long)]
    pub(crate) write_shared: bool,
}

/// The ways to protect a store, of which exactly one is wanted; a preset needs none. A passphrase can also come in `TOKENCACHE_PASSPHRASE`.
#[derive(Debug, Clone, Default, Args)]
#[group(multiple = false)]
pub(crate) struct ProtectionArgs {
    /// Encrypted with the key in this file
    #[arg(long, value_name = "FILE", help_heading = PROTECTION)]
    pub(crate) key_file: Option<PathBuf>,

    /// Encrypted with the passphrase in this file
    #[arg(long, value_name = "FILE", help_heading = PROTECTION)]
    pub(crate) passphrase_file: Option<PathBuf>,

    /// Not encrypted, as the MSAL libraries write files where they have no keychain
    #[arg(long, help_heading = PROTECTION)]
    pub(crate) plaintext: bool,

    /// Which store of the command this is about.
    #[arg(skip)]
    pub(crate) side: Side,
}

/// Which of its stores a command means, by what its options are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Side {
    /// The only one.
    #[default]
    Only,
    /// The one to copy from.
    From,
    /// The one to copy to.
    To,
}

impl ProtectionArgs {
    /// Whether there is an option.
    pub(crate) fn is_given(&self) -> bool {
        self.key_file.is_some() || self.passphrase_file.is_some() || self.plaintext
    }
}

impl Side {
    /// The option as it is written for this store, for example `--from-key-file` for `key-file`.
    pub(crate) fn option(self, name: &str) -> String {
        let side = match self {
            Self::Only => "",
            Self::From => "from-",
            Self::To => "to-",
        };
        format!("--{side}{name}")
    }
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The document; `-` reads standard input
    #[arg(value_name = "DOC")]
    pub(crate) document: PathBuf,

    #[command(flatten)]
    pub(crate) location: Location,

    /// Create the key file if there is none; only for a store that holds nothing yet
    #[arg(long, requires = "key_file")]
    pub(crate) create_key: bool,

    /// Take the complete entries of a damaged document instead of refusing it
    #[arg(long)]
    pub(crate) salvage: bool,

    #[command(flatten)]
    pub(crate) writing: Writing,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    #[command(flatten)]
    pub(crate) location: Location,

    /// Write to this file, of mode 0600, instead of standard output
    #[arg(long, value_name = "PATH")]
    pub(crate) to: Option<PathBuf>,

    /// Write secrets to a terminal, or replace the file that is there
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) location: Location,

    /// Every partition of a database or of Redis, not the shared one alone
    #[arg(long)]
    pub(crate) all_partitions: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// `Section/key text`, an id that `list` shows, or the beginning of one
    #[arg(value_name = "ENTRY")]
    pub(crate) entry: String,

    #[command(flatten)]
    pub(crate) location: Location,

    /// Show the entry as it is, its secrets included
    #[arg(long = "show-secrets")]
    pub(crate) secrets: bool,
}

#[derive(Debug, Args)]
pub(crate) struct GetToken {
    #[command(flatten)]
    pub(crate) location: Location,

    /// The client that the token was issued to
    #[arg(long, value_name = "ID")]
    pub(crate) client_id: String,

    /// The scopes that the token must have, separated by spaces
    #[arg(long, value_name = "SCOPES")]
    pub(crate) scope: String,

    /// Of this tenant only
    #[arg(long, value_name = "TENANT")]
    pub(crate) tenant: Option<String>,

    /// The user's token, by home account id or username; without it the application's own
    #[arg(long, value_name = "ID|USERNAME")]
    pub(crate) account: Option<String>,

    /// Of the cloud with this authority host only
    #[arg(long, value_name = "HOST")]
    pub(crate) environment: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Remove {
    #[command(flatten)]
    pub(crate) location: Location,

    #[command(flatten)]
    pub(crate) what: Removal,

    #[command(flatten)]
    pub(crate) writing: Writing,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Removal {
    /// The account, by home account id or username, with all of its tokens
    #[arg(long, value_name = "ID|USERNAME", help_heading = REMOVAL)]
    pub(crate) account: Option<String>,

    /// Every token and the metadata of a client; accounts stay
    #[arg(long, value_name = "ID", help_heading = REMOVAL)]
    pub(crate) client_id: Option<String>,

    /// Access tokens that have expired, and do not serve during outages any more either
    #[arg(long, help_heading = REMOVAL)]
    pub(crate) expired: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    pub(crate) location: Location,
}

#[derive(Debug, Args)]
pub(crate) struct Recover {
    #[command(flatten)]
    pub(crate) location: Location,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// How many processes share the cache
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) processes: u16,

    /// How many tokens each process adds
    #[arg(long, value_name = "M", default_value = "100", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) updates: u32,
}

#[derive(Debug, Args)]
pub(crate) struct DemoWorker {
    #[command(flatten)]
    pub(crate) location: Location,

    /// The number of this process
    #[arg(long)]
    pub(crate) worker: u16,

    /// The first update to make
    #[arg(long)]
    pub(crate) from: u32,

    /// The end of the updates to make
    #[arg(long)]
    pub(crate) updates: u32,
}

#[derive(Debug, Args)]
pub(crate) struct DemoVerify {
    #[command(flatten)]
    pub(crate) location: Location,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell that the script is for
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

impl Cli {
    /// Exit 2 where the form of the output does not fit the command.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match (&self.command, self.common.output) {
            (Command::GetToken(_), Some(Format::Table | Format::Tsv)) => {
                Err(Failure::usage("get-token prints JSON or, with `-o token`, the token alone"))
            }
            (Command::GetToken(_), _) => Ok(()),
            (_, Some(Format::Token)) => {
                Err(Failure::usage("`-o token` is for get-token; use `-o table`, `-o json` or `-o tsv`"))
            }
            _ => Ok(()),
        }
    }
}
