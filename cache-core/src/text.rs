//! Comparison and hashing of ids "ignoring case", without allocating.

/// Whether both texts are the same once each of their characters is lower-cased by Unicode's rules, as MSAL.NET lower-cases
/// key text. (MSAL Python and Node also tell a sigma at the end of a word from others; no id ends in one.)
#[inline]
pub(crate) fn eq_ignore_case(a: &str, b: &str) -> bool {
    // Callers nearly always spell an id as it was stored.
    a == b || eq_other_spelling(a, b)
}

#[inline(never)]
fn eq_other_spelling(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b) || !(a.is_ascii() && b.is_ascii()) && lower_case(a).eq(lower_case(b))
}

/// The form that all texts which are [equal ignoring case](eq_ignore_case) have in common.
pub(crate) fn lower_case(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(char::to_lowercase)
}

/// Whether `lower` is `text` with its ASCII letters in lower case; never so for text that is not ASCII.
pub(crate) fn is_lower_of(lower: &[u8], text: &str) -> bool {
    let text = text.as_bytes();
    // Without a way out of the loop the compiler compares many bytes at a time.
    let differs = |lower: &[u8], text: &[u8]| {
        lower.iter().zip(text).fold(0, |sum, (lower, byte)| sum | (lower ^ byte.to_ascii_lowercase()) | (byte & 0x80))
    };
    lower.len() == text.len() && differs(lower, text) == 0
}

/// Hashes texts in a form that case does not change, a block of bytes at a time, by the step of foldhash.
///
/// Texts that are [equal ignoring case](eq_ignore_case) count the same. Their lengths are added at the end: "ab" and "c"
/// are not "a" and "bc".
#[derive(Clone, Copy)]
pub(crate) struct TextHasher {
    /// Blocks go to them in turn: the processor works on both at once.
    lanes: [u64; 2],
    seed: u64,
    lengths: u64,
}

const BLOCK: usize = 16;
/// Sets the bit in which ASCII letters of both cases differ. That a few other characters fall together too costs a
/// comparison now and then.
const CASE: u128 = u128::from_ne_bytes([0x20; BLOCK]);
/// The bit that no ASCII character has.
const HIGH: u128 = u128::from_ne_bytes([0x80; BLOCK]);

/// The block with its ASCII capitals in lower case, and nothing else changed.
fn lower_ascii(block: u128) -> u128 {
    /// Adding these sets the high bit of bytes from `A` on, and of those behind `Z`.
    const FROM_A: u128 = u128::from_ne_bytes([0x80 - b'A'; BLOCK]);
    const BEHIND_Z: u128 = u128::from_ne_bytes([0x7f - b'Z'; BLOCK]);
    // Without high bits no sum runs into the next byte.
    let low = block & !HIGH;
    let capitals = (low + FROM_A) & !(low + BEHIND_Z) & !block & HIGH;
    block | capitals >> 2
}

impl TextHasher {
    /// A hasher with these random numbers, which no document's author knows.
    pub(crate) fn new([one, other, seed]: [u64; 3]) -> Self {
        Self { lanes: [one, other], seed, lengths: 0 }
    }

    /// Feeds a text as it is.
    pub(crate) fn exact(&mut self, text: &str) {
        self.blocks(text.as_bytes(), |block| block);
        self.length(text.len());
    }

    /// Feeds a text without regard to case. A few texts that differ in more than case count the same.
    #[inline]
    pub(crate) fn ignoring_case(&mut self, text: &str) {
        self.folded(text, |block| block | CASE);
    }

    /// Feeds the [lower case](lower_case) of a text: what differs in more than case counts as different.
    pub(crate) fn lower_case(&mut self, text: &str) {
        self.folded(text, lower_ascii);
    }

    /// Feeds a text that `fold` makes the same in both cases, if it is ASCII; `fold` changes no lower case of one block so
    /// that it falls together with another.
    #[inline]
    fn folded(&mut self, text: &str, fold: impl Fn(u128) -> u128 + Copy) {
        let before = self.lanes;
        if self.blocks(text.as_bytes(), fold) & HIGH == 0 {
            self.length(text.len());
        } else {
            self.lanes = before;
            self.other_than_ascii(text, fold);
        }
    }

    /// Feeds a number.
    pub(crate) fn number(&mut self, number: u64) {
        self.lanes[0] = mix(self.lanes[0] ^ number, self.seed);
    }

    /// The hash of everything that was fed.
    pub(crate) fn finish(self) -> u64 {
        let [one, other] = self.lanes;
        mix(mix(one, self.seed ^ self.lengths), other ^ self.lengths.rotate_left(32))
    }

    /// Feeds blocks as `fold` makes them; answers which bits there were.
    #[inline]
    fn blocks(&mut self, bytes: &[u8], fold: impl Fn(u128) -> u128 + Copy) -> u128 {
        let (pairs, rest) = bytes.as_chunks();
        let seen = pairs.iter().fold(0, |seen, pair| seen | self.pair(pair, fold));
        seen | self.rest(bytes, rest.len(), fold)
    }

