//! JSON as text: what stands in its strings, and how deep it is nested.

use memchr::memchr;
use zeroize::Zeroizing;

use crate::secret::Blob;

/// The JSON with U+FFFD for every byte that is not UTF-8; `None` if there is none.
pub(super) fn as_utf8(json: &[u8]) -> Option<Blob> {
    std::str::from_utf8(json).err()?;
    Some(Blob::new(String::from_utf8_lossy(json).into_owned().into_bytes()))
}

/// The JSON with U+FFFD for every half of a surrogate pair; `None` if there is none.
pub(super) fn with_whole_pairs(json: &[u8]) -> Option<Blob> {
    let mut whole: Option<Zeroizing<Vec<u8>>> = None;
    let mut at = 0;
    // Backslashes stand in strings only.
    while let Some(found) = json.get(at..).and_then(|rest| memchr(b'\\', rest)) {
        at += found;
        at += match (surrogate(json, at), surrogate(json, at + ESCAPE)) {
            (None, _) => 2,
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 2 * ESCAPE,
            (Some(_), _) => {
                whole.get_or_insert_with(|| Zeroizing::new(json.to_vec()))[at + 2..at + ESCAPE]
                    .copy_from_slice(b"fffd");
                ESCAPE
            }
        };
    }
    whole.map(|mut whole| Blob::new(std::mem::take(&mut *whole)))
}

/// The length of `\ud800`.
const ESCAPE: usize = 6;

/// The surrogate that is escaped at this place.
fn surrogate(json: &[u8], at: usize) -> Option<u16> {
    let digits = json.get(at..at + ESCAPE)?.strip_prefix(b"\\u")?;
    let unit = u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    (0xd800..=0xdfff).contains(&unit).then_some(unit)
}

/// How many levels of arrays and objects the value has.
pub(super) fn levels(json: &str) -> usize {
    let (mut level, mut deepest, mut in_string, mut escaped) = (0usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                level += 1;
                deepest = deepest.max(level);
            }
            b']' | b'}' if !in_string => level = level.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// The text as a JSON string.
pub(super) fn quoted(text: &str) -> Zeroizing<String> {
    let mut json = Zeroizing::new(Vec::with_capacity(text.len() + text.len() / 8 + 2));
    // Writing a string into memory cannot fail, and what is written is UTF-8.
    let _ = serde_json::to_writer(&mut *json, text);
    Zeroizing::new(String::from_utf8(std::mem::take(&mut *json)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_pairs_are_replaced_and_whole_pairs_stay() {
        for (json, expected) in [
            (r#""a\ud83d\ude00b""#, None),
            (r#""\\ud800""#, None),
            (r#""plain""#, None),
            (r#""\ud800""#, Some(r#""\ufffd""#)),
            (r#""\uDC00\uD83D\uDE00""#, Some(r#""\ufffd\uD83D\uDE00""#)),
            (r#""\ud800\ud83d\ude00""#, Some(r#""\ufffd\ud83d\ude00""#)),
            (r#""\ud800\n\\\udfff""#, Some(r#""\ufffd\n\\\ufffd""#)),
        ] {
            let whole = with_whole_pairs(json.as_bytes());
            assert_eq!(
                whole.as_ref().map(|json| std::str::from_utf8(json.expose()).expect("UTF-8")),
                expected,
                "{json}"
            );
        }
    }

    #[test]
    fn levels_are_counted_outside_of_strings() {
        for (json, expected) in
            [("5", 0), ("[]", 1), (r#"{"a":[1],"b":{}}"#, 2), (r#""[[[""#, 0), (r#"["\"[[["]"#, 1), ("[[[", 3)]
        {
            assert_eq!(levels(json), expected, "{json}");
        }
    }
}
