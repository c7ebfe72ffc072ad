//! Hexadecimal digits: key files and key ids.

use zeroize::Zeroizing;

/// The 32 bytes that 64 digits stand for; `None` for anything else.
pub(crate) fn decode_key(digits: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let digits: &[u8; 64] = digits.try_into().ok()?;
    let mut bytes = Zeroizing::new([0; 32]);
    for (byte, pair) in bytes.iter_mut().zip(digits.as_chunks::<2>().0) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

fn value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
pub(crate) fn decode(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().map(|digit| value(digit).expect("a hexadecimal digit")).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
