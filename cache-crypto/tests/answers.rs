//! The answers of `unprotect`, row by row of the table on `Protector`, through the public API.

use cache_core::{Context, Error, ErrorKind, Part, PartitionKey, Protector, UnixMillis, UnixSeconds};
use cache_crypto::{Argon2Params, Envelope, Key, KeyRing, Passphrase};
use proptest::prelude::*;

const SHARED: PartitionKey = PartitionKey::Shared;
const TOKENS: &[u8] = br#"{"RefreshToken":{"key":{"secret":"refresh"}}}"#;

fn place() -> Context<'static> {
    Context::document("file", &SHARED)
}

fn key(byte: u8) -> Key {
    Key::from_bytes(&[byte; Key::LEN])
}

fn passphrase(words: &str) -> Passphrase {
    let params = Argon2Params::new(16, 1, 1).expect("in bounds");
    Passphrase::new(words).expect("words").with_params(params)
}

/// One of each kind; calls of this function give protectors that open each other's envelopes.
fn protectors() -> [Envelope; 4] {
    [
        Envelope::with_key(key(1)),
        Envelope::with_passphrase(passphrase("words")),
        Envelope::with_key_ring(KeyRing::from(key(1)).and(key(2))),
        Envelope::with_key_ring(KeyRing::from(passphrase("words")).and(key(2))),
    ]
}

fn kind(result: Result<cache_core::Blob, Error>) -> ErrorKind {
    result.expect_err("must not open").kind()
}

#[test]
fn what_is_protected_opens_whatever_its_length() {
    for (writer, reader) in protectors().iter().zip(protectors()) {
        for length in [0, 1, 15, 16, 17, 4096, 1 << 20] {
            let plaintext: Vec<u8> = (0..length).map(|n: u32| n.to_le_bytes()[n as usize % 3]).collect();
            let protected = writer.protect(&plaintext, &place()).expect("protected");
            let overhead = protected.len() - plaintext.len();
            assert!(overhead == 92 || overhead == 120, "{overhead}");
            assert_eq!(reader.unprotect(&protected, &place()).expect("opened").expose(), plaintext);
        }
    }
}

#[test]
fn two_calls_give_different_bytes() {
    for protector in protectors() {
        let [one, two] = [(); 2].map(|()| protector.protect(TOKENS, &place()).expect("protected"));
        // Blob salt, key check, checksum, ciphertext and tag differ; so two envelopes share no long run of bytes there.
        let start = one.len() - TOKENS.len() - 16 - 56;
        let same = one[start..].iter().zip(&two[start..]).filter(|(one, two)| one == two).count();
        assert!(same < 20, "{same} equal bytes");
    }
}

#[test]
fn a_damaged_byte_at_every_offset_is_corrupt() {
    for protector in protectors() {
        let protected = protector.protect(TOKENS, &place()).expect("protected");
        for at in 0..protected.len() {
            for change in [1, 2, 4, 8, 16, 32, 64, 128, 255] {
                let mut damaged = protected.clone();
                damaged[at] ^= change;
                let kind = kind(protector.unprotect(&damaged, &place()));
                assert_eq!(kind, ErrorKind::Corrupt, "{protector:?}: {change:#x} at {at}");
            }
        }
    }
}

#[test]
fn every_truncation_is_corrupt() {
    for protector in protectors() {
        let protected = protector.protect(TOKENS, &place()).expect("protected");
        for end in 0..protected.len() {
            let kind = kind(protector.unprotect(&protected[..end], &place()));
            assert_eq!(kind, ErrorKind::Corrupt, "{protector:?}: cut at {end}");
        }
        let longer = [&protected[..], &[0]].concat();
        assert_eq!(kind(protector.unprotect(&longer, &place())), ErrorKind::Corrupt);
    }
}

#[test]
fn damage_is_found_before_a_wrong_key_is_blamed() {
    let mut protected = Envelope::with_key(key(1)).protect(TOKENS, &place()).expect("protected");
    protected[10] ^= 1; // the key id
    assert_eq!(kind(Envelope::with_key(key(2)).unprotect(&protected, &place())), ErrorKind::Corrupt);
}

#[test]
fn a_wrong_key_is_undecryptable() {
    for writer in protectors() {
        let protected = writer.protect(TOKENS, &place()).expect("protected");
        for reader in [Envelope::with_key(key(9)), Envelope::with_passphrase(passphrase("Words"))] {
            assert_eq!(kind(reader.unprotect(&protected, &place())), ErrorKind::Undecryptable);
            let error = reader.prepare(Some(&protected)).expect_err("must not prepare");
            assert_eq!(error.kind(), ErrorKind::Undecryptable);
        }
    }
}

