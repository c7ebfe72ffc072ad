//! The associated data of an envelope: its header, and the place that it belongs to (`docs/envelope.md`, section 3).

use cache_core::{Context, Error, ErrorKind, Part, Result, SecretBuffer};
use zeroize::Zeroizing;

const STORE: u8 = 1;
const PARTITION: u8 = 2;
const PART: u8 = 3;
const ENTRY_ID: u8 = 4;
const WRITTEN_AT: u8 = 5;
const EXPIRES_ON: u8 = 6;
const ACCOUNT: u8 = 7;

const DOCUMENT: u8 = 1;
const NAME: u8 = 2;
const ENTRY: u8 = 3;
const JOURNAL: u8 = 4;
const INDEX_KEY: u8 = 5;

/// Header and context, so that two places never give the same bytes: the fields have a fixed order, and each is
/// preceded by its tag and its length. A partition's key can be a capability, so the bytes are wiped.
pub(crate) fn associated_data(header: &[u8], context: &Context<'_>) -> Result<SecretBuffer> {
    let mut bytes = SecretBuffer::with_capacity(512);
    bytes.push(header);
    let mut field = |tag: u8, content: &[u8]| {
        bytes.push(&[tag]);
        bytes.push(&(content.len() as u64).to_le_bytes());
        bytes.push(content);
    };
    field(STORE, context.store.as_bytes());
    field(PARTITION, &Zeroizing::new(context.partition.to_bytes()));
    match context.part {
        Part::Document => field(PART, &[DOCUMENT]),
        Part::Name => field(PART, &[NAME]),
        Part::Journal => field(PART, &[JOURNAL]),
        Part::IndexKey => field(PART, &[INDEX_KEY]),
        Part::Entry { id, written_at, expires_on, account } => {
            let number = |number: Option<i64>| number.map(i64::to_le_bytes);
            field(PART, &[ENTRY]);
            field(ENTRY_ID, id);
            field(WRITTEN_AT, number(written_at.map(|time| time.0)).as_ref().map_or(&[], <[u8; 8]>::as_slice));
            field(EXPIRES_ON, number(expires_on.map(|time| time.0)).as_ref().map_or(&[], <[u8; 8]>::as_slice));
            field(ACCOUNT, account);
        }
        _ => {
            let message = "this part of a partition is newer than the envelope; update cache-crypto with cache-core";
            return Err(Error::new(ErrorKind::Internal, message));
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use cache_core::{PartitionKey, UnixMillis, UnixSeconds};
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone, PartialEq)]
    struct Place {
        store: String,
        partition: PartitionKey,
        part: OwnedPart,
    }

    #[derive(Debug, Clone, PartialEq)]
    enum OwnedPart {
        Document,
        Name,
        Journal,
        IndexKey,
        Entry { id: Vec<u8>, written_at: Option<i64>, expires_on: Option<i64>, account: Vec<u8> },
    }

    fn places() -> impl Strategy<Value = Place> {
        // Few letters and short texts, so that boundaries between fields get every chance to be mistaken.
        let text = "[a\0\u{1}]{0,3}";
        let bytes = proptest::collection::vec(0u8..=8, 0..4);
        let time = proptest::option::of(0i64..3);
        let partition = (text, proptest::option::of(text), any::<bool>()).prop_map(|(id, tenant, user)| {
            if user { PartitionKey::user(&id) } else { PartitionKey::app(&id, tenant.as_deref()) }
        });
        let entry = (bytes.clone(), time.clone(), time, bytes)
            .prop_map(|(id, written_at, expires_on, account)| OwnedPart::Entry { id, written_at, expires_on, account });
        let part = prop_oneof![
            Just(OwnedPart::Document),
            Just(OwnedPart::Name),
            Just(OwnedPart::Journal),
            Just(OwnedPart::IndexKey),
            entry
        ];
        (text, partition, part).prop_map(|(store, partition, part)| Place { store, partition, part })
    }

    fn bytes(place: &Place) -> Vec<u8> {
        let part = match &place.part {
            OwnedPart::Document => Part::Document,
            OwnedPart::Name => Part::Name,
            OwnedPart::Journal => Part::Journal,
            OwnedPart::IndexKey => Part::IndexKey,
            OwnedPart::Entry { id, written_at, expires_on, account } => Part::Entry {
                id,
                written_at: written_at.map(UnixMillis),
                expires_on: expires_on.map(UnixSeconds),
                account,
            },
        };
        let context = Context::of(&place.store, &place.partition, part);
        associated_data(b"header", &context).expect("a known part").expose().to_vec()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn two_places_differ(one in places(), other in places()) {
            prop_assert_eq!(bytes(&one) == bytes(&other), one == other);
        }
    }

    #[test]
    fn the_document_says_so() {
        let key = PartitionKey::Shared;
        let entry = Part::Entry { id: b"id", written_at: Some(UnixMillis(-1)), expires_on: None, account: b"" };
        let bytes = associated_data(b"H", &Context::of("file", &key, entry)).expect("a known part");
        let expected = [
            b"H".as_slice(),
            b"\x01\x04\0\0\0\0\0\0\0file",
            b"\x02\x07\0\0\0\0\0\0\0shared\0",
            b"\x03\x01\0\0\0\0\0\0\0\x03",
            b"\x04\x02\0\0\0\0\0\0\0id",
            b"\x05\x08\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x06\0\0\0\0\0\0\0\0",
            b"\x07\0\0\0\0\0\0\0\0",
        ];
        assert_eq!(bytes.expose(), expected.concat());
    }
}
