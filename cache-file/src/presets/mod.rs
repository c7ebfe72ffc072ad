//! The caches of real products: where they are, what they are wrapped in, and which libraries take part.
//!
//! A [`Preset`] names a product's cache, the same on every platform. On a [`Machine`] it becomes a [`ProductCache`] with
//! a path. [`FileStore::preset`](crate::FileStore::preset) opens it, **read-only** unless
//! [`read_only(false)`](crate::FileStoreBuilder::read_only) is said: the cache is another program's.
//!
//! # The accounts that Azure CLI is signed in with
//!
//! ```no_run
//! use cache_core::{PartitionKey, PersistedTokenCache, blocking};
//! use cache_file::FileStore;
//! use cache_file::presets::Preset;
//!
//! # fn list() -> cache_core::Result<()> {
//! let store = FileStore::preset(Preset::AzureCli)?.open()?;
//! let cache = blocking::PersistedTokenCache::new(PersistedTokenCache::builder(store).build());
//! for account in cache.read(&PartitionKey::Shared, |tokens| tokens.accounts())? {
//!     println!("{} is signed in", account.username);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # The presets
//!
//! `LAD` is the local application data folder: `%LOCALAPPDATA%` on Windows; for .NET on Linux `$XDG_DATA_HOME` or
//! `~/.local/share`, and where that folder does not exist the working directory; for .NET on macOS
//! `~/Library/Application Support`, before .NET 8 as on Linux.
//!
//! | preset | file on Linux and macOS | on Windows | libraries |
//! |---|---|---|---|
//! | `azure-cli` | `~/.azure/msal_token_cache.json` | `….bin` | Python |
//! | `azure-cli-encrypted` | `~/.azure/msal_token_cache.bin` | the same | Python |
//! | `azure-cli-plaintext` | `~/.azure/msal_token_cache.json` | the same | Python |
//! | `azure-identity` | `~/.IdentityService/msal.cache.nocae` | `LAD/.IdentityService/msal.cache.nocae` | Python, Node, Go, Java; on Windows .NET too |
//! | `azure-identity-cae` | `….cae` | `….cae` | the same |
//! | `azure-identity-dotnet` | `LAD/.IdentityService/msal.cache.nocae` | the same, so that of `azure-identity` | .NET; on Windows all |
//! | `azure-identity-dotnet-cae` | `….cae` | `….cae` | the same |
//! | `azure-powershell` | that of `azure-identity-dotnet-cae` | the same | the same |
//! | `git-credential-manager` | `~/.local/.IdentityService/msal.cache` | `LAD/.IdentityService/msal.cache` | .NET |
//! | `git-credential-manager-app` | `~/.gcm/msal/app.cache` | the same | .NET |
//! | `developer-tools` | that of `git-credential-manager` | the same | .NET |
//!
//! `AZURE_CONFIG_DIR` moves the folder of Azure CLI. A path is of the caches' default name; a program that gives
//! azure-identity a name of its own has its cache beside it, to be opened by [`FileStore::at`](crate::FileStore::at).
//!
//! Several presets can mean one file, and one file can be the marker of several libraries whose tokens are in different
//! keychain items: [`ProductCache::participants`] tells. A [`FileStore`](crate::FileStore) opens plaintext files, which
//! all of these are on Linux where there is no Secret Service, but for Azure CLI's encrypted one; elsewhere only Azure
//! CLI's. Everything else is `Unsupported`, with the wrapper named.
//!
//! # MSAL.NET deletes what it cannot load
//!
//! Where .NET takes part, a store warns once through `tracing` if the file holds what .NET would delete it for:
//! [`Profile::objections`](cache_core::Profile::objections). Documents are written in the
//! [profile](ProductCache::profile) of the libraries that take part.
//!
//! Sources: the extension libraries at the versions that `docs/interop.md` names; azure-cli-core 2.91; azure-identity
//! (Python) 1.27, `@azure/identity-cache-persistence` 1.2, Azure/azure-sdk-for-go sdk/azidentity/cache,
//! Azure/azure-sdk-for-java PersistentTokenCacheImpl.java, Azure.Identity (.NET) 1.21; Azure/azure-powershell
//! MsalCacheHelperProvider.cs; git-ecosystem/git-credential-manager MicrosoftAuthentication.cs.

mod cache;
mod machine;
mod participants;
mod paths;
mod wrapper;

use std::fmt;
use std::str::FromStr;

use cache_core::{Error, ErrorKind, Result};

pub use self::cache::ProductCache;
pub use self::machine::{Machine, Platform};
pub use self::wrapper::{Participant, SecretItem, Wrapper};

