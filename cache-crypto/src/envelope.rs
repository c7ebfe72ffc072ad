//! The protector: seals and opens envelopes (`docs/envelope.md`).

use std::fmt;

use cache_core::{Blob, Context, Error, ErrorKind, Protector, Result};
use zeroize::Zeroizing;

use crate::context::associated_data;
use crate::header::{BLOB_SALT_LEN, CHECK_LEN, Header, Source};
use crate::key::Key;
use crate::key_ring::KeyRing;
use crate::key_source::KeySource;
use crate::passphrase::Passphrase;
use crate::primitives::{KEY_LEN, NONCE_LEN, TAG_LEN, decrypt, encrypt, expand, extract, random};

/// Protects with AES-256-GCM; each envelope has a key and a nonce of its own, derived from a master key.
///
/// The answers are those of [`Protector`]. With one key, bytes of any other key are `Undecryptable`; with a key ring or
/// a key source, bytes of an id that it does not know are `KeyUnavailable`. Damage anywhere, one byte or a missing end,
/// is `Corrupt`.
///
/// With a key file:
///
/// ```
/// use cache_core::{Context, PartitionKey, Protector};
/// use cache_crypto::{Envelope, Key};
///
/// # let folder = tempfile::tempdir().expect("a temporary folder");
/// # let path = folder.path().join("cache.key");
/// let protector = Envelope::with_key(Key::from_file_or_create(&path)?);
/// assert_eq!(protector.describe(), "AES-256-GCM, key file");
///
/// let place = Context::document("file", &PartitionKey::Shared);
/// let protected = protector.protect(b"tokens", &place)?;
/// assert_eq!(protector.unprotect(&protected, &place)?.expose(), b"tokens");
/// # Ok::<(), cache_core::Error>(())
/// ```
///
/// With a passphrase, which is turned into a key by [`prepare`](Protector::prepare), before a store takes its lock:
///
/// ```
/// use cache_core::{Context, PartitionKey, Protector};
/// use cache_crypto::{Argon2Params, Envelope, Passphrase};
///
/// let passphrase = Passphrase::new("correct horse battery staple")?;
/// # let passphrase = passphrase.with_params(Argon2Params::new(64, 1, 1)?);
/// let protector = Envelope::with_passphrase(passphrase);
///
/// let place = Context::document("file", &PartitionKey::Shared);
/// protector.prepare(None)?;
/// let protected = protector.protect(b"tokens", &place)?;
///
/// // Another process, later:
/// # let again = Passphrase::new("correct horse battery staple")?.with_params(Argon2Params::new(64, 1, 1)?);
/// # let protector = Envelope::with_passphrase(again);
/// protector.prepare(Some(&protected))?;
/// assert_eq!(protector.unprotect(&protected, &place)?.expose(), b"tokens");
/// # Ok::<(), cache_core::Error>(())
/// ```
///
/// With a new key while an old one is still in use: [`KeyRing`].
pub struct Envelope {
    keys: KeyRing,
    /// One key or passphrase, so that any other id means a wrong key rather than a missing one.
    single: bool,
}

impl Envelope {
    /// Protects with this key and opens what was protected with it.
    pub fn with_key(key: Key) -> Self {
        Self { keys: key.into(), single: true }
    }

    /// Protects with keys derived from this passphrase and opens what was protected with it, whatever the salt.
    pub fn with_passphrase(passphrase: Passphrase) -> Self {
        Self { keys: passphrase.into(), single: true }
    }

    /// Protects with the ring's first key and opens what was protected with any of them.
    pub fn with_key_ring(keys: KeyRing) -> Self {
        Self { keys, single: false }
    }

    /// Protects with the source's current key and opens what was protected with any key that it finds.
    pub fn with_source(source: impl KeySource) -> Self {
        Self::with_key_ring(KeyRing::from_source(source))
    }

    /// What protects new bytes, for people: cipher and key, for example `AES-256-GCM, key file`. No secrets.
    pub fn describe(&self) -> String {
        let keys = self.keys.describe();
        match self.keys.len() {
            1 => format!("AES-256-GCM, {keys}"),
            count => format!("AES-256-GCM, {keys}, key ring of {count}"),
        }
    }

