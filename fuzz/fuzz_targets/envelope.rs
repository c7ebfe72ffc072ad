//! Envelopes that were damaged, forged, mixed or moved: opening one never succeeds and never panics, and an envelope that
//! was left alone opens.

#![no_main]

use arbitrary::Arbitrary;
use cache_core::{Context, ErrorKind, Part, PartitionKey, Protector, UnixMillis, UnixSeconds};
use cache_crypto::{Argon2Params, Envelope, Key, KeyRing, Passphrase};
use libfuzzer_sys::fuzz_target;
use sha2::{Digest as _, Sha256};

/// Where the fields of an envelope stand; see `docs/envelope.md`.
const MAGIC: &[u8] = b"\x89TOKENC\n";
const VERSION_AT: usize = 8;
const SOURCE_TAG_AT: usize = 18;
const SOURCE_LENGTH_AT: usize = 19;
const SOURCE_AT: usize = 20;
const HEADER_AFTER_SOURCE: usize = 56;
const CHECKSUM: usize = 8;

/// The most memory in KiB that a forged header may make the passphrase cost here.
const MEMORY_KIB: u32 = 64;

#[derive(Arbitrary, Debug)]
struct Run<'a> {
    plaintext: &'a [u8],
    other_plaintext: &'a [u8],
    keys: Keys,
    place: Place<'a>,
    other_place: Place<'a>,
    attack: Attack<'a>,
    /// Makes the checksum fit whatever became of the header, by which most damage is told at once.
    checksum_fits: bool,
}

#[derive(Arbitrary, Debug, Clone, Copy)]
enum Keys {
    One,
    Ring,
    Passphrase,
}

#[derive(Arbitrary, Debug, PartialEq)]
struct Place<'a> {
    store: &'a str,
    partition: &'a str,
    part: PartSpec<'a>,
}

#[derive(Arbitrary, Debug, PartialEq)]
enum PartSpec<'a> {
    Document,
    Name,
    Entry { id: &'a [u8], written_at: Option<i64>, expires_on: Option<i64>, account: &'a [u8] },
    Journal,
    IndexKey,
}

#[derive(Arbitrary, Debug)]
enum Attack<'a> {
    Nothing,
    Change(Vec<(u16, u8)>),
    CutAt(u16),
    Append(&'a [u8]),
    Insert {
        at: u16,
        bytes: &'a [u8],
    },
    /// The beginning of one envelope, the end of another of the same place.
    Splice {
        at: u16,
        other_at: u16,
    },
    Move,
    OtherKey,
    Bytes(&'a [u8]),
}

fuzz_target!(|run: Run<'_>| {
    let [own, other] = [protector(run.keys, 1), protector(run.keys, 2)];
    let partition = run.place.partition();
    let place = run.place.context(&partition);
    own.prepare(None).expect("the key is at hand");
    let sealed = own.protect(run.plaintext, &place).expect("protected");
    assert!(own.is_prepared(&sealed));
    assert_eq!(own.unprotect(&sealed, &place).expect("own envelope").expose(), run.plaintext);

    let mut forged = sealed.clone();
    match &run.attack {
        Attack::Nothing => {}
        Attack::Change(changes) => {
            for (at, bits) in changes {
                let at = usize::from(*at) % forged.len();
                forged[at] ^= bits;
            }
        }
        Attack::CutAt(at) => forged.truncate(usize::from(*at) % (sealed.len() + 1)),
        Attack::Append(bytes) => forged.extend_from_slice(bytes),
        Attack::Insert { at, bytes } => {
            let at = usize::from(*at) % (sealed.len() + 1);
            forged.splice(at..at, bytes.iter().copied());
        }
        Attack::Splice { at, other_at } => {
            let next = own.protect(run.other_plaintext, &place).expect("protected");
            let (at, other_at) = (usize::from(*at) % (sealed.len() + 1), usize::from(*other_at) % (next.len() + 1));
            forged = [&sealed[..at], &next[other_at..]].concat();
            if forged == next {
                return;
            }
        }
        Attack::Move => {
            let partition = run.other_place.partition();
            let elsewhere = run.other_place.context(&partition);
            if run.place != run.other_place {
                let refused = own.unprotect(&sealed, &elsewhere).expect_err("another place");
                assert_eq!(refused.kind(), ErrorKind::Corrupt);
            }
        }
        Attack::OtherKey => {
            let _ = other.prepare(Some(&sealed));
            let refused = other.unprotect(&sealed, &place).expect_err("another key");
            let expected = match run.keys {
                Keys::One | Keys::Passphrase => ErrorKind::Undecryptable,
                Keys::Ring => ErrorKind::KeyUnavailable,
            };
            assert_eq!(refused.kind(), expected);
        }
        Attack::Bytes(bytes) => forged = bytes.to_vec(),
    }
    if run.checksum_fits {
        make_checksum_fit(&mut forged);
    }
    if forged == sealed || costs_too_much(&forged) {
        return;
    }
    for protector in [&own, &other] {
        let _ = protector.is_prepared(&forged);
        let _ = protector.prepare(Some(&forged));
        let refused = protector.unprotect(&forged, &place).expect_err("nobody with the key has made this");
        let kinds = [ErrorKind::Corrupt, ErrorKind::Undecryptable, ErrorKind::KeyUnavailable, ErrorKind::Unsupported];
        assert!(kinds.contains(&refused.kind()), "{refused}");
    }
    // What was refused has spoilt nothing.
    assert_eq!(own.unprotect(&sealed, &place).expect("own envelope").expose(), run.plaintext);
});

