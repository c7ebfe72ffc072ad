//! A disk that loses power: what was synced is there, of everything since then any part may be.
//!
//! It promises no more than POSIX does: a file's content is safe after a sync of the file, its name after a sync of the
//! folder, and nothing has an order but by such a sync. Sectors of 512 bytes are written whole or not at all.

use std::collections::{BTreeMap, HashMap};

use crate::log::Event;
use cache_testkit::random::Random;

/// The folder of a database, as the system calls of a process have made it.
pub(crate) struct Disk {
    folder: String,
    /// Files with names that end in this lose what is synced as well: a disk that lies about them.
    lies_about: Option<&'static str>,
    files: Vec<File>,
    /// What each name has stood for since the folder was last synced; the first of it is durable, the last is now.
    names: BTreeMap<String, Vec<Option<usize>>>,
    open: HashMap<i32, Handle>,
}

/// What a loss of power leaves of that which was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    Nothing,
    Everything,
    /// Some of it: single names, single writes, single sectors of a write.
    Some,
}

/// What is in the folder afterwards, by name.
pub(crate) type Image = BTreeMap<String, Vec<u8>>;

#[derive(Default)]
struct File {
    is_lied_about: bool,
    durable: Vec<u8>,
    since: Vec<Change>,
}

enum Change {
    Write(u64, Vec<u8>),
    Truncate(u64),
}

#[derive(Clone, Copy)]
enum Handle {
    File(usize),
    Folder,
}

impl Disk {
    pub(crate) fn new(folder: &str, lies_about: Option<&'static str>) -> Self {
        let folder = folder.trim_end_matches('/').to_owned();
        Self { folder, lies_about, files: Vec::new(), names: BTreeMap::new(), open: HashMap::new() }
    }

    /// Does what the call did; answers whether that was anything that a loss of power can show.
    pub(crate) fn apply(&mut self, event: &Event) -> bool {
        match event {
            Event::Open { fd, path, creates, truncates } => {
                self.open.remove(fd);
                if *path == self.folder {
                    self.open.insert(*fd, Handle::Folder);
                } else if let Some(name) = self.name(path) {
                    let file = match self.present(&name) {
                        Some(file) => file,
                        None if *creates => self.create(name),
                        None => panic!("{name} was there before the log began"),
                    };
                    if *truncates {
                        self.files[file].since.push(Change::Truncate(0));
                    }
                    self.open.insert(*fd, Handle::File(file));
                    return *creates;
                }
                false
            }
            Event::Write { fd, at, bytes } => self.change(*fd, || Change::Write(*at, bytes.clone())),
            Event::Truncate { fd, length } => self.change(*fd, || Change::Truncate(*length)),
            Event::Sync { fd } => {
                self.sync(*fd);
                self.open.contains_key(fd)
            }
            Event::Close { fd } => {
                self.open.remove(fd);
                false
            }
            Event::Unlink { path } => self.set_name(path, None),
            Event::Rename { from, to } => {
                let file = self.name(from).and_then(|name| self.present(&name));
                self.set_name(to, file) | self.set_name(from, None)
            }
            Event::Link { from, to } => {
                let file = self.name(from).and_then(|name| self.present(&name));
                self.set_name(to, file)
            }
            Event::Said(_) => false,
        }
    }

    /// What is there if the power goes now. The shared memory of the log is lost; it is no file but in name.
    pub(crate) fn image(&self, left: Left, random: &mut Random) -> Image {
        let mut image = Image::new();
        for (name, since) in self.names.iter().filter(|(name, _)| !name.ends_with("-shm")) {
            let file = match left {
                Left::Nothing => since[0],
                Left::Everything => since[since.len() - 1],
                Left::Some => since[random.below(since.len())],
            };
            if let Some(file) = file {
                image.insert(name.clone(), self.files[file].content(left, random));
            }
        }
        image
    }

    /// The name within the folder; `None`: it lies elsewhere.
    fn name(&self, path: &str) -> Option<String> {
        path.strip_prefix(&self.folder)?.strip_prefix('/').map(str::to_owned)
    }

    fn present(&self, name: &str) -> Option<usize> {
        *self.names.get(name)?.last()?
    }

