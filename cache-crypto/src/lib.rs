//! Protection for MSAL token caches: authenticated encryption, and the keys for it.
//!
//! [`Envelope`] is the [`Protector`](cache_core::Protector) that stores take. Its keys come from
//!
//! | source | for | use |
//! |---|---|---|
//! | key file | services, desktop programs, containers | [`Key::from_file`], [`Key::from_file_or_create`] |
//! | bytes of any origin | secret managers, environment variables | [`Key::parse`], [`Key::from_bytes`] |
//! | passphrase | people | [`Passphrase`], argon2id |
//! | key ring | rotation | [`KeyRing`] |
//! | key service, keychain | keys that live elsewhere | [`KeySource`] |
//!
//! [`rows`] is for those who write a store of single entries: each is sealed by itself, under a name that tells nothing.
//!
//! The format is specified byte by byte in `docs/envelope.md`, with test vectors and with what is **not** protected:
//! rollback to an older copy, code that runs as the same user, lengths.
//!
//! Keys, passphrases and plaintext are wiped when dropped, and nothing here prints them.

#![forbid(unsafe_code)]

mod argon2_params;
mod context;
mod envelope;
mod header;
mod hex;
mod key;
mod key_ring;
mod key_source;
mod passphrase;
mod primitives;
pub mod rows;
mod secret_file;
#[cfg(test)]
#[path = "../tests/vectors/case.rs"]
mod vector_case;

pub use argon2_params::Argon2Params;
pub use envelope::Envelope;
pub use key::{Key, KeyId};
pub use key_ring::KeyRing;
pub use key_source::KeySource;
pub use passphrase::Passphrase;
pub use secret_file::secret_from_file;