fn protector(keys: Keys, number: u8) -> Envelope {
    let key = Key::from_bytes(&[number; Key::LEN]);
    match keys {
        Keys::One => Envelope::with_key(key),
        Keys::Ring => Envelope::with_key_ring(KeyRing::from(key).and(Key::from_bytes(&[number + 100; Key::LEN]))),
        Keys::Passphrase => {
            let params = Argon2Params::new(8, 1, 1).expect("the least");
            let words = Passphrase::new(format!("words {number}")).expect("not empty");
            Envelope::with_passphrase(words.with_params(params))
        }
    }
}

impl Place<'_> {
    fn partition(&self) -> PartitionKey {
        PartitionKey::custom(self.partition)
    }

    fn context<'c>(&'c self, partition: &'c PartitionKey) -> Context<'c> {
        let part = match self.part {
            PartSpec::Document => Part::Document,
            PartSpec::Name => Part::Name,
            PartSpec::Journal => Part::Journal,
            PartSpec::IndexKey => Part::IndexKey,
            PartSpec::Entry { id, written_at, expires_on, account } => Part::Entry {
                id,
                written_at: written_at.map(UnixMillis),
                expires_on: expires_on.map(UnixSeconds),
                account,
            },
        };
        Context::of(self.store, partition, part)
    }
}

/// Repairs what an attacker without the key can: magic, version and checksum.
fn make_checksum_fit(envelope: &mut [u8]) {
    let Some(length) = envelope.get(SOURCE_LENGTH_AT).map(|length| usize::from(*length)) else { return };
    let end = SOURCE_AT + length + HEADER_AFTER_SOURCE;
    if envelope.len() < end {
        return;
    }
    envelope[..MAGIC.len()].copy_from_slice(MAGIC);
    envelope[VERSION_AT] = 1;
    let checksum = Sha256::digest(&envelope[..end - CHECKSUM]);
    envelope[end - CHECKSUM..end].copy_from_slice(&checksum[..CHECKSUM]);
}

/// Whether the header may ask for work that is allowed and slow: up to 1 GiB and 16 passes.
fn costs_too_much(envelope: &[u8]) -> bool {
    const ARGON2ID: u8 = 1;
    if envelope.get(SOURCE_TAG_AT) != Some(&ARGON2ID) {
        return false;
    }
    let memory = envelope.get(SOURCE_AT..SOURCE_AT + 4).and_then(|bytes| bytes.try_into().ok());
    memory.is_some_and(|bytes| u32::from_le_bytes(bytes) > MEMORY_KIB)
}
