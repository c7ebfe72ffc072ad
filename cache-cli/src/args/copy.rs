//! The arguments of `copy`: two stores, each with a protection of its own.

use std::path::PathBuf;

use clap::Args;

use super::{Location, ProtectionArgs, Side};
use crate::address::Address;

const FROM: &str = "Protection of the store to copy from (exactly one, or TOKENCACHE_PASSPHRASE; none for preset:NAME)";
const TO: &str = "Protection of the store to copy to (exactly one, or TOKENCACHE_PASSPHRASE)";
const REDIS: &str = "Redis (a password that is in no file stands in TOKENCACHE_REDIS_PASSWORD, a user in the URL or TOKENCACHE_REDIS_USER)";

#[derive(Debug, Args)]
pub(crate) struct CopyStore {
    /// The store to copy from, which is not changed: file:PATH, sqlite:PATH, redis://HOST:PORT/DB or preset:NAME
    #[arg(long, value_name = "STORE")]
    from: Address,

    /// The store to copy to: file:PATH, which holds one partition, sqlite:PATH or redis://HOST:PORT/DB
    #[arg(long, value_name = "STORE")]
    to: Address,

    #[command(flatten)]
    from_protection: FromProtection,

    #[command(flatten)]
    to_protection: ToProtection,

    /// The password of the server to copy from is in this file
    #[arg(long, value_name = "FILE", help_heading = REDIS)]
    from_redis_password_file: Option<PathBuf>,

    /// The password of the server to copy to is in this file
    #[arg(long, value_name = "FILE", help_heading = REDIS)]
    to_redis_password_file: Option<PathBuf>,

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
        let redis_password_file = self.from_redis_password_file.clone();
        Location { store: self.from.clone(), protection, redis_password_file }
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
        let redis_password_file = self.to_redis_password_file.clone();
        Location { store: self.to.clone(), protection, redis_password_file }
    }
}