    fn create(&mut self, name: String) -> usize {
        let is_lied_about = self.lies_about.is_some_and(|suffix| name.ends_with(suffix));
        self.files.push(File { is_lied_about, ..File::default() });
        let file = self.files.len() - 1;
        self.names.entry(name).or_insert_with(|| vec![None]).push(Some(file));
        file
    }

    fn set_name(&mut self, path: &str, file: Option<usize>) -> bool {
        let Some(name) = self.name(path) else { return false };
        self.names.entry(name).or_insert_with(|| vec![None]).push(file);
        true
    }

    fn change(&mut self, fd: i32, change: impl FnOnce() -> Change) -> bool {
        let Some(Handle::File(file)) = self.open.get(&fd) else { return false };
        self.files[*file].since.push(change());
        true
    }

    fn sync(&mut self, fd: i32) {
        match self.open.get(&fd) {
            Some(Handle::File(file)) => self.files[*file].sync(),
            Some(Handle::Folder) => {
                for since in self.names.values_mut() {
                    since.drain(..since.len() - 1);
                }
            }
            None => {}
        }
    }
}

impl File {
    fn sync(&mut self) {
        if !self.is_lied_about {
            for change in std::mem::take(&mut self.since) {
                change.apply(&mut self.durable, |_| true);
            }
        }
    }

    fn content(&self, left: Left, random: &mut Random) -> Vec<u8> {
        let mut content = self.durable.clone();
        for change in &self.since {
            match left {
                Left::Nothing => {}
                Left::Everything => change.apply(&mut content, |_| true),
                // Whole, not at all, or torn.
                Left::Some => match random.below(4) {
                    0 => {}
                    1 | 2 => change.apply(&mut content, |_| true),
                    _ => change.apply(&mut content, |_| random.coin()),
                },
            }
        }
        content
    }
}

impl Change {
    /// Changes the content, of a write those sectors that `keeps` says.
    fn apply(&self, content: &mut Vec<u8>, mut keeps: impl FnMut(u64) -> bool) {
        const SECTOR: u64 = 512;
        match self {
            Self::Truncate(length) => {
                if keeps(0) {
                    content.resize(usize::try_from(*length).expect("files are small"), 0);
                }
            }
            Self::Write(at, bytes) => {
                let mut at = *at;
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let room = usize::try_from(SECTOR - at % SECTOR).expect("a sector is small");
                    let (part, next) = rest.split_at(room.min(rest.len()));
                    if keeps(at / SECTOR) {
                        let start = usize::try_from(at).expect("files are small");
                        content.resize(content.len().max(start + part.len()), 0);
                        content[start..start + part.len()].copy_from_slice(part);
                    }
                    at += part.len() as u64;
                    rest = next;
                }
            }
        }
    }
}

#[test]
fn what_is_not_synced_may_be_lost_and_what_is_synced_is_there() {
    let mut random = Random(1);
    let open = |fd, path: &str| Event::Open { fd, path: path.into(), creates: true, truncates: false };
    let write = |at, length| Event::Write { fd: 3, at, bytes: vec![1; length] };
    for (lies_about, synced) in [(None, 600), (Some("-wal"), 0)] {
        let mut disk = Disk::new("/d", lies_about);
        for event in [open(3, "/d/a-wal"), write(0, 600), Event::Sync { fd: 3 }] {
            disk.apply(&event);
        }
        assert!(disk.image(Left::Nothing, &mut random).is_empty(), "its name is not synced");
        for event in [open(4, "/d"), Event::Sync { fd: 4 }, write(600, 1000)] {
            disk.apply(&event);
        }
        assert_eq!(disk.image(Left::Nothing, &mut random)["a-wal"].len(), synced);
        assert_eq!(disk.image(Left::Everything, &mut random)["a-wal"], [1; 1600]);
        let torn = (0..100).map(|_| disk.image(Left::Some, &mut random)["a-wal"].clone());
        let torn: std::collections::BTreeSet<Vec<u8>> = torn.collect();
        assert!(torn.len() > 4, "in every way: {}", torn.len());
        assert!(torn.iter().all(|content| content[..synced].iter().all(|byte| *byte == 1)));
    }
}
