//! What a process has asked of the disk: the system calls that `strace` wrote down, in order.

use std::collections::HashMap;
use std::path::Path;

/// One system call that succeeded, as far as files and acknowledgements are concerned.
#[derive(Debug)]
pub(crate) enum Event {
    Open {
        fd: i32,
        path: String,
        creates: bool,
        truncates: bool,
    },
    Write {
        fd: i32,
        at: u64,
        bytes: Vec<u8>,
    },
    Truncate {
        fd: i32,
        length: u64,
    },
    Sync {
        fd: i32,
    },
    Close {
        fd: i32,
    },
    Unlink {
        path: String,
    },
    Rename {
        from: String,
        to: String,
    },
    Link {
        from: String,
        to: String,
    },
    /// A line of the worker: it stands in the log where it was said.
    Said(String),
}

/// The program that a worker runs under so that its calls are written to `log`.
pub(crate) fn tracer(log: &str) -> Vec<&str> {
    const CALLS: &str = "trace=openat,pwrite64,write,ftruncate,fsync,fdatasync,unlink,unlinkat,rename,renameat,renameat2,\
                         link,linkat,close";
    vec!["strace", "-f", "-y", "-xx", "-s", "10000000", "-e", CALLS, "-o", log]
}

pub(crate) fn read(log: &Path) -> Vec<Event> {
    let log = std::fs::read_to_string(log).expect("strace writes ASCII with -xx");
    let mut unfinished: HashMap<&str, &str> = HashMap::new();
    let mut events = Vec::new();
    for line in log.lines() {
        let (thread, call) = line.split_once(' ').expect("a thread and its call");
        let call = call.trim_start();
        if let Some(begun) = call.strip_suffix(" <unfinished ...>") {
            unfinished.insert(thread, begun);
        } else if let Some(resumed) = call.strip_prefix("<... ") {
            let begun = unfinished.remove(thread).expect("what is resumed was begun");
            let (_, rest) = resumed.split_once(" resumed>").expect("the rest of the call");
            events.extend(event(&format!("{begun}{rest}")));
        } else {
            events.extend(event(call));
        }
    }
    events
}

/// `name(arguments) = result`; `None`: it failed, or is no call.
fn event(line: &str) -> Option<Event> {
    let (name, rest) = line.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(" = ")?;
    // Every text and path is in hex, so that a comma only ever stands between arguments.
    let arguments: Vec<&str> = arguments.trim_end().strip_suffix(')')?.split(", ").collect();
    let result: i64 = result.split(['<', ' ']).next()?.parse().ok().filter(|result| *result >= 0)?;
    let descriptor = || arguments[0].split('<').next()?.parse::<i32>().ok();
    let path = |n: usize| Some(String::from_utf8(bytes(arguments.get(n)?)).expect("an ordinary path"));
    Some(match name {
        "openat" => {
            let flags = arguments[2];
            let (creates, truncates) = (flags.contains("O_CREAT"), flags.contains("O_TRUNC"));
            Event::Open { fd: i32::try_from(result).ok()?, path: path(1)?, creates, truncates }
        }
        "pwrite64" => {
            let mut bytes = bytes(arguments[1]);
            bytes.truncate(usize::try_from(result).ok()?);
            Event::Write { fd: descriptor()?, at: arguments[3].parse().expect("an offset"), bytes }
        }
        // Databases are written at offsets; a plain write is a line.
        "write" => {
            let said = String::from_utf8(bytes(arguments[1])).ok()?;
            let line = said.strip_prefix("\n@worker \"")?.strip_suffix("\"\n")?;
            Event::Said(line.to_owned())
        }
        "ftruncate" => Event::Truncate { fd: descriptor()?, length: arguments[1].parse().expect("a length") },
        "fsync" | "fdatasync" => Event::Sync { fd: descriptor()? },
        "close" => Event::Close { fd: descriptor()? },
        "unlink" => Event::Unlink { path: path(0)? },
        "unlinkat" => Event::Unlink { path: path(1)? },
        "rename" => Event::Rename { from: path(0)?, to: path(1)? },
        "renameat" | "renameat2" => Event::Rename { from: path(1)?, to: path(3)? },
        "link" => Event::Link { from: path(0)?, to: path(1)? },
        "linkat" => Event::Link { from: path(1)?, to: path(3)? },
        _ => return None,
    })
}

/// The bytes of `"\x2f\x74"`.
fn bytes(text: &str) -> Vec<u8> {
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).expect("a whole text");
    let mut bytes = Vec::with_capacity(text.len() / 4);
    for byte in text.as_bytes().chunks(4) {
        let digit = |digit: u8| char::from(digit).to_digit(16).expect("a hex digit") as u8;
        assert!(byte.starts_with(b"\\x") && byte.len() == 4, "strace was asked for hex");
        bytes.push(digit(byte[2]) << 4 | digit(byte[3]));
    }
    bytes
}

#[test]
fn calls_are_read() {
    let read = |line: &str| event(line).map(|event| format!("{event:?}"));
    let open = r#"openat(AT_FDCWD<\x2f>, "\x2f\x61", O_RDWR|O_CREAT|O_CLOEXEC, 0600) = 5<\x2f\x61>"#;
    let expected = r#"Open { fd: 5, path: "/a", creates: true, truncates: false }"#;
    assert_eq!(read(open).as_deref(), Some(expected));
    let write = r#"pwrite64(5<\x2f\x61>, "\x01\x02\xff", 3, 4096) = 2"#;
    assert_eq!(read(write).as_deref(), Some("Write { fd: 5, at: 4096, bytes: [1, 2] }"));
    let said = r#"write(1<\x70>, "\x0a\x40\x77\x6f\x72\x6b\x65\x72\x20\x22\x37\x22\x0a", 13) = 13"#;
    assert_eq!(read(said).as_deref(), Some(r#"Said("7")"#));
    assert_eq!(read("fdatasync(7<\\x2f\\x61>)            = 0").as_deref(), Some("Sync { fd: 7 }"));
    assert_eq!(read(r#"unlink("\x2f\x61") = -1 ENOENT (No such file or directory)"#), None);
    assert_eq!(read("+++ exited with 0 +++"), None);
}
