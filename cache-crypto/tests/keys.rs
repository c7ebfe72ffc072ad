//! Key rings, key sources, key files and passphrase files.

use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::thread;

use cache_core::{Context, Error, ErrorKind, PartitionKey, Protector, Result};
use cache_crypto::{Argon2Params, Envelope, Key, KeyId, KeyRing, KeySource, Passphrase};

const SHARED: PartitionKey = PartitionKey::Shared;

fn place() -> Context<'static> {
    Context::document("file", &SHARED)
}

fn key(byte: u8) -> Key {
    Key::from_bytes(&[byte; Key::LEN])
}

fn passphrase(words: &str) -> Passphrase {
    Passphrase::new(words).expect("words").with_params(Argon2Params::new(16, 1, 1).expect("in bounds"))
}

fn protect(protector: &Envelope) -> Vec<u8> {
    protector.protect(b"tokens", &place()).expect("protected")
}

fn opens(protector: &Envelope, protected: &[u8]) -> bool {
    match protector.unprotect(protected, &place()) {
        Ok(plaintext) => plaintext.expose() == b"tokens",
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::Undecryptable | ErrorKind::KeyUnavailable), "{error}");
            false
        }
    }
}

#[test]
fn a_ring_protects_with_its_first_key_and_opens_with_all() {
    let old = [
        protect(&Envelope::with_key(key(1))),
        protect(&Envelope::with_key(key(2))),
        protect(&Envelope::with_passphrase(passphrase("old words"))),
    ];
    let ring = KeyRing::from(key(3)).and(KeyRing::from(key(2)).and(key(1))).and(passphrase("old words"));
    let ring = Envelope::with_key_ring(ring);
    for protected in &old {
        ring.prepare(Some(protected)).expect("known");
        assert!(opens(&ring, protected));
    }
    let new = protect(&ring);
    assert!(opens(&Envelope::with_key(key(3)), &new));
    assert!(!opens(&Envelope::with_key(key(2)), &new));
}

#[test]
fn a_passphrase_can_take_over_from_a_key() {
    let old = protect(&Envelope::with_key(key(1)));
    let ring = Envelope::with_key_ring(KeyRing::from(passphrase("words")).and(key(1)));
    assert!(opens(&ring, &old));
    let new = protect(&ring);
    assert!(opens(&Envelope::with_passphrase(passphrase("words")), &new));
    assert!(!opens(&Envelope::with_key(key(1)), &new));
}

#[test]
fn two_keys_under_one_id_are_told_apart() {
    let id = KeyId::new([5; KeyId::LEN]);
    let protected = protect(&Envelope::with_key(key(1).with_id(id)));
    for other in [Envelope::with_key(key(2).with_id(id)), Envelope::with_key_ring(key(2).with_id(id).into())] {
        let error = other.unprotect(&protected, &place()).expect_err("another key");
        assert_eq!(error.kind(), ErrorKind::Undecryptable);
    }
}

/// A key service whose newest key is the last, which notes its calls and can be away.
#[derive(Debug)]
struct Service {
    keys: &'static Mutex<Vec<Key>>,
    calls: &'static Mutex<Vec<&'static str>>,
}

impl Service {
    fn with_keys(keys: Vec<Key>) -> (Envelope, &'static Mutex<Vec<Key>>, &'static Mutex<Vec<&'static str>>) {
        let (keys, calls) = (&*Box::leak(Box::new(Mutex::new(keys))), &*Box::leak(Box::default()));
        (Envelope::with_source(Self { keys, calls }), keys, calls)
    }

    fn ask<R>(&self, call: &'static str, look: impl FnOnce(&[Key]) -> R) -> Result<R> {
        self.calls.lock().expect("no panic").push(call);
        let keys = self.keys.lock().expect("no panic");
        if keys.is_empty() { Err(Error::new(ErrorKind::Unavailable, "the service is away")) } else { Ok(look(&keys)) }
    }
}

impl KeySource for Service {
    fn name(&self) -> &'static str {
        "service"
    }

    fn current(&self) -> Result<Key> {
        self.ask("current", |keys| keys[keys.len() - 1].clone())
    }

    fn find(&self, id: KeyId) -> Result<Option<Key>> {
        self.ask("find", |keys| keys.iter().find(|key| key.id() == id).cloned())
    }
}

#[test]
fn after_prepare_a_source_is_not_called() {
    let (protector, _, calls) = Service::with_keys(vec![key(1), key(2)]);
    let protected = protect(&Envelope::with_key(key(1)));
    protector.prepare(Some(&protected)).expect("known");
    assert_eq!(*calls.lock().expect("no panic"), ["find", "current"]);
    assert!(opens(&protector, &protected));
    let new = protect(&protector);
    assert!(opens(&protector, &new));
    assert!(opens(&Envelope::with_key(key(2)), &new));
    assert_eq!(calls.lock().expect("no panic").len(), 2);
}