    /// The keys that opened with this header, if the key that it names is at hand and is the right one.
    fn content_keys(&self, header: &Header) -> Result<ContentKeys> {
        let Some(key) = self.keys.find(header)? else {
            return Err(if self.single { other_key(header) } else { unknown_key(header) });
        };
        let keys = ContentKeys::derive(&key, &header.blob_salt);
        // The check is public; comparing it in constant time would hide nothing.
        if *keys.check == header.check { Ok(keys) } else { Err(other_key(header)) }
    }
}

impl Protector for Envelope {
    fn prepare(&self, protected: Option<&[u8]>) -> Result<()> {
        let Some(protected) = protected else { return self.keys.prepare(None) };
        // Bytes that are no envelope name no key; `unprotect` says what is wrong with them.
        let header = Header::parse(protected).ok().map(|(header, _)| header);
        if let Some(header) = &header {
            self.content_keys(header)?;
        }
        // Whoever only reads needs no key to write with; `protect` tries again and tells.
        self.keys.prepare(header.as_ref()).or(Ok(()))
    }

    fn is_prepared(&self, protected: &[u8]) -> bool {
        // Of what is no envelope, `unprotect` says so at once.
        self.keys.are_at_hand()
            || Header::parse(protected).map_or(true, |(header, _)| self.keys.answers_at_once(&header))
    }

    fn protect(&self, plaintext: &[u8], context: &Context<'_>) -> Result<Vec<u8>> {
        let (key, source) = self.keys.current()?;
        let mut blob_salt = [0; BLOB_SALT_LEN];
        random(&mut blob_salt)?;
        seal(&key, source, blob_salt, plaintext, context)
    }

    fn unprotect(&self, protected: &[u8], context: &Context<'_>) -> Result<Blob> {
        let (header, body) = Header::parse(protected)?;
        let header_bytes = &protected[..protected.len() - body.len()];
        let (ciphertext, tag) = body.split_last_chunk::<TAG_LEN>().ok_or_else(cut_off)?;
        let keys = self.content_keys(&header)?;
        let associated = associated_data(header_bytes, context)?;
        let mut plaintext = Zeroizing::new(vec![0; ciphertext.len()]);
        if decrypt(&keys.key, &keys.nonce, associated.expose(), ciphertext, tag, &mut plaintext)? {
            Ok(Blob::from(plaintext))
        } else {
            Err(altered())
        }
    }
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Envelope({})", self.describe())
    }
}

/// What one envelope needs of its master key.
struct ContentKeys {
    key: Zeroizing<[u8; KEY_LEN]>,
    nonce: Zeroizing<[u8; NONCE_LEN]>,
    check: Zeroizing<[u8; CHECK_LEN]>,
}

impl ContentKeys {
    fn derive(key: &Key, blob_salt: &[u8; BLOB_SALT_LEN]) -> Self {
        let extracted = extract(blob_salt, key.expose());
        Self {
            key: expand(&extracted, b"tokencache/v1 aes-256-gcm key"),
            nonce: expand(&extracted, b"tokencache/v1 aes-256-gcm nonce"),
            check: expand(&extracted, b"tokencache/v1 key check"),
        }
    }
}

/// The envelope of `plaintext`. The blob salt must be random and used once.
fn seal(
    key: &Key,
    source: Source,
    blob_salt: [u8; BLOB_SALT_LEN],
    plaintext: &[u8],
    context: &Context<'_>,
) -> Result<Vec<u8>> {
    let keys = ContentKeys::derive(key, &blob_salt);
    let header = Header { key_id: key.id(), source, blob_salt, check: *keys.check }.encode();
    let associated = associated_data(&header, context)?;
    let end = header.len() + plaintext.len();
    // The plaintext never stands in this buffer: the cipher reads it where it is and writes the ciphertext here.
    let mut envelope = vec![0; end + TAG_LEN];
    envelope[..header.len()].copy_from_slice(&header);
    let tag = encrypt(&keys.key, &keys.nonce, associated.expose(), plaintext, &mut envelope[header.len()..end])?;
    envelope[end..].copy_from_slice(&tag);
    Ok(envelope)
}

fn other_key(header: &Header) -> Error {
    let message = format!(
        "these bytes are intact but were protected with another {}; give the one that they were written with",
        key_name(header)
    );
    Error::new(ErrorKind::Undecryptable, message)
}

