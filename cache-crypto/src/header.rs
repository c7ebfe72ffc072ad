//! The header of an envelope: everything before the ciphertext (`docs/envelope.md`, sections 1 and 5).

use std::fmt::Display;

use cache_core::{Error, ErrorKind, Result};
use sha2::{Digest as _, Sha256};

use crate::argon2_params::Argon2Params;
use crate::key::KeyId;

/// Length of the salt that makes each envelope's keys its own.
pub(crate) const BLOB_SALT_LEN: usize = 32;
/// Length of the key check.
pub(crate) const CHECK_LEN: usize = 16;
/// Length of an argon2id salt.
pub(crate) const SALT_LEN: usize = 16;

/// Begins with a byte that begins no text; the newline shows transfers that change line ends.
const MAGIC: [u8; 8] = *b"\x89TOKENC\n";
const VERSION: u8 = 1;
const PREFIX_LEN: usize = MAGIC.len() + 1;
const SUITE_AES_256_GCM_HKDF_SHA256: u8 = 1;
const CHECKSUM_LEN: usize = 8;
const SOURCE_KEY: u8 = 0;
const SOURCE_ARGON2ID: u8 = 1;
const ARGON2ID_LEN: usize = 3 * 4 + SALT_LEN;
/// Where the length of the source parameters stands, counted from the end of the prefix: after suite, key id and tag.
const SOURCE_LENGTH_AT: usize = 1 + KeyId::LEN + 1;

/// What an envelope says about its key, before anything of it is trusted.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(crate) struct Header {
    pub(crate) key_id: KeyId,
    pub(crate) source: Source,
    pub(crate) blob_salt: [u8; BLOB_SALT_LEN],
    pub(crate) check: [u8; CHECK_LEN],
}

/// How the master key is had.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(crate) enum Source {
    /// The key itself, by its id.
    Key,
    /// From a passphrase.
    Argon2id { params: Argon2Params, salt: [u8; SALT_LEN] },
}

impl Header {
    /// The header and the bytes after it.
    ///
    /// Damaged or cut off: `Corrupt`. Another format, a newer version, or work beyond the limits: `Unsupported`.
    pub(crate) fn parse(envelope: &[u8]) -> Result<(Self, &[u8])> {
        let Some((prefix, rest)) = envelope.split_first_chunk::<PREFIX_LEN>() else {
            return Err(if MAGIC.starts_with(envelope) { damaged() } else { foreign(envelope) });
        };
        let expected = prefix.starts_with(&MAGIC) && prefix[MAGIC.len()] == VERSION;
        match framed(rest) {
            Some((fields, body)) if expected => Ok((Self::decode(fields)?, body)),
            // The rest is a whole header of version 1, so it is the first nine bytes that are damaged.
            Some(_) => Err(damaged()),
            None if expected => Err(damaged()),
            None if prefix.starts_with(&MAGIC) => Err(unsupported("is of version", prefix[MAGIC.len()])),
            None => Err(foreign(envelope)),
        }
    }

    /// The header as bytes, checksum included.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([VERSION, SUITE_AES_256_GCM_HKDF_SHA256]);
        bytes.extend(self.key_id.to_bytes());
        match &self.source {
            Source::Key => bytes.extend([SOURCE_KEY, 0]),
            Source::Argon2id { params, salt } => {
                bytes.extend([SOURCE_ARGON2ID, ARGON2ID_LEN as u8]);
                for number in [params.memory_kib(), params.passes(), params.lanes()] {
                    bytes.extend(number.to_le_bytes());
                }
                bytes.extend(salt);
            }
        }
        bytes.extend(self.blob_salt);
        bytes.extend(self.check);
        bytes.extend(checksum(&bytes[PREFIX_LEN..]));
        bytes
    }

    /// Reads the fields between prefix and checksum, which has vouched for them.
    fn decode(mut fields: &[u8]) -> Result<Self> {
        let fields = &mut fields;
        let [suite] = take(fields)?;
        if suite != SUITE_AES_256_GCM_HKDF_SHA256 {
            return Err(unsupported("uses cipher suite", suite));
        }
        let key_id = KeyId::new(take(fields)?);
        let [tag, length] = take(fields)?;
        let source = match (tag, usize::from(length)) {
            (SOURCE_KEY, 0) => Source::Key,
            (SOURCE_ARGON2ID, ARGON2ID_LEN) => {
                let [memory_kib, passes, lanes] = [take(fields)?, take(fields)?, take(fields)?].map(u32::from_le_bytes);
                let params = Argon2Params::new(memory_kib, passes, lanes).map_err(|error| {
                    let message = "the passphrase key of these bytes asks for work that is out of bounds, so nothing \
                                   was derived; bytes of this program's making ask for less";
                    Error::new(ErrorKind::Unsupported, message).with_source(error)
                })?;
                Source::Argon2id { params, salt: take(fields)? }
            }
            _ => return Err(unsupported("has a key source of kind", tag)),
        };
        Ok(Self { key_id, source, blob_salt: take(fields)?, check: take(fields)? })
    }
}