#[test]
fn a_key_that_the_ring_lacks_is_unavailable() {
    let ring = Envelope::with_key_ring(KeyRing::from(key(8)).and(key(9)).and(passphrase("Words")));
    for writer in protectors() {
        let protected = writer.protect(TOKENS, &place()).expect("protected");
        assert_eq!(kind(ring.unprotect(&protected, &place())), ErrorKind::KeyUnavailable);
        let error = ring.prepare(Some(&protected)).expect_err("must not prepare");
        assert_eq!(error.kind(), ErrorKind::KeyUnavailable);
    }
}

#[test]
fn another_place_is_corrupt() {
    let (user, other) = (PartitionKey::user("uid.utid"), PartitionKey::user("uid.utid2"));
    let custom = PartitionKey::custom("uid.utid");
    let entry = |id, written_at, expires_on, account| Part::Entry {
        id,
        written_at: Some(UnixMillis(written_at)),
        expires_on,
        account,
    };
    let expiry = Some(UnixSeconds(1));
    let places = [
        Context::document("file", &SHARED),
        Context::document("redis", &SHARED),
        Context::document("file", &user),
        Context::document("file", &other),
        Context::document("file", &custom),
        Context::name("file"),
        Context::of("file", &user, Part::Name),
        Context::of("file", &user, Part::Journal),
        Context::of("file", &user, entry(b"id", 1, expiry, b"account")),
        Context::of("file", &other, entry(b"id", 1, expiry, b"account")),
        Context::of("file", &user, entry(b"id2", 1, expiry, b"account")),
        Context::of("file", &user, entry(b"id", 2, expiry, b"account")),
        Context::of("file", &user, entry(b"id", 1, Some(UnixSeconds(2)), b"account")),
        Context::of("file", &user, entry(b"id", 1, None, b"account")),
        Context::of("file", &user, entry(b"id", 1, expiry, b"account2")),
        Context::of("file", &user, entry(b"idaccount", 1, expiry, b"")),
    ];
    let protector = Envelope::with_key(key(1));
    for (n, written) in places.iter().enumerate() {
        let protected = protector.protect(TOKENS, written).expect("protected");
        for (m, read) in places.iter().enumerate() {
            let opened = protector.unprotect(&protected, read);
            if n == m {
                assert_eq!(opened.expect("opened").expose(), TOKENS);
            } else {
                assert_eq!(kind(opened), ErrorKind::Corrupt, "written at place {n}, read at place {m}");
            }
        }
    }
}

#[test]
fn plaintext_and_foreign_formats_are_unsupported() {
    for protector in protectors() {
        for bytes in [
            TOKENS,
            b"{}",
            b"{",
            b" \r\n{\"AccessToken\":{}}",
            b"\xEF\xBB\xBF{}",
            b"\0",
            b"eyJhbGciOiJkaXIifQ..a.b.c",
            b"\x01\0\0\0\xd0\x8c\x9d\xdf\x01\x15\xd1\x11",
            &[0; 4096],
            &[0xFF; 4096],
        ] {
            assert_eq!(kind(protector.unprotect(bytes, &place())), ErrorKind::Unsupported);
        }
    }
}

#[test]
fn plaintext_is_named_as_such() {
    let error = Envelope::with_key(key(1)).unprotect(TOKENS, &place()).expect_err("plaintext");
    assert!(error.message().contains("plaintext JSON"), "{error}");
}

#[test]
fn bytes_that_name_no_key_do_not_stop_prepare() {
    for protector in protectors() {
        for bytes in [b"".as_slice(), b"\x89TOKENC\n\x01", TOKENS, &[0xFF; 200]] {
            protector.prepare(Some(bytes)).expect("ready to protect");
        }
    }
}

proptest! {
    #[test]
    fn random_bytes_have_an_answer(bytes: Vec<u8>) {
        for protector in protectors() {
            let kind = kind(protector.unprotect(&bytes, &place()));
            prop_assert!(matches!(kind, ErrorKind::Corrupt | ErrorKind::Unsupported));
        }
    }

    #[test]
    fn a_replaced_stretch_is_corrupt(at: prop::sample::Index, stretch in prop::collection::vec(any::<u8>(), 1..40)) {
        let protector = Envelope::with_key(key(1));
        let protected = protector.protect(TOKENS, &place()).expect("protected");
        // Behind magic and version: a stretch over both can read as another format, whose answer is `Unsupported`.
        let at = 9 + at.index(protected.len() - 9);
        let mut damaged = protected.clone();
        for (byte, new) in damaged[at..].iter_mut().zip(stretch) {
            *byte = new;
        }
        prop_assume!(damaged != protected);
        prop_assert_eq!(kind(protector.unprotect(&damaged, &place())), ErrorKind::Corrupt);
    }
}
