//! Comparison of JSON by meaning, on the raw text.

use std::borrow::Cow;

use memchr::{memchr, memchr2, memmem};
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

/// Levels that are compared by meaning; below them by text. Entities have two or three.
const MAX_DEPTH: usize = 64;

/// Whether two entities say the same: names in any order, a null value like an absent one, strings by content,
/// numbers by their text. Text that is not JSON is the same only byte for byte.
pub(crate) fn same_entity(a: &[u8], b: &[u8]) -> bool {
    if a == b {
        return true;
    }
    match (serde_json::from_slice(a), serde_json::from_slice(b)) {
        (Ok(a), Ok(b)) => same_value(a, b, 0),
        _ => false,
    }
}

fn same_value(a: &RawValue, b: &RawValue, depth: usize) -> bool {
    let (a, b) = (a.get(), b.get());
    if a == b {
        return true;
    }
    if depth == MAX_DEPTH || a.as_bytes().first() != b.as_bytes().first() {
        return false;
    }
    match a.as_bytes().first() {
        Some(b'"') => match (text(a), text(b)) {
            (Some(a), Some(b)) => a == b,
            _ => false,
        },
        Some(b'{') => match (serde_json::from_str::<Members<'_>>(a), serde_json::from_str::<Members<'_>>(b)) {
            (Ok(a), Ok(b)) => same_members(&a.into_map(), &b.into_map(), depth),
            _ => false,
        },
        Some(b'[') => match (serde_json::from_str::<Vec<&RawValue>>(a), serde_json::from_str::<Vec<&RawValue>>(b)) {
            (Ok(a), Ok(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_value(a, b, depth + 1)),
            _ => false,
        },
        _ => false,
    }
}

type Map<'a> = std::collections::BTreeMap<Cow<'a, str>, &'a RawValue>;

fn same_members(a: &Map<'_>, b: &Map<'_>, depth: usize) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|((key, a), (other, b))| key == other && same_value(a, b, depth + 1))
}

/// The content of a JSON string; borrowed where it has no escapes.
pub(crate) fn text(raw: &str) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    match raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) if !inner.contains('\\') => Some(Cow::Borrowed(inner)),
        _ => serde_json::from_str::<Text<'_>>(raw).ok().map(|text| text.0),
    }
}

/// Whether a text or number in the JSON may hold what is looked for: of JSON that is UTF-8, `false` is sure, and told at
/// the speed of memory.
pub(crate) fn may_hold(json: &[u8], text: &memmem::Finder<'_>) -> bool {
    // With an escape, it may be spelled in other characters.
    text.find(json).is_some() || memchr(b'\\', json).is_some()
}

/// The length of the text that `rest` begins with, up to the closing quote of its string, if it stands there as it is:
/// without escapes, and UTF-8.
pub(crate) fn plain_length(rest: &[u8]) -> Option<usize> {
    let length = memchr2(b'"', b'\\', rest).filter(|end| rest[*end] == b'"')?;
    let text = &rest[..length];
    // Without a way out of the loop the compiler looks at many bytes at a time.
    let (least, all) = text.iter().fold((u8::MAX, 0), |(least, all), byte| (least.min(*byte), all | byte));
    let plain = least >= b' ' && (all < 0x80 || std::str::from_utf8(text).is_ok());
    plain.then_some(length)
}

/// The members of an object in order, repeated names included.
pub(crate) struct Members<'a>(pub(crate) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    /// By name, the last of a repeated name, without null values.
    fn into_map(self) -> Map<'a> {
        let mut map: Map<'a> = self.0.into_iter().collect();
        map.retain(|_, value| value.get() != "null");
        map
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(16);
                while let Some(Name(name)) = map.next_key()? {
                    members.push((name, map.next_value()?));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Collect)
    }
}

/// A member's name, borrowed where it has no escapes (serde's own `Cow` never borrows).
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Take;

        impl<'de> Visitor<'de> for Take {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }

        deserializer.deserialize_str(Take)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_ends_at_its_quote() {
        for (rest, expected) in [
            (&br#"","#[..], Some(0)),
            (br#"abc" , "d""#, Some(3)),
            (br#"ab\"c""#, None),
            (b"ab\nc\"", None),
            (b"no end", None),
            (b"", None),
            ("Jörg\"".as_bytes(), Some(5)),
            (b"J\xffrg\"", None),
        ] {
            assert_eq!(plain_length(rest), expected, "{}", rest.escape_ascii());
        }
        for length in 0..200 {
            let mut text = vec![b'x'; length];
            text.push(b'"');
            assert_eq!(plain_length(&text), Some(length));
            text[length / 2] = 0xc3;
            assert_eq!(plain_length(&text), None, "{length}");
        }
    }

    #[test]
    fn what_may_be_spelled_otherwise_may_hold_it() {
        let text = memmem::Finder::new("alice");
        for (json, expected) in [
            (r#"{"a":"alice"}"#, true),
            (r#"{"a":"\u0061lice"}"#, true),
            (r#"{"a":"bob\n"}"#, true),
            (r#"{"a":"Alice"}"#, false),
            ("", false),
        ] {
            assert_eq!(may_hold(json.as_bytes(), &text), expected, "{json}");
        }
    }

    #[test]
    fn the_same_in_other_words() {
        for (a, b) in [
            (r#"{"a":"x","b":1}"#, r#"{ "b" : 1, "a" : "\u0078" }"#),
            (r#"{"a":null,"b":[1, 2]}"#, r#"{"b":[1,2]}"#),
            (r#"{"a":"old","a":"new"}"#, r#"{"a":"new"}"#),
            (r#"{"a":{"x":null}}"#, r#"{"a":{}}"#),
            ("\u{feff}", "\u{feff}"),
        ] {
            assert!(same_entity(a.as_bytes(), b.as_bytes()), "{a} {b}");
        }
    }

    #[test]
    fn not_the_same() {
        for (a, b) in [
            (r#"{"a":"1"}"#, r#"{"a":1}"#),
            (r#"{"a":12345678901234567890123}"#, r#"{"a":12345678901234567890124}"#),
            (r#"{"a":[1,2]}"#, r#"{"a":[2,1]}"#),
            (r#"{"a":"x"}"#, r#"{"b":"x"}"#),
            ("{", "{ "),
        ] {
            assert!(!same_entity(a.as_bytes(), b.as_bytes()), "{a} {b}");
        }
    }
}
