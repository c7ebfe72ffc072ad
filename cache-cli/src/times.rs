//! Points in time for people: how long until then, and the date.

use cache_core::UnixSeconds;

/// The time in RFC 3339, in UTC; `None` beyond the years that have such a form.
pub(crate) fn date(time: UnixSeconds) -> Option<String> {
    jiff::Timestamp::from_second(time.0).ok().map(|time| time.to_string())
}

/// Whether a token of this expiry has expired; one without is taken for expired.
pub(crate) fn is_expired(expires_on: Option<UnixSeconds>, now: UnixSeconds) -> bool {
    expires_on.is_none_or(|end| end < now)
}

/// The expiry relative to now, for example `in 59 min` or `expired 2 h ago`.
pub(crate) fn relative(expires_on: Option<UnixSeconds>, now: UnixSeconds) -> String {
    match expires_on {
        None => "unknown, taken for expired".to_owned(),
        Some(end) if end < now => format!("expired {} ago", span(now.0.saturating_sub(end.0))),
        Some(end) => format!("in {}", span(end.0.saturating_sub(now.0))),
    }
}

/// The expiry relative and absolute, for example `in 59 min (2027-01-15T08:59:59Z)`.
pub(crate) fn expiry(expires_on: Option<UnixSeconds>, now: UnixSeconds) -> String {
    let relative = relative(expires_on, now);
    match expires_on.and_then(date) {
        Some(date) => format!("{relative} ({date})"),
        None => relative,
    }
}

/// How long ago, for example `3 min ago`; `in the future` for a later time.
pub(crate) fn ago(time: UnixSeconds, now: UnixSeconds) -> String {
    match now.0.saturating_sub(time.0) {
        ..0 => "in the future".to_owned(),
        seconds => format!("{} ago", span(seconds)),
    }
}

fn span(seconds: i64) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    match seconds {
        ..MINUTE => format!("{seconds} s"),
        MINUTE..HOUR => format!("{} min", seconds / MINUTE),
        HOUR..172_800 => format!("{} h", seconds / HOUR),
        _ => format!("{} d", seconds / DAY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiries_read_well() {
        const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
        for (after, shown) in [
            (0, "in 0 s (2027-01-15T08:00:00Z)"),
            (59, "in 59 s (2027-01-15T08:00:59Z)"),
            (60, "in 1 min (2027-01-15T08:01:00Z)"),
            (3599, "in 59 min (2027-01-15T08:59:59Z)"),
            (3600, "in 1 h (2027-01-15T09:00:00Z)"),
            (47 * 3600, "in 47 h (2027-01-17T07:00:00Z)"),
            (48 * 3600, "in 2 d (2027-01-17T08:00:00Z)"),
            (-1, "expired 1 s ago (2027-01-15T07:59:59Z)"),
            (-7200, "expired 2 h ago (2027-01-15T06:00:00Z)"),
        ] {
            let end = NOW.plus(after);
            assert_eq!(expiry(Some(end), NOW), shown);
            assert_eq!(is_expired(Some(end), NOW), after < 0);
        }
        assert_eq!(expiry(None, NOW), "unknown, taken for expired");
    }

    #[test]
    fn ages_read_well() {
        const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
        for (before, shown) in [(0, "0 s ago"), (90, "1 min ago"), (7200, "2 h ago"), (-1, "in the future")] {
            assert_eq!(ago(NOW.plus(-before), NOW), shown);
        }
        assert_eq!(ago(UnixSeconds(i64::MAX), UnixSeconds(i64::MIN)), "in the future");
    }

    #[test]
    fn no_time_is_too_far() {
        for time in [i64::MIN, -377_705_116_801, 253_402_300_800, i64::MAX] {
            assert!(!expiry(Some(UnixSeconds(time)), UnixSeconds(0)).is_empty());
        }
        assert_eq!(
            relative(Some(UnixSeconds(i64::MIN)), UnixSeconds(i64::MAX)),
            format!("expired {} d ago", i64::MAX / 86_400)
        );
    }
}
