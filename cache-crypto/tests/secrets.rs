//! Marked keys, passphrases and plaintext are looked for in everything that this crate prints.

use std::fmt::{Debug, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use cache_core::{Blob, Context, Error, PartitionKey, Protector, Result};
use cache_crypto::{Argon2Params, Envelope, Key, KeyId, KeyRing, KeySource, Passphrase};

const KEY: &[u8; 32] = b"planted-key-planted-key-planted-";
const WORDS: &str = "planted words";
const TOKENS: &[u8] = b"planted tokens";
const PARTITION: &str = "planted partition";

/// Everything printed so far.
#[derive(Default)]
struct Printed(String);

impl Printed {
    fn debug(&mut self, value: &impl Debug) {
        write!(self.0, "{value:?}\n{value:#?}\n").expect("a string takes everything");
    }

    fn error<T>(&mut self, result: Result<T>) {
        let error: Error = result.err().expect("must fail");
        self.debug(&error);
        let mut link: Option<&dyn std::error::Error> = Some(&error);
        while let Some(error) = link {
            writeln!(self.0, "{error}\n{error:?}").expect("a string takes everything");
            link = error.source();
        }
    }

    fn check(&self) {
        for secret in [KEY.as_slice(), WORDS.as_bytes(), TOKENS, PARTITION.as_bytes()] {
            for form in forms(secret) {
                assert!(!self.0.contains(&form), "found {form:?} in:\n{}", self.0);
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

/// The spellings of a secret: plain, hexadecimal, base64 at each alignment, lists of bytes, UTF-16 read as bytes.
fn forms(secret: &[u8]) -> Vec<String> {
    let hex = hex(secret);
    let text = String::from_utf8_lossy(secret).into_owned();
    let list = |text: String| text.trim_matches(['[', ']']).to_owned();
    let mut forms = vec![
        hex.to_uppercase(),
        hex,
        text.escape_debug().to_string(),
        list(format!("{secret:?}")),
        list(format!("{secret:x?}")),
        list(format!("{secret:02X?}")),
        text.chars().flat_map(|letter| [letter, '\0']).collect(),
        text,
    ];
    for skipped in 0..3 {
        // Whole groups of three bytes only: what follows the secret would change the last characters.
        let whole = &secret[skipped..][..(secret.len() - skipped) / 3 * 3];
        forms.extend([STANDARD_NO_PAD.encode(whole), URL_SAFE_NO_PAD.encode(whole)]);
    }
    forms
}

#[test]
fn the_check_finds_what_it_looks_for() {
    let secret = TOKENS;
    for printed in [
        format!("{secret:?}"),
        format!("{:?}", String::from_utf8_lossy(secret)),
        STANDARD_NO_PAD.encode([b"ab", secret].concat()),
        format!("{secret:x?}"),
    ] {
        assert!(forms(secret).iter().any(|form| printed.contains(form)), "{printed}");
    }
}

#[derive(Debug)]
struct Service;

impl KeySource for Service {
    fn name(&self) -> &'static str {
        "service"
    }

    fn current(&self) -> Result<Key> {
        Ok(Key::from_bytes(KEY))
    }

    fn find(&self, _: KeyId) -> Result<Option<Key>> {
        Ok(Some(Key::from_bytes(KEY)))
    }
}

#[test]
fn nothing_prints_a_secret() {
    let key = || Key::from_bytes(KEY);
    let passphrase = |words: &str| {
        Passphrase::new(words).expect("words").with_params(Argon2Params::new(16, 1, 1).expect("in bounds"))
    };
    let partition = PartitionKey::user(PARTITION);
    let place = Context::document("file", &partition);
    let envelopes = [
        Envelope::with_key(key()),
        Envelope::with_passphrase(passphrase(WORDS)),
        Envelope::with_key_ring(KeyRing::from(passphrase(WORDS)).and(key()).and(KeyRing::from_source(Service))),
        Envelope::with_source(Service),
    ];
    let others = [Envelope::with_key(Key::generate().expect("random")), Envelope::with_passphrase(passphrase("x"))];

    let mut printed = Printed::default();
    printed.debug(&key());
    printed.debug(&key().id());
    printed.debug(&passphrase(WORDS));
    printed.debug(&KeyRing::from(passphrase(WORDS)).and(key()).and(KeyRing::from_source(Service)));
    for envelope in &envelopes {
        let protected = envelope.protect(TOKENS, &place).expect("protected");
        let opened: Blob = envelope.unprotect(&protected, &place).expect("opened");
        printed.debug(&opened);
        printed.debug(envelope);
        printed.debug(&envelope.describe());
        printed.error(envelope.unprotect(&protected[..protected.len() - 1], &place));
        printed.error(envelope.unprotect(&protected, &Context::name("file")));
        printed.error(envelope.unprotect(TOKENS, &place));
        for other in &others {
            printed.error(other.unprotect(&protected, &place));
            printed.error(other.prepare(Some(&protected)));
        }
    }

    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("secret");
    for content in [KEY.to_vec(), [&hex(KEY), "0"].concat().into_bytes(), [WORDS.as_bytes(), b"\xFF"].concat()] {
        printed.error(Key::parse(&content));
        std::fs::write(&path, &content).expect("written");
        for _ in 0..2 {
            printed.error(Key::from_file(&path));
            // First with the mode that the file was made with, which is refused on Unix, then with the right one.
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt as _;
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("mode set");
            }
        }
        if content.ends_with(b"\xFF") {
            printed.error(Passphrase::from_file(&path));
        }
    }
    printed.error(Key::create_file(&path));
    printed.check();
}
