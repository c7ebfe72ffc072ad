//! The forms that a secret can leak in.

use base64::Engine as _;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use memchr::memmem;

/// The first form in which `secret` stands in `shown`.
pub(super) fn find(secret: &str, shown: &[u8]) -> Option<&'static str> {
    let lower = shown.to_ascii_lowercase();
    let dense: Vec<u8> = lower.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let utf16 = |order: fn(u16) -> [u8; 2]| secret.encode_utf16().flat_map(order).collect::<Vec<u8>>();
    let exact = |form: &[u8]| memmem::find(shown, form).is_some();
    let ignoring_case = |form: &str| memmem::find(&lower, form.to_ascii_lowercase().as_bytes()).is_some();
    // Lists are printed in one line or in many.
    let list = |separator, byte| memmem::find(&dense, list(secret, separator, byte).as_bytes()).is_some();
    let decimal = |byte| format!("{byte}");
    let hex = |byte| format!("{byte:02x}");
    let hex_0x = |byte| format!("0x{byte:02x}");

    let forms: [(&str, &dyn Fn() -> bool); 9] = [
        ("as text", &|| ignoring_case(secret)),
        ("in base64", &|| base64(&STANDARD_NO_PAD, secret).iter().any(|form| exact(form.as_bytes()))),
        ("in base64 for URLs", &|| base64(&URL_SAFE_NO_PAD, secret).iter().any(|form| exact(form.as_bytes()))),
        ("in hex", &|| ["", ":", "-"].iter().any(|separator| list(separator, &hex))),
        ("as a list of bytes", &|| list(",", &decimal)),
        ("as a list of bytes in hex", &|| list(",", &hex) || list(",", &hex_0x) || list(",", &|b| format!("{b:x}"))),
        ("in UTF-16", &|| exact(&utf16(u16::to_le_bytes)) || exact(&utf16(u16::to_be_bytes))),
        ("escaped as in JSON", &|| escaped_as_json(secret).iter().any(|form| ignoring_case(form))),
        ("escaped as in Rust", &|| {
            let debug = format!("{secret:?}");
            ignoring_case(&debug[1..debug.len() - 1]) || ignoring_case(&secret.escape_unicode().to_string())
        }),
    ];
    forms.iter().find(|(_, found)| found()).map(|(name, _)| *name)
}

/// The bytes of the secret in what a list of bytes prints, white space left out.
fn list(secret: &str, separator: &str, byte: &dyn Fn(u8) -> String) -> String {
    secret.bytes().map(byte).collect::<Vec<_>>().join(separator)
}

/// The characters that the secret gives alone, for each of the three places in a group of three bytes that it can begin
/// at: those at its ends that depend on neighbours are left out.
fn base64(alphabet: &GeneralPurpose, secret: &str) -> [String; 3] {
    [0, 1, 2].map(|before| {
        let mut bytes = vec![0; before];
        bytes.extend_from_slice(secret.as_bytes());
        let encoded = alphabet.encode(&bytes);
        let (start, end) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
        encoded[start..end].to_owned()
    })
}