#[test]
fn a_rotation_at_the_source_is_seen_by_the_next_prepare() {
    let (protector, keys, _) = Service::with_keys(vec![key(1)]);
    protector.prepare(None).expect("at hand");
    let old = protect(&protector);
    keys.lock().expect("no panic").push(key(2));
    protector.prepare(Some(&old)).expect("at hand");
    assert!(opens(&Envelope::with_key(key(2)), &protect(&protector)));
    assert!(opens(&protector, &old));
}

#[test]
fn an_outage_of_a_source_is_not_an_unknown_key() {
    let (protector, keys, _) = Service::with_keys(vec![key(1)]);
    let protected = protect(&protector);
    keys.lock().expect("no panic").clear();
    protector.prepare(Some(&protected)).expect("the key was kept");
    assert!(opens(&protector, &protected));
    assert_eq!(protector.prepare(None).expect_err("away").kind(), ErrorKind::Unavailable);

    let (protector, ..) = Service::with_keys(vec![]);
    for error in [
        protector.prepare(Some(&protected)).expect_err("away"),
        protector.unprotect(&protected, &place()).expect_err("away"),
        protector.protect(b"tokens", &place()).expect_err("away"),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unavailable);
    }
}

#[test]
fn a_key_of_the_ring_opens_while_a_source_is_away() {
    let keys = &*Box::leak(Box::default());
    let ring = KeyRing::from_source(Service { keys, calls: Box::leak(Box::default()) }).and(key(1));
    let ring = Envelope::with_key_ring(ring);
    let protected = protect(&Envelope::with_key(key(1)));
    ring.prepare(Some(&protected)).expect("reading needs no key to write with");
    assert!(opens(&ring, &protected));
    let foreign = protect(&Envelope::with_key(key(2)));
    assert_eq!(ring.unprotect(&foreign, &place()).expect_err("perhaps").kind(), ErrorKind::Unavailable);
}

fn write(path: &Path, content: &[u8], mode: u32) {
    let mut file = std::fs::File::create(path).expect("created");
    file.write_all(content).expect("written");
    set_mode(path, mode);
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("mode set");
}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: u32) {}

#[test]
fn a_key_file_is_created_once_and_read_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cache.key");
    let missing = Key::from_file(&path).expect_err("nothing there");
    assert_eq!(missing.kind(), ErrorKind::KeyUnavailable);

    let created = Key::create_file(&path).expect("created");
    let content = std::fs::read(&path).expect("readable");
    assert_eq!(content.len(), 45, "base64 and a newline");
    for again in [Key::from_file(&path), Key::from_file_or_create(&path)] {
        assert_eq!(again.expect("read").expose(), created.expose());
    }
    let exists = Key::create_file(&path).expect_err("never overwritten");
    assert_eq!(exists.kind(), ErrorKind::InvalidInput);
    assert_eq!(std::fs::read(&path).expect("readable"), content);
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1, "no temporary file stays");
    assert_eq!(Envelope::with_key(created).describe(), "AES-256-GCM, key file");
}

#[test]
fn all_that_create_a_key_file_at_once_get_one_key() {
    let folder = tempfile::tempdir().expect("a folder");
    for round in 0..20 {
        let path = folder.path().join(format!("{round}.key"));
        let ids: Vec<KeyId> = thread::scope(|scope| {
            let create = || Key::from_file_or_create(&path).expect("read or created").id();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(create)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert!(ids.iter().all(|id| *id == ids[0]));
    }
}

#[test]
fn a_key_file_without_a_key_is_invalid() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cache.key");
    for content in [b"".as_slice(), b"words", &[0x80; 31], &[0x80; 33], &[b'a'; 4096], &[b'a'; 4097]] {
        write(&path, content, 0o600);
        let error = Key::from_file(&path).expect_err("no key");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.message().contains("cache.key"), "{error}");
        assert_eq!(Key::from_file_or_create(&path).expect_err("kept").kind(), ErrorKind::InvalidInput);
        assert_eq!(std::fs::read(&path).expect("readable"), content);
    }
}

#[test]
fn a_passphrase_file_loses_one_line_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("words");
    let read = || {
        let params = Argon2Params::new(16, 1, 1).expect("in bounds");
        Passphrase::from_file(&path).map(|passphrase| Envelope::with_passphrase(passphrase.with_params(params)))
    };
    for (content, words) in [
        ("words", "words"),
        ("words\n", "words"),
        ("words\r\n", "words"),
        ("words\n\n", "words\n"),
        (" w\u{f6}rds ", " w\u{f6}rds "),
        ("words\r", "words\r"),
        (&"w".repeat(4096), &"w".repeat(4096)),
    ] {
        write(&path, content.as_bytes(), 0o600);
        let protected = protect(&Envelope::with_passphrase(passphrase(words)));
        assert!(opens(&read().expect("words"), &protected), "{content:?}");
    }
    for content in [b"".as_slice(), b"\n", b"\r\n", b"\xFF\xFE", &[b'a'; 4097]] {
        write(&path, content, 0o600);
        assert_eq!(read().expect_err("no words").kind(), ErrorKind::InvalidInput);
    }
    std::fs::remove_file(&path).expect("removed");
    assert_eq!(read().expect_err("no file").kind(), ErrorKind::KeyUnavailable);
}

