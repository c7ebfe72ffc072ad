//! How libraries spell what they write.

use std::fmt::Write as _;

use arbitrary::Arbitrary;
use serde_json::Value;

/// Key texts of imported entries; the last one is the canonical one's place.
const KEYS: [&str; 8] = ["a", "A", "b", "c", "d", "x-atext-y", "X-ATEXT-Y", "e"];

/// How a library spells what it writes.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Style {
    pub key: u8,
    bits: u16,
}

impl Style {
    pub fn is(self, bit: u8) -> bool {
        self.bits >> bit & 1 == 1
    }

    pub fn key_text(self) -> String {
        pick(&KEYS, self.key).to_owned()
    }
}

/// The fields of one entity as a library spells them.
pub struct Fields {
    pub style: Style,
    text: String,
}

impl Fields {
    pub fn new(style: Style) -> Self {
        let mut out = Self { style, text: String::from("{") };
        if style.is(7) {
            // Of a repeated name the last one counts.
            out.raw("environment", r#""stale.example""#);
            out.raw("secret", r#""stale""#);
        }
        out
    }

    pub fn text(&mut self, name: &str, text: &str) {
        let quoted = Value::from(text).to_string();
        if self.style.is(8) && text.starts_with(|first: char| first.is_ascii_alphanumeric()) {
            self.raw(name, &format!("\"\\u{:04x}{}", u32::from(text.as_bytes()[0]), &quoted[2..]));
        } else {
            self.raw(name, &quoted);
        }
    }

    pub fn time(&mut self, name: &str, seconds: Option<i64>) {
        match (seconds, self.style.is(9), self.style.is(10)) {
            (Some(seconds), true, _) => self.raw(name, &seconds.to_string()),
            (Some(seconds), _, true) => self.raw(name, &format!("\" +{seconds}.75 \"")),
            (Some(seconds), ..) => self.raw(name, &format!("\"{seconds}\"")),
            (None, true, _) => self.raw(name, "null"),
            (None, _, true) => self.raw(name, "\"\""),
            (None, ..) => {}
        }
    }

    pub fn raw(&mut self, name: &str, json: &str) {
        if self.text.len() > 1 {
            self.text.push_str(if self.style.is(11) { " , " } else { "," });
        }
        // Writing into a String cannot fail.
        let _ = write!(self.text, "\"{name}\":{json}");
    }

    /// A field that no library knows; its JSON stays as it is spelled.
    pub fn unknown(&mut self) -> Option<String> {
        let json = [r#"{"a": [1.50, null]}"#, "null"];
        let json = self.style.is(12).then(|| json[usize::from(self.style.is(13))])?;
        self.raw("x-unknown", json);
        Some(json.to_owned())
    }

    pub fn finish(mut self) -> String {
        self.text.push('}');
        self.text
    }
}

pub fn pick<'a>(list: &[&'a str], at: u8) -> &'a str {
    list[usize::from(at) % list.len()]
}
