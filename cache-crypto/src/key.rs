//! Master keys and their ids.

use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_PAD_INDIFFERENT, URL_SAFE_PAD_INDIFFERENT};
use cache_core::{Blob, Error, ErrorKind, Result};
use zeroize::Zeroizing;

use crate::primitives::{KEY_LEN, expand, extract, random};
use crate::{hex, secret_file};

/// A master key: 32 random bytes and the id that envelopes name it by.
///
/// Cloning shares the memory, which is wiped when the last owner is dropped. `Debug` prints the id.
///
/// ```
/// use cache_crypto::Key;
///
/// let key = Key::generate()?;
/// let same = Key::parse(key.expose())?;
/// assert_eq!(key.id(), same.id());
/// # Ok::<(), cache_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Key {
    bytes: Blob,
    id: KeyId,
    origin: &'static str,
}

impl Key {
    /// Length in bytes.
    pub const LEN: usize = KEY_LEN;

    /// The key with these bytes, which must come from a generator of random numbers: for words use a
    /// [`Passphrase`](crate::Passphrase).
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        Self::new(Blob::copy_of(bytes))
    }

    /// A new key from the operating system's generator. No random bytes to be had: `Unavailable`.
    pub fn generate() -> Result<Self> {
        let mut bytes = Zeroizing::new(vec![0; Self::LEN]);
        random(&mut bytes)?;
        Ok(Self::new(bytes.into()))
    }

    /// The key in the content of a key file, an environment variable or a secret manager's answer: 32 bytes as they
    /// are, or as text 64 hexadecimal digits or base64 (either alphabet, padding optional), white space around it
    /// ignored.
    ///
    /// Anything else is `InvalidInput`, as are 32 printable characters: they are a passphrase or the text of a shorter
    /// key.
    pub fn parse(content: &[u8]) -> Result<Self> {
        let text = content.trim_ascii();
        if let Ok(bytes) = <&[u8; Self::LEN]>::try_from(content)
            && !content.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace())
        {
            return Ok(Self::from_bytes(bytes));
        }
        if let Some(bytes) = hex::decode_key(text).or_else(|| decode_base64(text)) {
            return Ok(Self::from_bytes(&bytes));
        }
        let message = format!(
            "no key in these {} bytes: a key is 32 random bytes, or 64 hexadecimal digits, or 32 bytes in base64; for \
             words use a passphrase",
            content.len()
        );
        Err(Error::new(ErrorKind::InvalidInput, message))
    }

    /// The key in a file, in any form that [`parse`](Self::parse) reads. Symbolic links are followed, since secret
    /// mounts of containers are links.
    ///
    /// No such file: `KeyUnavailable`. Not a regular file, or on Unix accessible to its group or to others: `Denied`;
    /// a deployment that shares a key on purpose reads the file itself and calls [`parse`](Self::parse). No key in it:
    /// `InvalidInput`.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let content = secret_file::read(path, "key file")?;
        let key = Self::parse(&content)
            .map_err(|error| Error::new(error.kind(), format!("{}: {}", path.display(), error.message())))?;
        Ok(Self { origin: "key file", ..key })
    }

    /// A new key, written to a new file: base64 and a newline, on Unix of mode 0600, durable when this returns.
    ///
    /// Nothing is ever overwritten: if anything is there, a link included, the answer is `InvalidInput`. The file
    /// appears whole or not at all.
    pub fn create_file(path: impl AsRef<Path>) -> Result<Self> {
        let key = Self { origin: "key file", ..Self::generate()? };
        let mut text = Zeroizing::new(STANDARD_PAD_INDIFFERENT.encode(key.expose()));
        text.push('\n');
        if secret_file::create(path.as_ref(), text.as_bytes())? {
            return Ok(key);
        }
        let message =
            format!("{} is there already and is not replaced; use it, or name another", path.as_ref().display());
        Err(Error::new(ErrorKind::InvalidInput, message))
    }

    /// The key in a file, which is created with a new key if there is none. Processes that call this at the same time
    /// get the same key.
    ///
    /// For a program's first start. What was protected with a key file that got lost does not open with the new one.
    pub fn from_file_or_create(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        match Self::from_file(path) {
            Err(missing) if missing.kind() == ErrorKind::KeyUnavailable => match Self::create_file(path) {
                // Another process was faster.
                Err(exists) if exists.kind() == ErrorKind::InvalidInput => Self::from_file(path),
                created => created,
            },
            read => read,
        }
    }

    /// The same key under an id of the caller's own, for key services that number their keys.
    #[must_use]
    pub fn with_id(self, id: KeyId) -> Self {
        Self { id, ..self }
    }

    /// The id that envelopes name this key by.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The bytes, for storing the key. Every use goes through this call, so that it can be searched for.
    pub fn expose(&self) -> &[u8] {
        self.bytes.expose()
    }

    /// Where the key comes from, for people.
    pub(crate) fn origin(&self) -> &'static str {
        self.origin
    }

    fn new(bytes: Blob) -> Self {
        let id = KeyId::new(*expand(&extract(b"", bytes.expose()), b"tokencache/v1 key id"));
        Self { bytes, id, origin: "key" }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

/// The id of a master key. It stands readable in every envelope and tells nothing about the key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId([u8; Self::LEN]);

impl KeyId {
    /// Length in bytes.
    pub const LEN: usize = 8;

    /// The id with these bytes.
    pub fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes of the id.
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        self.0
    }
}