/// With the escapes that JSON needs, with those that it allows besides, and with every character escaped.
fn escaped_as_json(secret: &str) -> [String; 4] {
    let quoted = serde_json::Value::from(secret).to_string();
    let needed = quoted[1..quoted.len() - 1].to_owned();
    let slashes = needed.replace('/', "\\/");
    let unit = |unit| format!("\\u{unit:04x}");
    let units = |c: char| c.encode_utf16(&mut [0; 2]).iter().copied().map(unit).collect::<Vec<_>>().concat();
    let beyond_ascii = needed.chars().map(|c| if c.is_ascii() { c.to_string() } else { units(c) }).collect();
    let all = secret.chars().map(units).collect();
    [needed, slashes, beyond_ascii, all]
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    // Long enough, and with characters that tell the alphabets of base64 and the escapes apart.
    const SECRET: &str = "PLANTED-0123456789abcdef-\u{fb}\u{ff}~~?? \"quoted\\/\" \u{e9}";

    fn found(shown: impl AsRef<[u8]>) -> Option<&'static str> {
        find(SECRET, shown.as_ref())
    }

    fn around(form: &str) -> String {
        format!("Error {{ message: \"{form}\" }}")
    }

    #[test]
    fn nothing_is_found_in_what_is_innocent() {
        let half = &SECRET[..SECRET.len() / 2];
        for shown in ["", "PLANTED-", "Secret(..)", "Blob(50 bytes)", half] {
            assert_eq!(found(shown), None, "{shown}");
        }
    }

    #[test]
    fn text_is_found_in_either_case() {
        assert_eq!(found(around(SECRET)), Some("as text"));
        assert_eq!(found(around(&SECRET.to_ascii_uppercase())), Some("as text"));
        assert_eq!(found(around(&SECRET.to_ascii_lowercase())), Some("as text"));
    }

    #[test]
    fn base64_is_found_at_each_alignment() {
        for before in ["", "a", "ab", "abc"] {
            for after in ["", "x", "xy"] {
                let whole = format!("{before}{SECRET}{after}");
                assert_eq!(found(around(&STANDARD.encode(&whole))), Some("in base64"), "{before} {after}");
                assert_eq!(found(around(&URL_SAFE.encode(&whole))), Some("in base64 for URLs"), "{before} {after}");
                assert_eq!(found(STANDARD_NO_PAD.encode(&whole)), Some("in base64"));
                assert_eq!(found(URL_SAFE_NO_PAD.encode(&whole)), Some("in base64 for URLs"));
            }
        }
    }

    #[test]
    fn hex_is_found_in_either_case() {
        for shown in [
            list(SECRET, "", &|byte| format!("{byte:02x}")),
            list(SECRET, "", &|byte| format!("{byte:02X}")),
            list(SECRET, ":", &|byte| format!("{byte:02X}")),
            list(SECRET, " ", &|byte| format!("{byte:02x}")),
        ] {
            assert_eq!(found(around(&shown)), Some("in hex"), "{shown}");
        }
    }

    #[test]
    fn lists_of_bytes_are_found() {
        let bytes = [b"before".as_slice(), SECRET.as_bytes(), b"after"].concat();
        assert_eq!(found(format!("{bytes:?}")), Some("as a list of bytes"));
        assert_eq!(found(format!("{bytes:#?}")), Some("as a list of bytes"));
        for shown in [format!("{bytes:x?}"), format!("{bytes:02X?}"), format!("{bytes:#04x?}")] {
            assert_eq!(found(&shown), Some("as a list of bytes in hex"), "{shown}");
        }
    }

    #[test]
    fn utf_16_is_found_in_either_order() {
        let of = |order: fn(u16) -> [u8; 2]| format!("x{SECRET}y").encode_utf16().flat_map(order).collect::<Vec<u8>>();
        assert_eq!(found(of(u16::to_le_bytes)), Some("in UTF-16"));
        assert_eq!(found(of(u16::to_be_bytes)), Some("in UTF-16"));
    }

    #[test]
    fn escapes_are_found() {
        let json = serde_json::Value::from(SECRET).to_string();
        let ascii_json = json.replace('\u{fb}', "\\u00FB").replace('\u{ff}', "\\u00ff").replace('\u{e9}', "\\u00E9");
        let all = SECRET.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect::<Vec<_>>().concat();
        for shown in [json.replace('/', "\\/"), ascii_json, all, json] {
            assert_eq!(found(&shown), Some("escaped as in JSON"), "{shown}");
        }
        let secret = "PLANTED \u{7f} \0 '";
        assert_eq!(find(secret, format!("{secret:?}").as_bytes()), Some("escaped as in Rust"));
        assert_eq!(find(secret, secret.escape_unicode().to_string().as_bytes()), Some("escaped as in Rust"));
    }
}