/// The mode is read, not tried, so root sees the same.
#[cfg(unix)]
#[test]
fn files_that_others_may_access_are_denied() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cache.key");
    for mode in [0o644, 0o640, 0o660, 0o604, 0o620, 0o602, 0o610, 0o601, 0o444] {
        write(&path, &[0x80; 32], mode);
        assert_eq!(Key::from_file(&path).expect_err("shared").kind(), ErrorKind::Denied, "{mode:o}");
        assert_eq!(Passphrase::from_file(&path).expect_err("shared").kind(), ErrorKind::Denied, "{mode:o}");
        assert_eq!(Key::from_file_or_create(&path).expect_err("shared").kind(), ErrorKind::Denied, "{mode:o}");
    }
    for mode in [0o600, 0o400, 0o700] {
        set_mode(&path, mode);
        assert_eq!(Key::from_file(&path).expect("private").expose(), [0x80; 32]);
    }
}

#[cfg(unix)]
#[test]
fn links_are_read_and_never_replaced() {
    use std::os::unix::fs::symlink;

    let folder = tempfile::tempdir().expect("a folder");
    let [path, link, dangling] = ["cache.key", "link", "dangling"].map(|name| folder.path().join(name));
    let key = Key::create_file(&path).expect("created");
    symlink(&path, &link).expect("linked");
    symlink(folder.path().join("nothing"), &dangling).expect("linked");

    assert_eq!(Key::from_file(&link).expect("read").expose(), key.expose());
    for link in [&link, &dangling] {
        assert_eq!(Key::create_file(link).expect_err("a link is there").kind(), ErrorKind::InvalidInput);
        assert!(link.symlink_metadata().expect("still there").is_symlink());
    }
    assert_eq!(Key::from_file_or_create(&dangling).expect_err("leads nowhere").kind(), ErrorKind::KeyUnavailable);
    set_mode(&path, 0o644);
    assert_eq!(Key::from_file(&link).expect_err("the file's own mode counts").kind(), ErrorKind::Denied);
}

#[cfg(unix)]
#[test]
fn what_is_no_regular_file_is_denied_without_waiting() {
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg("-m600").arg(&pipe).status().expect("mkfifo runs");
    assert!(made.success());
    for path in [folder.path(), Path::new("/dev/zero"), &pipe] {
        assert_eq!(Key::from_file(path).expect_err("no file").kind(), ErrorKind::Denied, "{}", path.display());
    }
}

#[cfg(unix)]
#[test]
fn a_key_file_cannot_be_created_in_a_folder_that_is_not_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let error = Key::from_file_or_create(folder.path().join("missing/cache.key")).expect_err("no folder");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

/// Runs one ignored test of this file in a process of its own; `command` starts this program.
#[cfg(unix)]
fn in_a_process(command: &mut std::process::Command, test: &str, path: &Path) {
    command.args(["--exact", test, "--ignored"]).env("TEST_PATH", path).stdout(std::process::Stdio::null());
    assert!(command.status().expect("started").success(), "{test} failed; run it with TEST_PATH set to see why");
}

#[cfg(unix)]
#[test]
fn new_key_files_are_private_whatever_the_umask() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().expect("a folder");
    for umask in ["000", "022", "077"] {
        let path = folder.path().join(umask);
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "umask \"$1\"; shift; exec \"$@\"", "sh", umask]);
        in_a_process(command.arg(std::env::current_exe().expect("this program")), "child_creates", &path);
        assert_eq!(path.metadata().expect("created").permissions().mode() & 0o777, 0o600);
    }
}

/// Root may read everything, so the child runs as another user where this test runs as root.
#[cfg(unix)]
#[test]
fn a_file_that_may_not_be_read_is_denied() {
    use std::os::unix::fs::MetadataExt as _;

    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cache.key");
    write(&path, &[0x80; 32], 0o600);
    let program = std::env::current_exe().expect("this program");
    if path.metadata().expect("written").uid() == 0 {
        // The program may stand in a folder that only root may enter, so it is run from here.
        set_mode(folder.path(), 0o755);
        let copy = folder.path().join("program");
        std::fs::copy(program, &copy).expect("copied");
        let mut command = std::process::Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(copy);
        in_a_process(&mut command, "child_is_denied", &path);
    } else {
        set_mode(&path, 0o000);
        in_a_process(&mut std::process::Command::new(program), "child_is_denied", &path);
    }
}

#[cfg(unix)]
#[test]
#[ignore = "runs in a process of its own, started by another test"]
fn child_creates() {
    Key::create_file(std::env::var_os("TEST_PATH").expect("the path")).expect("created");
}

#[cfg(unix)]
#[test]
#[ignore = "runs in a process of its own, started by another test"]
fn child_is_denied() {
    let error = Key::from_file(std::env::var_os("TEST_PATH").expect("the path")).expect_err("no access");
    assert_eq!(error.kind(), ErrorKind::Denied);
}
