//! What one stat tells of a file, and the stamp made of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cache_core::Version;

/// Whether files have a time of the last change of anything about them, which nobody can set.
const HAS_CHANGE_TIME: bool = cfg!(unix);

/// A change in the same tick of the clock as the look before it can leave the stat as it was. Ticks of file systems
/// last 10 ms and less; a file changed less than this long ago is looked at again.
const TICK: Duration = Duration::from_millis(20);

/// The same for file systems that keep whole seconds (FAT: every second one).
const COARSE_TICK: Duration = Duration::from_millis(2020);

/// A point in time as file systems keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileTime {
    /// Since 1970-01-01T00:00:00Z; negative before that.
    pub(crate) seconds: i64,
    /// Within the second.
    pub(crate) nanos: u32,
}

impl FileTime {
    pub(crate) fn now() -> Self {
        SystemTime::now().into()
    }

    /// The time from `earlier` to this one; `None` if `earlier` is later.
    pub(crate) fn since(self, earlier: Self) -> Option<Duration> {
        SystemTime::from(self).duration_since(earlier.into()).ok()
    }

    /// This time moved on; the last representable one if that cannot be.
    pub(crate) fn plus(self, by: Duration) -> Self {
        SystemTime::from(self).checked_add(by).map_or(self, Self::from)
    }
}

impl From<SystemTime> for FileTime {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self { seconds: after.as_secs().cast_signed(), nanos: after.subsec_nanos() },
            Err(before) => {
                let before = before.duration();
                let (seconds, nanos) = (-before.as_secs().cast_signed(), before.subsec_nanos());
                if nanos == 0 {
                    Self { seconds, nanos }
                } else {
                    Self { seconds: seconds - 1, nanos: 1_000_000_000 - nanos }
                }
            }
        }
    }
}

impl From<FileTime> for SystemTime {
    fn from(time: FileTime) -> Self {
        let seconds = Duration::from_secs(time.seconds.unsigned_abs());
        let base = if time.seconds < 0 { UNIX_EPOCH.checked_sub(seconds) } else { UNIX_EPOCH.checked_add(seconds) };
        base.and_then(|base| base.checked_add(Duration::from_nanos(time.nanos.into()))).unwrap_or(UNIX_EPOCH)
    }
}

/// What one stat tells of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    /// When the content was last written, as far as the file says.
    pub(crate) modified: FileTime,
    /// When anything of the file was last changed. Nobody can set this one. Where there is no such time, when the
    /// file was made.
    pub(crate) changed: FileTime,
    pub(crate) size: u64,
    pub(crate) inode: u64,
    pub(crate) device: u64,
    pub(crate) kind: FileKind,
    /// Permission bits, where there are such.
    pub(crate) mode: Option<u32>,
    /// The user that the file belongs to, where there are numbers for that.
    pub(crate) owner: Option<u32>,
}

/// What stands under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    Regular,
    Symlink,
    Other,
}

impl Stat {
    /// How long ago the content was written; `None` if that lies further in the future than clocks differ.
    pub(crate) fn age(&self, now: FileTime) -> Option<Duration> {
        /// A clock that was set back, or the clock of the machine that keeps the files, must not make a file that was
        /// written just now look old.
        const CLOCK_DIFFERENCE: Duration = Duration::from_secs(60);
        let ahead = || self.modified.since(now).filter(|ahead| *ahead <= CLOCK_DIFFERENCE);
        now.since(self.modified).or_else(|| ahead().map(|_| Duration::ZERO))
    }

    /// Whether every change of the content from now on is sure to change this stat.
    ///
    /// A write gives both times the same value. So a file whose times differ cannot be written without changing one of
    /// them, however soon; our own files are such ([`mark`](crate::replace)). Of a file whose times agree, only age
    /// tells that the tick of its last change is over.
    pub(crate) fn is_settled(&self, now: FileTime) -> bool {
        if self.is_settled_at_once() {
            return true;
        }
        // A file system that keeps no times at all.
        if self.modified.seconds == 0 && self.changed.seconds == 0 {
            return false;
        }
        let tick = if self.modified.nanos == 0 && self.changed.nanos == 0 { COARSE_TICK } else { TICK };
        // A change in the future is one by another clock (a network file system, a clock set back): not settled.
        let changed = self.changed.max(self.modified);
        now.since(changed).is_some_and(|age| age >= tick)
    }

