//! How long a document stays: as long as it is of use.

use std::time::Duration;

use cache_core::schema::section;
use cache_core::{Blob, Result, UnifiedDocument, UnixMillis};

/// A document whose tokens have expired stays for a moment, so that writing one never deletes it at once.
const LEAST: Duration = Duration::from_secs(300);

/// How long the document is of use from now on: `kept_for` with a refresh token, else until its last access token expires.
pub(crate) fn left(document: &Blob, now: UnixMillis, kept_for: Duration) -> Result<Duration> {
    let mut latest = None;
    for entry in UnifiedDocument::parse(document)?.into_entries() {
        match (entry.id.section(), entry.expires_on) {
            (section::REFRESH_TOKEN, _) | (section::ACCESS_TOKEN, None) => return Ok(kept_for.max(LEAST)),
            (section::ACCESS_TOKEN, expires_on) => latest = latest.max(expires_on),
            _ => {}
        }
    }
    Ok(latest.map_or(kept_for, |end| end.to_millis().since(now)).clamp(LEAST, kept_for.max(LEAST)))
}

/// The moment as .NET writes it: 100 ns since the year 1.
pub(crate) fn ticks(at: UnixMillis) -> i64 {
    const YEAR_1970: i64 = 62_135_596_800_000;
    const PER_MILLISECOND: i64 = 10_000;
    at.0.saturating_add(YEAR_1970).saturating_mul(PER_MILLISECOND)
}

/// The moment so much later.
pub(crate) fn later(now: UnixMillis, by: Duration) -> UnixMillis {
    UnixMillis(now.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAYS: Duration = Duration::from_secs(90 * 24 * 3600);

    fn left_of(document: &str) -> Duration {
        left(&Blob::copy_of(document.as_bytes()), UnixMillis(1_000_000), DAYS).expect("a document")
    }

    #[test]
    fn a_document_stays_as_long_as_it_is_of_use() {
        let until = |seconds: i64| format!(r#"{{"secret":"s","expires_on":"{seconds}"}}"#);
        let two = format!(r#"{{"AccessToken":{{"a":{},"b":{}}}}}"#, until(4600), until(2000));
        assert_eq!(left_of(&two), Duration::from_secs(3600));
        assert_eq!(left_of(&format!(r#"{{"AccessToken":{{"a":{}}}}}"#, until(5))), LEAST);
        assert_eq!(left_of(r#"{"AccessToken":{"a":{"secret":"s"}}}"#), DAYS);
        let with_refresh =
            format!(r#"{{"AccessToken":{{"a":{}}},"RefreshToken":{{"r":{{"secret":"s"}}}}}}"#, until(4600));
        assert_eq!(left_of(&with_refresh), DAYS);
        assert_eq!(left_of("{}"), DAYS);
    }

    #[test]
    fn ticks_are_those_of_dotnet() {
        // `DateTimeOffset.UnixEpoch.Ticks`, and a second later.
        assert_eq!(ticks(UnixMillis(0)), 621_355_968_000_000_000);
        assert_eq!(ticks(UnixMillis(1_000)), 621_355_968_010_000_000);
    }
}
