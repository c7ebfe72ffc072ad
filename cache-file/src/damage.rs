//! Damaged plaintext documents: what is left of them, and where they go.
//!
//! Other libraries write in place and without a lock that all respect, so a plaintext document can be cut short, have
//! the rest of an older one behind its end, or consist of NUL bytes after a power failure. What is complete in it is
//! used. What is not a document at all (another program's file, a protected one) is nobody's to touch.

use std::ffi::OsString;
use std::io;

use cache_core::{Blob, UnifiedDocument};

use crate::layout::{Place, aside, aside_time};
use crate::platform::Dir;
use crate::stamp::FileTime;

/// Damaged documents kept of one cache.
const KEPT: usize = 2;

/// What bytes are as a unified cache document.
#[derive(Debug)]
pub(crate) enum Condition {
    Sound,
    /// Damaged; this is left.
    Damaged(UnifiedDocument),
    /// Not a JSON object at all.
    Foreign,
}

/// Looks at bytes that are not empty.
pub(crate) fn examine(bytes: &Blob) -> Condition {
    // The rule, and quicker to tell than by taking the document apart.
    let is_strict = || serde_json::from_slice::<serde::de::IgnoredAny>(bytes.expose()).is_ok();
    if begins_as_object(bytes) && is_strict() {
        return Condition::Sound;
    }
    if bytes.expose().iter().all(|&byte| byte == 0) {
        return Condition::Damaged(UnifiedDocument::default());
    }
    match UnifiedDocument::parse(bytes) {
        Ok(_) => Condition::Sound,
        Err(_) => UnifiedDocument::salvage(bytes).map_or(Condition::Foreign, Condition::Damaged),
    }
}

/// Whether the first byte that is not white space opens an object.
pub(crate) fn begins_as_object(bytes: &Blob) -> bool {
    let bytes = bytes.expose();
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
}

/// Moves the cache file aside, under the lock, and keeps the two newest of those moved aside. Where there are hard
/// links, the cache file stays under its own name as well until it is replaced, so that no reader misses it.
pub(crate) fn set_aside(dir: &Dir, place: &Place) -> io::Result<OsString> {
    let mut kept: Vec<(i64, OsString)> =
        dir.names()?.into_iter().filter_map(|name| Some((aside_time(&place.file, &name)?, name))).collect();
    kept.sort_unstable();
    // Two in one second, or a clock that was set back: the name must still tell which one is the newest.
    let newest = kept.last().map_or(i64::MIN, |(time, _)| *time);
    let name = aside(&place.file, FileTime::now().seconds.max(newest.saturating_add(1)));
    dir.name_also(&place.file, &name)?;
    for (_, name) in kept.iter().rev().skip(KEPT - 1) {
        dir.remove(name)?;
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(bytes: &[u8]) -> Condition {
        examine(&Blob::copy_of(bytes))
    }

    #[test]
    fn what_the_libraries_write_is_sound() {
        for bytes in
            [&b"{}"[..], b" \n{\"AccessToken\":{}}\n", b"\xEF\xBB\xBF{\"Account\":{}}", b"{\"Account\":{},}", b"  "]
        {
            assert!(matches!(condition(bytes), Condition::Sound), "{bytes:?}");
        }
    }

    #[test]
    fn a_torn_document_a_longer_one_behind_and_nul_bytes_are_damage() {
        for bytes in [&b"{"[..], b"{\"AccessToken\":{\"k\":{\"secret\"", b"{\"Account\":{}}{\"x\":1}}", b"\0\0\0\0"] {
            assert!(matches!(condition(bytes), Condition::Damaged(_)), "{bytes:?}");
        }
    }

    #[test]
    fn what_is_no_object_is_foreign() {
        for bytes in [&b"[]"[..], b"null", b"12", b"\"text\"", b"MSTC\x01\x02", b"\0\0{}", b"<xml/>", b"\xFF\xFE{\0}\0"]
        {
            assert!(matches!(condition(bytes), Condition::Foreign), "{bytes:?}");
        }
    }
}