/// Splits what follows the prefix at the checksum, if the checksum fits: the fields, and all after the checksum.
fn framed(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let source_len = usize::from(*rest.get(SOURCE_LENGTH_AT)?);
    let fields_len = SOURCE_LENGTH_AT + 1 + source_len + BLOB_SALT_LEN + CHECK_LEN;
    let (fields, rest) = rest.split_at_checked(fields_len)?;
    let (found, body) = rest.split_first_chunk::<CHECKSUM_LEN>()?;
    (*found == checksum(fields)).then_some((fields, body))
}

/// The checksum of a header with these fields. It is taken over the prefix as it should be, not as it is, so that
/// a damaged version byte can be told from a newer version.
fn checksum(fields: &[u8]) -> [u8; CHECKSUM_LEN] {
    let digest = Sha256::new().chain_update(MAGIC).chain_update([VERSION]).chain_update(fields).finalize();
    std::array::from_fn(|n| digest[n])
}

fn take<const N: usize>(fields: &mut &[u8]) -> Result<[u8; N]> {
    let (taken, rest) = fields.split_first_chunk::<N>().ok_or_else(damaged)?;
    *fields = rest;
    Ok(*taken)
}

fn damaged() -> Error {
    let message = "the protected bytes are damaged or cut off; restore a copy, or remove them and sign in again";
    Error::new(ErrorKind::Corrupt, message)
}

fn foreign(bytes: &[u8]) -> Error {
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes).trim_ascii_start();
    let message = if text.first() == Some(&b'{') {
        "these bytes are plaintext JSON, and protected bytes are demanded; import the document into a protected cache"
    } else {
        "these bytes were not protected by this library; open them with the program that wrote them"
    };
    Error::new(ErrorKind::Unsupported, message)
}

fn unsupported(what: &str, number: impl Display) -> Error {
    let message = format!("this envelope {what} {number}, which this program does not know; use a newer one");
    Error::new(ErrorKind::Unsupported, message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers() -> impl Strategy<Value = Header> {
        let source = prop_oneof![
            Just(Source::Key),
            (1u32..=16, 1u32..=16, any::<[u8; 16]>()).prop_flat_map(|(lanes, passes, salt)| {
                (8 * lanes..=Argon2Params::MAX_MEMORY_KIB).prop_map(move |memory| Source::Argon2id {
                    params: Argon2Params::new(memory, passes, lanes).expect("in range"),
                    salt,
                })
            }),
        ];
        (any::<[u8; 8]>(), source, any::<[u8; 32]>(), any::<[u8; 16]>())
            .prop_map(|(id, source, blob_salt, check)| Header { key_id: KeyId::new(id), source, blob_salt, check })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(header in headers(), body: Vec<u8>) {
            let bytes = header.encode();
            prop_assert_eq!(bytes.len(), if header.source == Source::Key { 76 } else { 104 });
            let whole = [bytes, body.clone()].concat();
            let (read, rest) = Header::parse(&whole).expect("own header");
            prop_assert_eq!((read, rest), (header, &body[..]));
        }

        #[test]
        fn what_is_read_is_written(header in headers(), change in any::<(usize, u8)>()) {
            let mut bytes = header.encode();
            let at = change.0 % bytes.len();
            bytes[at] ^= change.1;
            match Header::parse(&bytes) {
                Ok((read, _)) => prop_assert_eq!(read.encode(), bytes),
                Err(error) => prop_assert_eq!(error.kind(), ErrorKind::Corrupt),
            }
        }

        #[test]
        fn any_bytes_have_an_answer(tail: Vec<u8>, magic: bool, version: bool) {
            let mut bytes = if magic { MAGIC.to_vec() } else { Vec::new() };
            bytes.extend(version.then_some(VERSION));
            bytes.extend(tail);
            let error = Header::parse(&bytes).expect_err("no checksum fits by chance");
            prop_assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported));
        }
    }
}
