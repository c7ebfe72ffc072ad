//! Comparison and hashing of ids "ignoring case", without allocating.

use std::hash::Hasher;

/// Whether both texts are the same once lower-cased by Unicode's rules, as the MSAL libraries lower-case key text.
pub(crate) fn eq_ignore_case(a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    if a.is_ascii() && b.is_ascii() {
        return a.eq_ignore_ascii_case(b);
    }
    a.chars().flat_map(char::to_lowercase).eq(b.chars().flat_map(char::to_lowercase))
}

/// Feeds `text` lower-cased into `hasher`; texts that are [equal ignoring case](eq_ignore_case) feed the same bytes.
pub(crate) fn hash_ignore_case(text: &str, hasher: &mut impl Hasher) {
    // Through a stack buffer: hashers are fast on runs of bytes and slow on single ones. The chunk borders depend on
    // the lower-cased bytes alone, so that equal texts give equal chunks.
    let mut buffer = [0u8; 64];
    let mut filled = 0;
    let mut push = |byte: u8, hasher: &mut dyn FnMut(&[u8])| {
        buffer[filled] = byte;
        filled += 1;
        if filled == buffer.len() {
            hasher(&buffer);
            filled = 0;
        }
    };
    let mut total = 0u32;
    let mut sink = |chunk: &[u8]| hasher.write(chunk);
    if text.is_ascii() {
        for byte in text.bytes() {
            push(byte.to_ascii_lowercase(), &mut sink);
            total += 1;
        }
    } else {
        let mut utf8 = [0u8; 4];
        for lower in text.chars().flat_map(char::to_lowercase) {
            for byte in lower.encode_utf8(&mut utf8).bytes() {
                push(byte, &mut sink);
                total += 1;
            }
        }
    }
    let rest = filled;
    hasher.write(&buffer[..rest]);
    // The length ends the text, so that "ab" + "c" and "a" + "bc" differ.
    hasher.write_u32(total);
}

/// Feeds `text` as it is into `hasher`, ended by its length.
pub(crate) fn hash_exact(text: &str, hasher: &mut impl Hasher) {
    hasher.write(text.as_bytes());
    hasher.write_u32(text.len() as u32);
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher as _;

    use super::*;

    fn hash(text: &str) -> u64 {
        let mut hasher = foldhash::fast::FixedState::with_seed(7).build_hasher();
        hash_ignore_case(text, &mut hasher);
        hasher.finish()
    }

    #[test]
    fn equal_texts_hash_alike() {
        let long = "User.Read ".repeat(40);
        for (a, b) in [
            ("User.Read", "user.READ"),
            ("\u{212a}elvin", "kelvin"),
            ("STRASSE É", "strasse é"),
            (&long, &long.to_uppercase()),
        ] {
            assert!(eq_ignore_case(a, b), "{a} {b}");
            assert_eq!(hash(a), hash(b), "{a} {b}");
        }
    }

    #[test]
    fn different_texts_differ() {
        assert!(!eq_ignore_case("mail.read", "mail.readwrite"));
        assert!(!eq_ignore_case("é", "e"));
        assert_ne!(hash("mail.read"), hash("mail.readwrite"));
        let split = |a: &str, b: &str| {
            let mut hasher = foldhash::fast::FixedState::with_seed(7).build_hasher();
            hash_ignore_case(a, &mut hasher);
            hash_exact(b, &mut hasher);
            hasher.finish()
        };
        assert_ne!(split("ab", "c"), split("a", "bc"));
    }
}
