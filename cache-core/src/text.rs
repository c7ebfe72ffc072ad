//! Comparison and hashing of ids "ignoring case", without allocating.

use std::hash::Hasher;

/// Whether both texts are the same once lower-cased by Unicode's rules, as the MSAL libraries lower-case key text.
pub(crate) fn eq_ignore_case(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
        || !(a.is_ascii() && b.is_ascii())
            && a.chars().flat_map(char::to_lowercase).eq(b.chars().flat_map(char::to_lowercase))
}

/// Bytes that are hashed at a time: hashers are fast on runs of bytes and slow on single ones.
const CHUNK: usize = 64;

/// Feeds `text` lower-cased into `hasher`, in chunks whose borders depend on the lower-cased bytes alone; texts that are
/// [equal ignoring case](eq_ignore_case) so feed the same. The length ends it: "ab" and "c" are not "a" and "bc".
pub(crate) fn hash_ignore_case(text: &str, hasher: &mut impl Hasher) {
    let mut buffer = [0u8; CHUNK];
    if text.is_ascii() {
        for chunk in text.as_bytes().chunks(CHUNK) {
            let lower = &mut buffer[..chunk.len()];
            lower.copy_from_slice(chunk);
            lower.make_ascii_lowercase();
            hasher.write(lower);
        }
        hasher.write_u32(text.len() as u32);
        return;
    }
    let (mut filled, mut total) = (0, 0u32);
    let mut utf8 = [0u8; 4];
    for lower in text.chars().flat_map(char::to_lowercase) {
        for byte in lower.encode_utf8(&mut utf8).bytes() {
            buffer[filled] = byte;
            filled += 1;
            total += 1;
            if filled == CHUNK {
                hasher.write(&buffer);
                filled = 0;
            }
        }
    }
    if filled > 0 {
        hasher.write(&buffer[..filled]);
    }
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
        // Whole chunks, with a character whose lower case is ASCII and shorter.
        let (kelvin, plain) = (format!("{}{}", "\u{212a}".repeat(64), "k".repeat(64)), "K".repeat(128));
        for (a, b) in [
            ("User.Read", "user.READ"),
            ("\u{212a}elvin", "kelvin"),
            ("STRASSE É", "strasse é"),
            (&long, &long.to_uppercase()),
            (&kelvin, &plain),
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