    /// Whether the times alone say so, whatever the hour.
    pub(crate) fn is_settled_at_once(&self) -> bool {
        HAS_CHANGE_TIME && self.modified != self.changed
    }

    /// A stamp that equals no other: what has this stat may not be what is expected.
    pub(crate) fn passing_version(&self) -> Version {
        // In the moment of its last change, nothing is settled but by its times.
        Self { changed: self.modified, ..*self }.version(self.modified)
    }

    /// The stamp: the same for the same content. That of a file that is not settled equals no other, so that the next
    /// look reads the file again.
    pub(crate) fn version(&self, now: FileTime) -> Version {
        static UNSETTLED: AtomicU64 = AtomicU64::new(1);
        let nonce = if self.is_settled(now) { 0 } else { UNSETTLED.fetch_add(1, Ordering::Relaxed) };
        let mut bytes = [0; 46];
        bytes[..8].copy_from_slice(&self.modified.seconds.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.modified.nanos.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.changed.seconds.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.changed.nanos.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.size.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.inode.to_le_bytes());
        bytes[40..].copy_from_slice(&nonce.to_le_bytes()[..6]);
        Version::new(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(modified: FileTime, changed: FileTime) -> Stat {
        Stat {
            modified,
            changed,
            size: 10,
            inode: 1,
            device: 1,
            kind: FileKind::Regular,
            mode: Some(0o600),
            owner: Some(0),
        }
    }

    const T: FileTime = FileTime { seconds: 1_700_000_000, nanos: 5_000_001 };

    #[test]
    fn times_survive_the_way_through_system_time() {
        for time in [
            T,
            FileTime { seconds: 0, nanos: 0 },
            FileTime { seconds: -1, nanos: 999_999_999 },
            FileTime { seconds: -5, nanos: 0 },
        ] {
            assert_eq!(FileTime::from(SystemTime::from(time)), time);
        }
    }

    #[test]
    fn a_stamp_taken_in_the_tick_of_the_change_equals_nothing() {
        let young = stat(T, T);
        let look = || young.version(T.plus(Duration::from_millis(19)));
        assert_ne!(look(), look());
        let later = T.plus(TICK);
        assert_eq!(young.version(later), young.version(later));
        assert_ne!(young.version(later), look());
    }

    #[test]
    fn a_stamp_whose_times_differ_holds_at_once() {
        let marked = stat(T, T.plus(Duration::from_nanos(1)));
        assert_eq!(marked.is_settled(T), HAS_CHANGE_TIME);
        assert_ne!(marked.passing_version(), marked.passing_version());
    }

    #[test]
    fn a_file_system_without_times_is_never_trusted() {
        let none = FileTime { seconds: 0, nanos: 0 };
        assert!(!stat(none, none).is_settled(T));
    }

    #[test]
    fn a_change_in_the_future_and_a_coarse_clock_are_not_trusted() {
        assert!(!stat(T.plus(Duration::from_secs(9)), T.plus(Duration::from_secs(9))).is_settled(T));
        let coarse = FileTime { nanos: 0, ..T };
        assert!(!stat(coarse, coarse).is_settled(coarse.plus(Duration::from_secs(2))));
        assert!(stat(coarse, coarse).is_settled(coarse.plus(Duration::from_secs(3))));
    }

    #[test]
    fn every_part_of_the_stat_is_in_the_stamp() {
        let later = T.plus(Duration::from_secs(1));
        let base = stat(T, T);
        let second = T.plus(Duration::from_nanos(1));
        let others = [
            Stat { modified: second, ..base },
            Stat { changed: second, ..base },
            Stat { size: 11, ..base },
            Stat { inode: 2, ..base },
        ];
        for other in others {
            assert_ne!(base.version(later), other.version(later));
        }
    }
}