/// The cache of a product, by its name. See the [module](self) for the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Preset {
    /// Azure CLI, the file that it uses unless told otherwise: encrypted on Windows, plaintext elsewhere.
    AzureCli,
    /// Azure CLI with `core.encrypt_token_cache` on.
    AzureCliEncrypted,
    /// Azure CLI with `core.encrypt_token_cache` off.
    AzureCliPlaintext,
    /// The Azure SDKs for Python, Node, Go and Java: tokens for clients without continuous access evaluation.
    AzureIdentity,
    /// The same: tokens for clients with continuous access evaluation.
    AzureIdentityCae,
    /// The Azure SDK for .NET: tokens for clients without continuous access evaluation.
    AzureIdentityDotnet,
    /// The same: tokens for clients with continuous access evaluation.
    AzureIdentityDotnetCae,
    /// Azure PowerShell, which uses the Azure SDK for .NET.
    AzurePowerShell,
    /// Git Credential Manager: its users.
    GitCredentialManager,
    /// Git Credential Manager: its own applications.
    GitCredentialManagerApp,
    /// What Visual Studio, Git Credential Manager and the credential provider of Azure Artifacts share.
    DeveloperTools,
}

impl Preset {
    /// Every preset.
    pub fn all() -> &'static [Self] {
        &[
            Self::AzureCli,
            Self::AzureCliEncrypted,
            Self::AzureCliPlaintext,
            Self::AzureIdentity,
            Self::AzureIdentityCae,
            Self::AzureIdentityDotnet,
            Self::AzureIdentityDotnetCae,
            Self::AzurePowerShell,
            Self::GitCredentialManager,
            Self::GitCredentialManagerApp,
            Self::DeveloperTools,
        ]
    }

    /// The preset of this [name](Self::name). `InvalidInput`: there is none; the message lists the names.
    pub fn by_name(name: &str) -> Result<Self> {
        Self::all().iter().copied().find(|preset| preset.name() == name).ok_or_else(|| {
            let names: Vec<&str> = Self::all().iter().map(Self::name).collect();
            let message = format!("no preset has this name; the presets are {}", names.join(", "));
            Error::new(ErrorKind::InvalidInput, message)
        })
    }

    /// The name, for example `azure-cli`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::AzureCli => "azure-cli",
            Self::AzureCliEncrypted => "azure-cli-encrypted",
            Self::AzureCliPlaintext => "azure-cli-plaintext",
            Self::AzureIdentity => "azure-identity",
            Self::AzureIdentityCae => "azure-identity-cae",
            Self::AzureIdentityDotnet => "azure-identity-dotnet",
            Self::AzureIdentityDotnetCae => "azure-identity-dotnet-cae",
            Self::AzurePowerShell => "azure-powershell",
            Self::GitCredentialManager => "git-credential-manager",
            Self::GitCredentialManagerApp => "git-credential-manager-app",
            Self::DeveloperTools => "developer-tools",
        }
    }

    /// The product, as people call it.
    pub fn product(&self) -> &'static str {
        match self {
            Self::AzureCli | Self::AzureCliEncrypted | Self::AzureCliPlaintext => "Azure CLI",
            Self::AzureIdentity | Self::AzureIdentityCae => "Azure SDK for Python, Node, Go and Java",
            Self::AzureIdentityDotnet | Self::AzureIdentityDotnetCae => "Azure SDK for .NET",
            Self::AzurePowerShell => "Azure PowerShell",
            Self::GitCredentialManager | Self::GitCredentialManagerApp => "Git Credential Manager",
            Self::DeveloperTools => "Visual Studio and other developer tools",
        }
    }

    /// The cache on a machine, at the path where the product keeps it. Looks which of the folders exist where that
    /// decides (.NET), and opens nothing.
    ///
    /// `Unavailable`: the machine has no home folder, or on Windows no folder for local application data.
    pub fn on(&self, machine: &Machine) -> Result<ProductCache> {
        ProductCache::new(*self, machine)
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Preset {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::by_name(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_names_its_preset_and_no_other() {
        for preset in Preset::all() {
            assert_eq!(Preset::by_name(&preset.to_string()).expect("a preset"), *preset);
            assert_eq!(preset.name().parse::<Preset>().expect("a preset"), *preset);
        }
    }

    #[test]
    fn an_unknown_name_is_told_the_known_ones() {
        for name in ["", "azure", "Azure-CLI", "azure-cli "] {
            let error = Preset::by_name(name).expect_err("no preset");
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(Preset::all().iter().all(|preset| error.message().contains(preset.name())), "{error}");
        }
    }
}
