//! What a field of a partition holds of an entry: what the scripts merge by, then the sealed value.
//!
//! | bytes | |
//! |---|---|
//! | 0 | the [kind](cache_crypto::rows::kind) |
//! | 1 | bit 0: it is an account's; bit 1: it has a time; bit 2: it expires |
//! | 2..10, 10..18 | when it was written, in ms, and when it may be dropped, in s: big-endian, the highest bit flipped |
//! | 18..34 | the account's tag |
//! | 34..50 | the version |
//! | 50..52 | how many terms it is looked up by, big-endian |
//! | then | their tags, 16 bytes each |
//! | the rest | the value |

use cache_core::{Blob, UnixMillis, UnixSeconds};
use cache_crypto::rows::{SealedEntry, Tag};

const ACCOUNT: u8 = 1;
const WRITTEN: u8 = 2;
const EXPIRES: u8 = 4;
/// Without the terms and the value.
const HEAD: usize = 52;

/// What is stored of an entry of this kind with these terms. `None`: it has more terms than can be counted.
pub(crate) fn encode(kind: i64, sealed: &SealedEntry, terms: &[Tag]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(HEAD + 16 * terms.len() + sealed.value.len());
    let flag = |is_there: bool, flag: u8| if is_there { flag } else { 0 };
    bytes.push(u8::try_from(kind).unwrap_or(0));
    bytes.push(
        flag(sealed.account.is_some(), ACCOUNT)
            | flag(sealed.written_at.is_some(), WRITTEN)
            | flag(sealed.expires_on.is_some(), EXPIRES),
    );
    bytes.extend(ordered(sealed.written_at.map_or(0, |at| at.0)));
    bytes.extend(ordered(sealed.expires_on.map_or(0, |at| at.0)));
    bytes.extend(sealed.account.unwrap_or_default());
    bytes.extend(sealed.version);
    bytes.extend(u16::try_from(terms.len()).ok()?.to_be_bytes());
    bytes.extend(terms.as_flattened());
    bytes.extend(sealed.value.expose());
    Some(bytes)
}

/// The kind, and what is sealed, whose value shares the memory. `None`: these bytes are no entry.
pub(crate) fn decode(stored: &Blob) -> Option<(i64, SealedEntry)> {
    let (head, _) = stored.expose().split_first_chunk::<HEAD>()?;
    let field = |at: usize| head.get(at..at + 8)?.try_into().ok().map(number);
    let tag = |at: usize| head.get(at..at + 16)?.try_into().ok();
    let value = HEAD + 16 * usize::from(u16::from_be_bytes([head[50], head[51]]));
    if value > stored.len() {
        return None;
    }
    let has = |flag: u8| head[1] & flag != 0;
    let sealed = SealedEntry {
        account: if has(ACCOUNT) { Some(tag(18)?) } else { None },
        written_at: if has(WRITTEN) { Some(UnixMillis(field(2)?)) } else { None },
        expires_on: if has(EXPIRES) { Some(UnixSeconds(field(10)?)) } else { None },
        version: tag(34)?,
        value: stored.slice(value..stored.len()),
    };
    Some((i64::from(head[0]), sealed))
}

/// The same entry with another value. `None`: these bytes are no entry.
pub(crate) fn with_value(stored: &Blob, value: &[u8]) -> Option<Vec<u8>> {
    let (_, sealed) = decode(stored)?;
    let before = stored.len() - sealed.value.len();
    Some([&stored.expose()[..before], value].concat())
}

/// A number as bytes that are in the numbers' order.
fn ordered(number: i64) -> [u8; 8] {
    (number ^ i64::MIN).to_be_bytes()
}

fn number(bytes: [u8; 8]) -> i64 {
    i64::from_be_bytes(bytes) ^ i64::MIN
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(written_at: Option<i64>, expires_on: Option<i64>, account: Option<Tag>) -> SealedEntry {
        SealedEntry {
            account,
            written_at: written_at.map(UnixMillis),
            expires_on: expires_on.map(UnixSeconds),
            version: [3; 16],
            value: Blob::copy_of(b"value"),
        }
    }

    #[test]
    fn an_entry_comes_back() {
        for (written_at, expires_on) in [(None, None), (Some(i64::MIN), Some(i64::MAX)), (Some(-1), Some(0))] {
            for (account, terms) in [(None, vec![]), (Some([7; 16]), vec![[1; 16], [2; 16]])] {
                let bytes = encode(2, &sealed(written_at, expires_on, account), &terms).expect("two terms").into();
                let (kind, back) = decode(&bytes).expect("it is an entry");
                assert_eq!((kind, back.account, back.version), (2, account, [3; 16]));
                assert_eq!((back.written_at.map(|at| at.0), back.expires_on.map(|at| at.0)), (written_at, expires_on));
                assert_eq!(back.value.expose(), b"value");
                let other = SealedEntry { value: Blob::copy_of(b"another"), ..back };
                assert_eq!(with_value(&bytes, b"another"), encode(kind, &other, &terms));
            }
        }
    }

    #[test]
    fn what_is_cut_off_is_no_entry() {
        let bytes = Blob::new(encode(1, &sealed(None, None, None), &[[1; 16]]).expect("one term"));
        for length in 0..bytes.len() - b"value".len() {
            assert!(decode(&bytes.slice(0..length)).is_none(), "{length}");
        }
    }

    #[test]
    fn bytes_are_in_the_order_of_times() {
        let times = [i64::MIN, -1, 0, 1, 1_800_000_000_000, i64::MAX];
        assert!(times.map(ordered).is_sorted());
        assert_eq!(times.map(ordered).map(number), times);
    }
}
