//! The arguments of `copy`: two stores, each with a protection of its own.

use std::path::PathBuf;

use clap::Args;

use super::{Location, ProtectionArgs, Side};
use crate::address::Address;

const FROM: &str = "Protection of the store to copy from (exactly one, or TOKENCACHE_PASSPHRASE; none for preset:NAME)";
const TO: &str = "Protection of the store to copy to (exactly one, or TOKENCACHE_PASSPHRASE)";

#[derive(Debug, Args)]
pub(crate) struct CopyStore {
    /// The store to copy from, which is not changed: file:PATH, sqlite:PATH or preset:NAME
    #[arg(long, value_name = "STORE")]
    from: Address,

    /// The store to copy to: file:PATH, which holds one partition, or sqlite:PATH
    #[arg(long, value_name = "STORE")]
    to: Address,

    #[command(flatten)]
    from_protection: FromProtection,

    #[command(flatten)]
    to_protection: ToProtection,

    /// Say what would be copied, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
#[group(multiple = false)]
struct FromProtection {
    /// Encrypted with the key in this file
    #[arg(id = "from_key_file", long = "from-key-file", value_name = "FILE", help_heading = FROM)]
    key_file: Option<PathBuf>,

    /// Encrypted with the passphrase in this file
    #[arg(id = "from_passphrase_file", long = "from-passphrase-file", value_name = "FILE", help_heading = FROM)]
    passphrase_file: Option<PathBuf>,

    /// Not encrypted
    #[arg(id = "from_plaintext", long = "from-plaintext", help_heading = FROM)]
    plaintext: bool,
}

#[derive(Debug, Args)]
#[group(multiple = false)]
struct ToProtection {
    /// Encrypted with the key in this file, which is created with a new store
    #[arg(id = "to_key_file", long = "to-key-file", value_name = "FILE", help_heading = TO)]
    key_file: Option<PathBuf>,

    /// Encrypted with the passphrase in this file
    #[arg(id = "to_passphrase_file", long = "to-passphrase-file", value_name = "FILE", help_heading = TO)]
    passphrase_file: Option<PathBuf>,

    /// Not encrypted
    #[arg(id = "to_plaintext", long = "to-plaintext", help_heading = TO)]
    plaintext: bool,
}

impl CopyStore {
    /// The store to copy from.
    pub(crate) fn source(&self) -> Location {
        let FromProtection { key_file, passphrase_file, plaintext } = &self.from_protection;
        let protection = ProtectionArgs {
            key_file: key_file.clone(),
            passphrase_file: passphrase_file.clone(),
            plaintext: *plaintext,
            side: Side::From,
        };
        Location { store: self.from.clone(), protection }
    }

    /// The store to copy to.
    pub(crate) fn target(&self) -> Location {
        let ToProtection { key_file, passphrase_file, plaintext } = &self.to_protection;
        let protection = ProtectionArgs {
            key_file: key_file.clone(),
            passphrase_file: passphrase_file.clone(),
            plaintext: *plaintext,
            side: Side::To,
        };
        Location { store: self.to.clone(), protection }
    }
}