/// 16 hexadecimal digits.
impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

fn decode_base64(text: &[u8]) -> Option<Zeroizing<[u8; KEY_LEN]>> {
    // A decoder may write up to the end of the last group of three.
    let mut buffer = Zeroizing::new([0; KEY_LEN + 1]);
    let length = STANDARD_PAD_INDIFFERENT
        .decode_slice(text, &mut buffer[..])
        .or_else(|_| URL_SAFE_PAD_INDIFFERENT.decode_slice(text, &mut buffer[..]))
        .ok()?;
    let (key, _) = buffer.split_first_chunk::<KEY_LEN>()?;
    (length == KEY_LEN).then(|| Zeroizing::new(*key))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of the key 80, 81, .. 9f in each accepted form.
    const BYTES: [u8; 32] = {
        let mut bytes = [0; 32];
        let mut n = 0;
        while n < 32 {
            bytes[n] = 0x80 + n as u8;
            n += 1;
        }
        bytes
    };
    const BASE64: &str = "gIGCg4SFhoeIiYqLjI2Oj5CRkpOUlZaXmJmam5ydnp8=";

    #[test]
    fn every_form_is_the_same_key() {
        let hex = BYTES.map(|byte| format!("{byte:02x}")).concat();
        for content in [
            BYTES.to_vec(),
            hex.clone().into_bytes(),
            hex.to_uppercase().into_bytes(),
            format!("{hex}\n").into_bytes(),
            format!(" \t{hex}\r\n").into_bytes(),
            BASE64.into(),
            format!("{BASE64}\r\n").into_bytes(),
            BASE64.trim_end_matches('=').into(),
        ] {
            assert_eq!(Key::parse(&content).expect("a key").expose(), BYTES);
        }
        let high = [0xFBu8; 32];
        for text in ["+/v7".repeat(10) + "+/s=", "-_v7".repeat(10) + "-_s", "-_v7".repeat(10) + "-_s="] {
            let key = Key::parse(text.as_bytes()).expect("a key");
            assert_eq!(key.expose()[1..], high[1..], "{text}");
        }
    }

    #[test]
    fn other_content_is_refused_and_not_shown() {
        let hex = BYTES.map(|byte| format!("{byte:02x}")).concat();
        for content in [
            "",
            "\n",
            "correct horse battery staple",
            "0123456789abcdef0123456789abcdef",
            "thirty-two characters are a text",
            &hex[1..],
            &format!("{hex}0"),
            &format!("0x{hex}"),
            &hex.replace('8', "g"),
            &BASE64[1..],
            &BASE64.repeat(2),
            &"gIGC".repeat(11), // 33 bytes
            &format!("{BASE64} {BASE64}"),
            "gIGC+/_-",
        ] {
            let error = Key::parse(content.as_bytes()).expect_err("no key");
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{content:?}");
            assert!(content.trim().is_empty() || !format!("{error:?}").contains(content.trim()));
        }
        for length in [1, 31, 33, 64] {
            assert!(Key::parse(&vec![0x80; length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn generated_keys_differ() {
        let keys = [Key::generate().expect("random"), Key::generate().expect("random")];
        assert_ne!(keys[0].expose(), keys[1].expose());
        assert_ne!(keys[0].id(), keys[1].id());
    }

    #[test]
    fn an_id_can_be_named() {
        let id = KeyId::new(*b"\0version");
        let key = Key::from_bytes(&BYTES).with_id(id);
        assert_eq!((key.id(), key.id().to_bytes()), (id, *b"\0version"));
        assert_eq!(format!("{key:?}"), "Key(0076657273696f6e)");
    }
}
