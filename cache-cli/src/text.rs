//! Text from a cache on its way to a terminal or into columns.

use std::borrow::Cow;

/// The text with everything escaped that would move the cursor, colour the terminal or turn the reading direction:
/// names in a cache come from elsewhere.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(steers) {
        return Cow::Borrowed(text);
    }
    let escaped = text.chars().flat_map(|char| {
        let (escape, plain) = if steers(char) { (Some(char.escape_unicode()), None) } else { (None, Some(char)) };
        escape.into_iter().flatten().chain(plain)
    });
    Cow::Owned(escaped.collect())
}

/// The text as one field of tab-separated values: tab, line ends and backslash as `\t`, `\n`, `\r`, `\\`.
pub(crate) fn tsv_field(text: &str) -> Cow<'_, str> {
    if !text.contains(['\t', '\n', '\r', '\\']) {
        return Cow::Borrowed(text);
    }
    let escaped = text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r");
    Cow::Owned(escaped)
}

/// The count with its noun, for example `1 entry` or `3 entries`.
pub(crate) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn steers(char: char) -> bool {
    // Besides the control characters: the marks, embeddings, overrides and isolates of bidirectional text, and the line
    // and paragraph separators.
    char.is_control()
        || matches!(char, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(printable("Bob \u{c9}xample"), "Bob \u{c9}xample");
        assert_eq!(printable("a\u{1b}[31mb\u{202e}c\nd"), "a\\u{1b}[31mb\\u{202e}c\\u{a}d");
    }

    #[test]
    fn a_field_stays_one_field() {
        assert_eq!(tsv_field("a b"), "a b");
        assert_eq!(tsv_field("a\tb\nc\\d"), "a\\tb\\nc\\\\d");
    }
}
