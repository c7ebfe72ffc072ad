//! Every vector of `docs/envelope.md`, opened by the crate and by a reader that was written from that page.

#[path = "vectors/case.rs"]
mod case;

use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _};
use cache_core::{Context, Part, Protector};
use cache_crypto::{Envelope, Key, KeyId, Passphrase};
use case::Case;
use hkdf::Hkdf;
use sha2::{Digest as _, Sha256};

macro_rules! vectors {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            check(include_str!(concat!("vectors/", stringify!($name), ".json")));
        })*

        #[test]
        fn every_file_is_checked() {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");
            let mut files: Vec<String> = std::fs::read_dir(folder)
                .expect("the folder of vectors")
                .map(|file| file.expect("a file").file_name().into_string().expect("a name in UTF-8"))
                .filter_map(|file| file.strip_suffix(".json").map(str::to_owned))
                .collect();
            files.sort();
            let mut checked = vec![$(stringify!($name)),*];
            checked.sort();
            assert_eq!(files, checked);
        }
    };
}

vectors! {
    key_document key_document_of_user key_document_of_app key_empty key_name key_journal key_index_key key_entry key_entry_bare
    key_entry_before_1970 key_named passphrase_document passphrase_lanes
    wrong_key wrong_passphrase passphrase_for_key key_for_passphrase wrong_key_check
    other_partition other_store other_part damaged_magic damaged_version damaged_checksum damaged_ciphertext
    damaged_tag one_byte_more cut_in_tag empty
    newer_version unknown_suite unknown_source unknown_source_empty longest_source short_source excess_memory most_memory excess_passes
    excess_lanes little_memory no_passes no_lanes plaintext
}

fn check(json: &str) {
    let case = Case::parse(json);
    let opened = protector(&case).unprotect(&case.envelope, &case.context());
    let read = read_by_the_page(&case);
    match (opened, case.opens.as_str()) {
        (Ok(plaintext), "ok") => {
            assert_eq!(Some(plaintext.expose()), case.plaintext.as_deref());
            assert_eq!(read, case.plaintext);
        }
        (Ok(_), kind) => panic!("opened instead of {kind}"),
        (Err(error), kind) => {
            assert_eq!(format!("{:?}", error.kind()), kind, "{error}");
            assert_eq!(read, None);
        }
    }
}

fn protector(case: &Case) -> Envelope {
    match (&case.key, &case.passphrase) {
        (Some(key), _) => {
            let key = Key::from_bytes(key[..].try_into().expect("32 bytes"));
            match &case.key_id {
                Some(id) => Envelope::with_key(key.with_id(KeyId::new(id[..].try_into().expect("8 bytes")))),
                None => Envelope::with_key(key),
            }
        }
        (None, Some(words)) => Envelope::with_passphrase(Passphrase::new(words.as_str()).expect("words")),
        (None, None) => panic!("a vector has a key or a passphrase"),
    }
}

/// Section 1 to 4 of the page and nothing of the crate: the plaintext, or `None` for whatever reason.
fn read_by_the_page(case: &Case) -> Option<Vec<u8>> {
    let envelope = &case.envelope[..];
    if envelope.get(..10)? != b"\x89TOKENC\n\x01\x01" {
        return None;
    }
    let key_id = envelope.get(10..18)?;
    let length = usize::from(*envelope.get(19)?);
    let header = envelope.get(..76 + length)?;
    if Sha256::digest(&header[..68 + length])[..8] != header[68 + length..] {
        return None;
    }
    let master = match (envelope[18], length, &case.key, &case.passphrase) {
        (0, 0, Some(key), _) => key.clone(),
        (1, 28, _, Some(words)) => {
            let number = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("4 bytes"));
            let (memory, passes, lanes) = (number(20), number(24), number(28));
            if memory > 1_048_576 || passes > 16 || lanes > 16 {
                return None;
            }
            let params = argon2::Params::new(memory, passes, lanes, Some(32)).ok()?;
            let mut master = vec![0; 32];
            argon2::Argon2::from(params).hash_password_into(words.as_bytes(), &header[32..48], &mut master).ok()?;
            master
        }
        _ => return None,
    };
    let derive = |salt: Option<&[u8]>, label: &str, length: usize| {
        let mut output = vec![0; length];
        Hkdf::<Sha256>::new(salt, &master).expand(label.as_bytes(), &mut output).expect("a short output");
        output
    };
    let id = case.key_id.clone().unwrap_or_else(|| derive(None, "tokencache/v1 key id", 8));
    let salt = Some(&header[20 + length..52 + length]);
    if id != key_id || derive(salt, "tokencache/v1 key check", 16) != header[52 + length..68 + length] {
        return None;
    }
    let key = derive(salt, "tokencache/v1 aes-256-gcm key", 32);
    let nonce = derive(salt, "tokencache/v1 aes-256-gcm nonce", 12);
    let aad = [header, &context(&case.context())].concat();
    let payload = Payload { msg: &envelope[header.len()..], aad: &aad };
    Aes256Gcm::new_from_slice(&key).ok()?.decrypt(nonce[..].try_into().expect("12 bytes"), payload).ok()
}

fn context(context: &Context<'_>) -> Vec<u8> {
    let partition = context.partition.to_bytes();
    let [document, name, entry, journal, index_key] = [vec![1], vec![2], vec![3], vec![4], vec![5]];
    let fields = match context.part {
        Part::Document => vec![context.store.as_bytes().to_vec(), partition, document],
        Part::Name => vec![context.store.as_bytes().to_vec(), partition, name],
        Part::Journal => vec![context.store.as_bytes().to_vec(), partition, journal],
        Part::IndexKey => vec![context.store.as_bytes().to_vec(), partition, index_key],
        Part::Entry { id, written_at, expires_on, account } => {
            let time = |time: Option<i64>| time.map_or(vec![], |time| time.to_le_bytes().to_vec());
            let (written_at, expires_on) = (time(written_at.map(|at| at.0)), time(expires_on.map(|at| at.0)));
            let store = context.store.as_bytes().to_vec();
            vec![store, partition, entry, id.to_vec(), written_at, expires_on, account.to_vec()]
        }
        _ => panic!("a part that the page does not know"),
    };
    let mut bytes = Vec::new();
    for (tag, content) in (1u8..).zip(fields) {
        bytes.push(tag);
        bytes.extend(u64::try_from(content.len()).expect("a length").to_le_bytes());
        bytes.extend(content);
    }
    bytes
}
