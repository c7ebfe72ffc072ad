//! What a terminal gets: tables and colour, and no secrets by accident.

use std::fs::File;
use std::io::Read as _;
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::sandbox::Sandbox;

/// Runs the command with a terminal as its standard output; answers the exit code and what the terminal got.
fn on_a_terminal(sandbox: &Sandbox, arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&master).and_then(|()| unlockpt(&master)).expect("usable");
    let name = ptsname(&master, Vec::new()).expect("its name");
    let slave = open(&*name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("the other side");

    let whole = sandbox.command(arguments);
    let mut command = Command::new(whole.get_program());
    command.args(whole.get_args()).env_remove("TOKENCACHE_PASSPHRASE").env_remove("NO_COLOR").env("TERM", "xterm");
    command.envs(environment.iter().copied());
    let mut child = command.stdout(Stdio::from(slave)).stderr(Stdio::null()).spawn().expect("it starts");
    // The command holds the terminal's other side until it is dropped.
    drop(command);
    let (mut shown, mut buffer) = (Vec::new(), [0; 4096]);
    let mut master = File::from(master);
    // Once nobody holds the other side, reading fails.
    while let Ok(length @ 1..) = master.read(&mut buffer) {
        shown.extend_from_slice(&buffer[..length]);
    }
    let status = child.wait().expect("it ends");
    (status.code(), String::from_utf8(shown).expect("UTF-8"))
}

#[test]
fn a_terminal_gets_a_table_in_colour() {
    let sandbox = Sandbox::of("net-user-single");
    let (code, shown) = on_a_terminal(&sandbox, &["list"], &[]);
    assert_eq!(code, Some(0));
    assert!(shown.contains("Access tokens (1)") && shown.contains("\u{1b}[1m"), "{shown}");
}

#[test]
fn no_color_is_respected() {
    let sandbox = Sandbox::of("net-user-single");
    let (_, shown) = on_a_terminal(&sandbox, &["list"], &[("NO_COLOR", "1")]);
    assert!(shown.contains("Access tokens (1)") && !shown.contains('\u{1b}'), "{shown}");
    let (_, shown) = on_a_terminal(&sandbox, &["list", "-o", "json"], &[]);
    assert!(shown.starts_with('{') && !shown.contains('\u{1b}'), "{shown}");
}

#[test]
fn a_terminal_gets_no_export_unless_forced() {
    let sandbox = Sandbox::of("net-user-single");
    assert_eq!(on_a_terminal(&sandbox, &["export"], &[]), (Some(1), String::new()));
    let (code, shown) = on_a_terminal(&sandbox, &["export", "--force"], &[]);
    assert_eq!(code, Some(0));
    assert!(shown.starts_with(r#"{"AccessToken":{"#), "{shown}");
    let target = sandbox.path("out.json");
    let (code, shown) = on_a_terminal(&sandbox, &["export", "--to", target.to_str().expect("UTF-8")], &[]);
    assert_eq!(code, Some(0));
    assert!(shown.starts_with("5 entries written to"), "{shown}");
}
