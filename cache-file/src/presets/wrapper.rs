//! How a cache is kept, and by which library.

use std::fmt;

use cache_core::Peer;

/// What the JSON of a cache is wrapped in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Wrapper {
    /// Nothing: the file is the JSON. The only wrapper that [`FileStore`](crate::FileStore) opens.
    PlaintextFile,
    /// The file is the JSON under Windows DPAPI: of the current user, without entropy.
    Dpapi,
    /// A generic password in the login keychain of macOS, the JSON as it is. The file is a marker: its time tells when
    /// the item was written.
    Keychain {
        /// The service of the item.
        service: &'static str,
        /// Its account.
        account: &'static str,
    },
    /// An item of the Secret Service of Linux, in the default collection. The file is a marker, as for the keychain.
    SecretService(SecretItem),
    /// The file is a compact JWE (`A128CBC-HS256`), whose key of 32 bytes lies in the kernel's user keyring of Linux
    /// until the next boot.
    KernelKeyring {
        /// The description of the key.
        description: &'static str,
    },
}

/// An item of the Secret Service, as libsecret knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct SecretItem {
    /// The name of the schema, stored as the attribute `xdg:schema`.
    pub schema: &'static str,
    /// Whether the schema's name takes part in a lookup.
    pub schema_matters: bool,
    /// The attributes that it is found by.
    pub attributes: &'static [(&'static str, &'static str)],
    /// Its label; empty: none.
    pub label: &'static str,
    /// Whether the secret is base64 of the JSON rather than the JSON.
    pub base64: bool,
}

impl Wrapper {
    /// What the wrapper is, in a word or two: `plaintext file`, `DPAPI`, `keychain`, `Secret Service` or
    /// `kernel keyring`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::PlaintextFile => "plaintext file",
            Self::Dpapi => "DPAPI",
            Self::Keychain { .. } => "keychain",
            Self::SecretService(_) => "Secret Service",
            Self::KernelKeyring { .. } => "kernel keyring",
        }
    }

    /// Whether the tokens are elsewhere, so that the file is a marker, of which only the time counts.
    pub fn leaves_marker(&self) -> bool {
        matches!(self, Self::Keychain { .. } | Self::SecretService(_))
    }
}

/// Says the wrapper with what it is found by, for example `the keychain item of service S, account A`.
impl fmt::Display for Wrapper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PlaintextFile => f.write_str("a plaintext file"),
            Self::Dpapi => f.write_str("a file under Windows DPAPI"),
            Self::Keychain { service, account } => {
                write!(f, "the keychain item of service {service}, account {account}")
            }
            Self::SecretService(item) => write!(f, "the Secret Service item of schema {}", item.schema),
            Self::KernelKeyring { description } => {
                write!(f, "a file under the key {description} of the kernel keyring")
            }
        }
    }
}

/// A library that takes part in a cache, and how it keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Participant {
    /// The library.
    pub library: Peer,
    /// The wrappers in the order in which it tries them. A plaintext file behind another wrapper is a fall-back that the
    /// program has to allow.
    pub wrappers: Vec<Wrapper>,
}
