//! One entry as the value of a row: its id and account beside the entity, so that nothing else need show them.

use cache_core::schema::section;
use cache_core::{AccountRef, Blob, Entry, EntryId, SecretBuffer, UnixMillis, UnixSeconds};

/// The entry without its times, which stand beside it: section, key, account and entity, each text preceded by its length.
pub(super) fn encode(entry: &Entry) -> SecretBuffer {
    let mut bytes = SecretBuffer::with_capacity(entry.json.len() + entry.id.key().len() + 256);
    let mut text = |text: &str| {
        bytes.push(&(text.len() as u64).to_le_bytes());
        bytes.push(text.as_bytes());
    };
    text(entry.id.section());
    text(entry.id.key());
    match &entry.account {
        Some(AccountRef { home_account_id, environment }) => {
            text("account");
            text(home_account_id);
            text(environment);
        }
        None => text(""),
    }
    bytes.push(entry.json.expose());
    bytes
}

/// The entry that [`encode`] was given, with these times; one that was asked for takes the id that it was `asked` by, which
/// costs nothing. `None`: these bytes are no such entry.
pub(super) fn decode(
    bytes: &Blob,
    written_at: Option<UnixMillis>,
    expires_on: Option<UnixSeconds>,
    asked: Option<&EntryId>,
) -> Option<Entry> {
    let mut at = 0;
    let mut part = || -> Option<&[u8]> {
        let (length, rest) = bytes.expose().get(at..)?.split_first_chunk()?;
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        let part = rest.get(..length)?;
        at += 8 + length;
        Some(part)
    };
    let text = |part| std::str::from_utf8(part).ok();
    let (section, key) = (part()?, part()?);
    let id = match asked {
        Some(asked) if asked.section().as_bytes() == section && asked.key().as_bytes() == key => asked.clone(),
        _ => EntryId::new(text(section)?, text(key)?),
    };
    let account = match part()? {
        b"" => None,
        b"account" => Some(AccountRef { home_account_id: text(part()?)?.into(), environment: text(part()?)?.into() }),
        _ => return None,
    };
    Some(Entry { id, account, written_at, expires_on, json: bytes.slice(at..bytes.len()) })
}

/// The numbers that stand for sections in stores.
const KINDS: [(i64, &str); 5] = [
    (1, section::ACCESS_TOKEN),
    (2, section::REFRESH_TOKEN),
    (3, section::ID_TOKEN),
    (4, section::ACCOUNT),
    (5, section::APP_METADATA),
];

/// The number that stands for a section; 0 for every section that is not known.
pub fn kind(section: &str) -> i64 {
    KINDS.iter().find(|(_, known)| *known == section).map_or(0, |(kind, _)| *kind)
}

/// The section of this number; `None`: one that is not known.
pub fn section_of(kind: i64) -> Option<&'static str> {
    KINDS.iter().find(|(known, _)| *known == kind).map(|(_, section)| *section)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(account: Option<AccountRef>) -> Entry {
        Entry {
            id: EntryId::new("RefreshToken", "key \u{2603}"),
            account,
            written_at: Some(UnixMillis(-1)),
            expires_on: None,
            json: Blob::copy_of(br#"{"secret":"s"}"#),
        }
    }

    #[test]
    fn an_entry_comes_back() {
        let account = AccountRef { home_account_id: "uid.utid".into(), environment: "".into() };
        for entry in [entry(None), entry(Some(account))] {
            let bytes = encode(&entry).into_blob();
            let other = EntryId::new("RefreshToken", "other");
            for asked in [None, Some(&entry.id), Some(&other)] {
                assert_eq!(decode(&bytes, entry.written_at, entry.expires_on, asked).as_ref(), Some(&entry));
            }
        }
    }

    #[test]
    fn what_is_cut_off_is_no_entry() {
        let bytes = encode(&entry(None)).into_blob();
        let head = bytes.len() - 14;
        for length in 0..head {
            assert_eq!(decode(&bytes.slice(0..length), None, None, None), None, "{length}");
        }
    }

    #[test]
    fn every_section_of_the_schema_has_a_number() {
        for name in section::ALL {
            assert_eq!(section_of(kind(name)), Some(name));
        }
        assert_eq!((kind("Other"), section_of(0)), (0, None));
    }
}