    #[inline]
    fn pair(&mut self, pair: &[u8; 2 * BLOCK], fold: impl Fn(u128) -> u128) -> u128 {
        let [first, second] =
            [0, BLOCK].map(|at| pair[at..].first_chunk().map_or(0, |block| u128::from_le_bytes(*block)));
        self.take(0, fold(first));
        self.take(1, fold(second));
        first | second
    }

    /// Feeds the last `rest` bytes, fewer than a pair of blocks.
    #[inline]
    fn rest(&mut self, bytes: &[u8], rest: usize, fold: impl Fn(u128) -> u128) -> u128 {
        if rest == 0 {
            return 0;
        }
        let mut seen = 0;
        if rest > BLOCK {
            seen = bytes[bytes.len() - rest..].first_chunk().map_or(0, |block| u128::from_le_bytes(*block));
            self.take(0, fold(seen));
        }
        // The last block takes some bytes again, rather than being filled up.
        let last = match bytes.last_chunk() {
            Some(last) => u128::from_le_bytes(*last),
            None => short(bytes),
        };
        self.take(1, fold(last));
        seen | last
    }

    fn take(&mut self, lane: usize, block: u128) {
        self.lanes[lane] = mix(self.lanes[lane] ^ block as u64, self.seed ^ (block >> 64) as u64);
    }

    /// Feeds the lower case of text that is not ASCII, which may be of another length.
    #[cold]
    fn other_than_ascii(&mut self, text: &str, fold: impl Fn(u128) -> u128 + Copy) {
        // The block before, and a pair.
        let mut window = [0; 3 * BLOCK];
        let (mut filled, mut total) = (BLOCK, 0);
        let mut utf8 = [0; 4];
        for lower in lower_case(text) {
            for byte in lower.encode_utf8(&mut utf8).bytes() {
                window[filled] = byte;
                filled += 1;
                total += 1;
                if filled == window.len() {
                    self.blocks(&window[BLOCK..], fold);
                    window.copy_within(2 * BLOCK.., 0);
                    filled = BLOCK;
                }
            }
        }
        let rest = filled - BLOCK;
        self.rest(&window[filled - total.min(filled)..filled], rest, fold);
        self.length(total);
    }

    fn length(&mut self, length: usize) {
        self.lengths = self.lengths.rotate_left(13) ^ length as u64;
    }
}

/// Both halves of the product, folded together.
fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// Text that is shorter than a block, as a number.
fn short(bytes: &[u8]) -> u128 {
    let number = match (bytes.first_chunk(), bytes.last_chunk()) {
        (Some(first), Some(last)) => [u64::from_le_bytes(*first), u64::from_le_bytes(*last)],
        _ => [bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)), 0],
    };
    u128::from(number[0]) | u128::from(number[1]) << 64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hasher() -> TextHasher {
        TextHasher::new([0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344, 0xa409_3822_299f_31d0])
    }

    fn hash(text: &str) -> u64 {
        let mut hasher = hasher();
        hasher.ignoring_case(text);
        hasher.finish()
    }

    #[test]
    fn equal_texts_hash_alike() {
        let long = "User.Read ".repeat(40);
        // Whole blocks and a part, with a character whose lower case is ASCII and shorter.
        let (kelvin, plain) = (format!("{}{}", "\u{212a}".repeat(16), "k".repeat(9)), "K".repeat(25));
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
            let mut hasher = hasher();
            hasher.ignoring_case(a);
            hasher.exact(b);
            hasher.finish()
        };
        assert_ne!(split("ab", "c"), split("a", "bc"));
        assert_ne!(split("", "a"), split("", "A"));
    }

    #[test]
    fn the_hash_of_the_lower_case_is_that_of_no_other_text() {
        let hash = |text: &str| {
            let mut hasher = hasher();
            hasher.lower_case(text);
            hasher.finish()
        };
        let (kelvin, plain) = (format!("{}{}", "\u{212a}".repeat(16), "k".repeat(9)), "K".repeat(25));
        for (a, b) in
            [("User.Read", "user.READ"), ("STRASSE É", "strasse é"), ("É[\u{212a}]", "é[K]"), (&kelvin, &plain)]
        {
            assert_eq!(hash(a), hash(b), "{a} {b}");
        }
        // They differ in the bit that the cases of letters differ in.
        for (a, b) in [("a[b", "a{b"), ("É@\u{212a}", "é`k"), ("a-b", "a\rb"), ("K^25", "K~25")] {
            assert_ne!(hash(a), hash(b), "{a:?} {b:?}");
        }
        let every = (0..=u8::MAX).collect::<Vec<_>>();
        for block in every.as_chunks().0 {
            let lower = lower_ascii(u128::from_le_bytes(*block)).to_le_bytes();
            assert_eq!(lower, block.map(|byte| byte.to_ascii_lowercase()));
        }
    }

    #[test]
    fn lower_case_is_told() {
        let text = "https://Api.Contoso.example/User.Read";
        assert!(is_lower_of(text.to_lowercase().as_bytes(), text));
        assert!(!is_lower_of(text.as_bytes(), text));
        assert!(!is_lower_of(b"short", text));
        // The lower case of the Kelvin sign is another character.
        assert!(!is_lower_of("\u{212a}".as_bytes(), "\u{212a}"));
    }
}