fn unknown_key(header: &Header) -> Error {
    let message = format!(
        "the {} that protects these bytes is not at hand; add it to the key ring or key source",
        key_name(header)
    );
    Error::new(ErrorKind::KeyUnavailable, message)
}

fn key_name(header: &Header) -> String {
    match header.source {
        Source::Key => format!("key (id {})", header.key_id),
        Source::Argon2id { .. } => "passphrase".to_owned(),
    }
}

fn cut_off() -> Error {
    let message = "the protected bytes are cut off; restore a copy, or remove them and sign in again";
    Error::new(ErrorKind::Corrupt, message)
}

fn altered() -> Error {
    let message = "the protected bytes are damaged, or belong to another partition or store; restore a copy, or \
                   remove them and sign in again";
    Error::new(ErrorKind::Corrupt, message)
}

#[cfg(test)]
mod tests {
    use cache_core::{Part, PartitionKey};

    use super::*;
    use crate::vector_case::Case;
    use crate::{Argon2Params, KeyId};

    const SHARED: PartitionKey = PartitionKey::Shared;

    fn place() -> Context<'static> {
        Context::document("file", &SHARED)
    }

    fn envelope(memory_kib: u32) -> Envelope {
        let params = Argon2Params::new(memory_kib, 1, 1).expect("in bounds");
        Envelope::with_passphrase(Passphrase::new("words").expect("words").with_params(params))
    }

    fn source(protected: &[u8]) -> Source {
        Header::parse(protected).expect("an envelope").0.source
    }

    /// Seals a vector again with its salts: the same bytes, which another implementation has made.
    fn reseal(json: &str) {
        let case = Case::parse(json);
        assert_eq!(case.opens, "ok");
        let header = Header::parse(&case.envelope).expect("a vector's header").0;
        let key = match (&case.key, &case.passphrase, &header.source) {
            (Some(bytes), ..) => {
                let key = Key::parse(bytes).expect("a key");
                let id = case.key_id.as_ref().map_or(key.id(), |id| KeyId::new(id[..].try_into().expect("8 bytes")));
                key.with_id(id)
            }
            (None, Some(words), Source::Argon2id { params, salt }) => {
                Passphrase::new(words.as_str()).expect("words").key(params, salt).expect("derived")
            }
            _ => panic!("a vector has a key or a passphrase"),
        };
        let plaintext = case.plaintext.as_ref().expect("a vector that opens has plaintext");
        let sealed = seal(&key, header.source, header.blob_salt, plaintext, &case.context()).expect("sealed");
        assert_eq!(sealed, case.envelope);
    }

    macro_rules! reseals {
        ($($name:ident)*) => {
            $(#[test]
            fn $name() {
                reseal(include_str!(concat!("../tests/vectors/", stringify!($name), ".json")));
            })*
        };
    }

    reseals! {
        key_document key_document_of_user key_document_of_app key_empty key_name key_entry key_entry_bare
        key_entry_before_1970 key_named passphrase_document passphrase_lanes
    }

    #[test]
    fn after_prepare_nothing_is_derived() {
        let writer = envelope(16);
        writer.prepare(None).expect("derived");
        assert_eq!(writer.keys.derivations(), 1);
        let protected = writer.protect(b"tokens", &place()).expect("protected");

        let reader = envelope(16);
        reader.prepare(Some(&protected)).expect("derived");
        assert_eq!(reader.keys.derivations(), 1, "the salt is adopted, so one key both opens and protects");
        for protector in [&writer, &reader] {
            protector.unprotect(&protected, &place()).expect("opened");
            let again = protector.protect(b"tokens", &place()).expect("protected");
            assert!(source(&again) == source(&protected));
            assert_eq!(protector.keys.derivations(), 1);
        }
    }

    #[test]
    fn what_is_prepared_can_be_told() {
        let [writer, reader] = [envelope(16), envelope(16)];
        let protected = writer.protect(b"tokens", &place()).expect("protected");
        assert!(writer.is_prepared(&protected));
        assert!(!reader.is_prepared(&protected), "a key is still to be derived");
        reader.prepare(Some(&protected)).expect("derived");
        assert!(reader.is_prepared(&protected));

        let key = Key::from_bytes(&[7; Key::LEN]);
        let by_key = Envelope::with_key(key.clone()).protect(b"tokens", &place()).expect("protected");
        assert!(envelope(16).is_prepared(&by_key), "no passphrase opens it, which is known at once");
        assert!(Envelope::with_key(key).is_prepared(&protected));
        assert!(writer.is_prepared(b"no envelope"));

        let other =
            Passphrase::new("other").expect("words").with_params(Argon2Params::new(16, 1, 1).expect("in bounds"));
        let wrong = Envelope::with_passphrase(other);
        wrong.prepare(Some(&protected)).expect_err("another passphrase");
        assert!(wrong.is_prepared(&protected), "derived, and known not to fit");
    }

    #[test]
    fn without_prepare_it_works_all_the_same() {
        let protected = envelope(16).protect(b"tokens", &place()).expect("protected");
        assert_eq!(envelope(16).unprotect(&protected, &place()).expect("opened").expose(), b"tokens");
    }

    #[test]
    fn processes_that_began_with_two_salts_come_to_use_one() {
        let [one, two] = [envelope(16), envelope(16)];
        let first = one.protect(b"tokens", &place()).expect("protected");
        two.prepare(None).expect("derived");
        two.prepare(Some(&first)).expect("derived");
        let second = two.protect(b"tokens", &place()).expect("protected");
        assert!(source(&first) == source(&second));
    }

    #[test]
    fn other_parameters_are_read_and_not_adopted() {
        let weak = envelope(8).protect(b"tokens", &place()).expect("protected");
        let protector = envelope(16);
        protector.prepare(Some(&weak)).expect("derived");
        assert_eq!(protector.keys.derivations(), 2, "one key to open, one to protect");
        assert_eq!(protector.unprotect(&weak, &place()).expect("opened").expose(), b"tokens");
        let Source::Argon2id { params, .. } = source(&protector.protect(b"tokens", &place()).expect("protected"))
        else {
            panic!("a passphrase protects");
        };
        assert_eq!(params.memory_kib(), 16);
    }

    #[test]
    fn a_salt_of_another_passphrase_is_not_adopted() {
        let protected = envelope(16).protect(b"tokens", &place()).expect("protected");
        let params = Argon2Params::new(16, 1, 1).expect("in bounds");
        let other = |words: &str| Passphrase::new(words).expect("words").with_params(params);

        let wrong = Envelope::with_passphrase(other("wrong"));
        wrong.prepare(Some(&protected)).expect_err("another passphrase");
        assert!(source(&wrong.protect(b"tokens", &place()).expect("protected")) != source(&protected));

        let ring = Envelope::with_key_ring(KeyRing::from(other("new")).and(other("words")));
        ring.prepare(Some(&protected)).expect("the second opens");
        assert!(source(&ring.protect(b"tokens", &place()).expect("protected")) != source(&protected));
    }

    #[test]
    fn an_entry_can_name_a_passphrase_key_by_its_id() {
        let writer = envelope(16);
        let record = writer.protect(b"record", &place()).expect("protected");
        let entry = Part::Entry { id: b"id", written_at: None, expires_on: None, account: b"" };
        let entry_place = Context::of("sqlite", &SHARED, entry);
        let (key, _) = writer.keys.current().expect("derived");
        let entry = seal(&key, Source::Key, [7; BLOB_SALT_LEN], b"entry", &entry_place).expect("sealed");

        let reader = envelope(16);
        let kind = reader.unprotect(&entry, &entry_place).expect_err("no parameters yet").kind();
        assert_eq!(kind, ErrorKind::Undecryptable);
        reader.prepare(Some(&record)).expect("derived");
        assert_eq!(reader.unprotect(&entry, &entry_place).expect("opened").expose(), b"entry");
    }

    #[test]
    fn keys_are_named() {
        let key = || Key::from_bytes(&[7; Key::LEN]);
        let words = envelope(64 * 1024);
        assert_eq!(Envelope::with_key(key()).describe(), "AES-256-GCM, key");
        assert_eq!(words.describe(), "AES-256-GCM, passphrase (argon2id, 64 MiB, 1 pass, 1 lane)");
        let ring = Envelope::with_key_ring(KeyRing::from(key()).and(words.keys).and(key()));
        assert_eq!(ring.describe(), "AES-256-GCM, key, key ring of 3");
    }
}
