//! Ids, partitions, accounts and lease names are any text at all: compared exactly, given back exactly, and never taken
//! for a path, a pattern or a part of a statement.

use std::time::Duration;

use cache_core::schema::section;
use cache_core::{AppPartition, CacheStore, Change, Changes, Entry, EntryId, PartitionKey};

use super::removal::remove_account;
use super::setup::{BOB, PUBLIC, commit_to, expect_only};
use super::{Partitions, Setup};
use crate::entries::{access_token, account, app_metadata, id_token, refresh_token, unknown_section};

macro_rules! texts {
    ($($(#[$doc:meta])* pub async fn $name:ident = $text:expr;)*) => {
        $(
            $(#[$doc])*
            pub async fn $name(setup: &Setup<'_>) {
                let text = String::from($text);
                survives(setup, &text).await;
            }
        )*

        /// Every text of this page, by its case's name.
        fn all() -> Vec<(&'static str, String)> {
            vec![$((stringify!($name), String::from($text))),*]
        }
    };
}

texts! {
    /// No character at all.
    pub async fn empty = "";
    /// One space.
    pub async fn space = " ";
    /// A text with a space at its end.
    pub async fn trailing_space = "key ";
    /// A NUL in the middle.
    pub async fn nul = "a\0b";
    /// A NUL alone.
    pub async fn only_nul = "\0";
    /// Line feeds and carriage returns.
    pub async fn newlines = "a\nb\r\nc\r";
    /// A tab and other control characters.
    pub async fn controls = "\t\u{1}\u{8}\u{1b}[31m\u{7f}\u{85}";
    /// Quotes of every kind.
    pub async fn quotes = "\"'`\u{201c}\u{2019}";
    /// A slash.
    pub async fn slash = "a/b";
    /// A backslash, as in the escapes of JSON.
    pub async fn backslash = "a\\b\\u0041";
    /// The folder itself.
    pub async fn dot = ".";
    /// The folder above.
    pub async fn dots = "..";
    /// A way out of the folder.
    pub async fn traversal = "../../etc/passwd";
    /// A path from the root.
    pub async fn absolute_path = "/etc/passwd";
    /// A device of Windows.
    pub async fn device = "CON";
    /// Characters that Windows keeps out of file names.
    pub async fn file_name_characters = "C:\\<a>|b?*.txt:stream";
    /// A percent escape.
    pub async fn percent = "%2e%2e%2f%00";
    /// An option of a command.
    pub async fn option = "--all";
    /// The end of an SQL statement.
    pub async fn sql = "'; DROP TABLE entries; --";
    /// A pattern of SQL and of Redis.
    pub async fn pattern = "%_*?[a-z]";
    /// A hash tag of Redis Cluster.
    pub async fn hash_tag = "{a}b{c}";
    /// A JSON document.
    pub async fn json = "{\"AccessToken\":{}}";
    /// The word for nothing.
    pub async fn null = "null";
    /// Digits only.
    pub async fn digits = "0123";
    /// The name of a section.
    pub async fn section_name = "AccessToken";
    /// Upper case.
    pub async fn upper_case = "KEY";
    /// The same in lower case.
    pub async fn lower_case = "key";
    /// The Kelvin sign, whose lower case is a plain k.
    pub async fn kelvin = "\u{212a}ey";
    /// A sharp s.
    pub async fn sharp_s = "stra\u{df}e";
    /// What its upper case becomes in lower case again.
    pub async fn double_s = "strasse";
    /// Turkish letters whose case does not map one to one.
    pub async fn turkish = "\u{130}\u{131}i\u{307}";
    /// A letter with its accent in one character.
    pub async fn composed = "\u{e9}";
    /// The same letter and accent in two characters.
    pub async fn decomposed = "e\u{301}";
    /// A letter with many accents.
    pub async fn combining = "a\u{300}\u{301}\u{302}\u{303}\u{304}\u{323}";
    /// An emoji of several characters beyond the first plane.
    pub async fn emoji = "\u{1f469}\u{1f3fd}\u{200d}\u{1f4bb}";
    /// Letters from right to left, with an override of the direction.
    pub async fn right_to_left = "\u{202e}\u{5d0}\u{628}\u{202c}abc";
    /// A byte order mark in front.
    pub async fn byte_order_mark = "\u{feff}key";
    /// Characters that do not show.
    pub async fn invisible = "k\u{200b}e\u{ad}y\u{2060}";
    /// The escape of half a surrogate pair, as text.
    pub async fn looks_like_a_surrogate = "\\ud800";
    /// The character that stands for unreadable ones.
    pub async fn replacement = "\u{fffd}";
    /// The last characters of the first plane and of all planes, and one of private use.
    pub async fn noncharacters = "\u{ffff}\u{10ffff}\u{e000}";
    /// Full-width letters, which some normal forms make plain.
    pub async fn full_width = "\u{ff2b}\u{ff25}\u{ff39}";
    /// 10 kB, longer than a file name, a path, or an index page may be.
    pub async fn long = "k".repeat(10_000);
    /// 10 kB that differ from those in the last byte only.
    pub async fn long_with_another_end = format!("{}l", "k".repeat(9_999));
    /// 10 kB in characters of four bytes.
    pub async fn long_beyond_the_first_plane = "\u{1f511}".repeat(2_500);
}

/// All of these texts are different key texts, in one partition.
pub async fn all_key_texts_are_distinct(setup: &Setup<'_>) {
    let entries: Vec<Entry> = all().iter().map(|(name, text)| refresh_token(text).secret(name).entry()).collect();
    setup.apply(entries.iter().cloned().map(Change::put).collect::<Vec<_>>()).await;
    for n in 0..entries.len() {
        setup.expect_only(&entries[n..].iter().collect::<Vec<_>>()).await;
        setup.apply(vec![Change::remove(entries[n].id.clone())]).await;
    }
    setup.expect_only(&[]).await;
}

/// All of these texts name different unknown sections.
pub async fn all_section_names_are_distinct(setup: &Setup<'_>) {
    let names = all().into_iter().map(|(_, text)| text).filter(|text| !section::ALL.contains(&text.as_str()));
    let entries: Vec<Entry> = names.enumerate().map(|(n, name)| unknown_section(&name, &n.to_string())).collect();
    setup.apply(entries.iter().cloned().map(Change::put).collect::<Vec<_>>()).await;
    setup.expect_only(&entries.iter().collect::<Vec<_>>()).await;
}

/// All of these texts are different home account ids.
pub async fn all_accounts_are_distinct(setup: &Setup<'_>) {
    let texts: Vec<String> = all().into_iter().map(|(_, text)| text).filter(|text| !text.is_empty()).collect();
    let entry = |(n, text): (usize, &String)| refresh_token(&n.to_string()).of(text, PUBLIC[0]).entry();
    let entries: Vec<Entry> = texts.iter().enumerate().map(entry).collect();
    setup.apply(entries.iter().cloned().map(Change::put).collect::<Vec<_>>()).await;
    for (n, text) in texts.iter().enumerate() {
        setup.expect_only(&entries[n..].iter().collect::<Vec<_>>()).await;
        setup.apply(vec![remove_account(text, &PUBLIC)]).await;
    }
    setup.expect_only(&[]).await;
}

/// All of these texts name different partitions.
pub async fn all_partitions_are_distinct(setup: &Setup<'_>) {
    if setup.place().partitions() == Partitions::SharedOnly {
        return; // The place holds one partition only.
    }
    let entry = |name: &str| refresh_token("rt").secret(name).entry();
    for (name, text) in all() {
        commit_to(setup.store(), &PartitionKey::user(&text), vec![Change::put(entry(name))]).await;
    }
    let other = setup.another_handle().await;
    for (name, text) in all() {
        expect_only(&*other, &PartitionKey::user(&text), &[&entry(name)]).await;
    }
    assert_eq!(other.partitions(None, 1000).await.expect("partitions").len(), all().len());
}

async fn survives(setup: &Setup<'_>, text: &str) {
    as_key_and_section(setup, text).await;
    as_account(setup, text).await;
    as_lease_name(setup, text).await;
    if setup.place().partitions() == Partitions::Any {
        as_partition(setup, text).await;
    }
}

/// The key text of an entry in each section, the name of an unknown section, and a value.
async fn as_key_and_section(setup: &Setup<'_>, text: &str) {
    let mut entries = vec![
        access_token(text).secret(text).entry(),
        refresh_token(text).secret(text).entry(),
        id_token(text).entry(),
        account(text).field("username", text).entry(),
        app_metadata(text).entry(),
    ];
    if !section::ALL.contains(&text) {
        entries.push(unknown_section(text, r#"{"x":1}"#));
    }
    setup.apply(entries.iter().cloned().map(Change::put).collect::<Vec<_>>()).await;
    let other = setup.another_handle().await;
    expect_only(&*other, setup.partition(), &entries.iter().collect::<Vec<_>>()).await;
    for n in 0..entries.len() {
        setup.apply(vec![Change::remove(entries[n].id.clone())]).await;
        setup.expect_only(&entries[n + 1..].iter().collect::<Vec<_>>()).await;
    }
}

/// A home account id: its removal takes its entries and no others.
async fn as_account(setup: &Setup<'_>, text: &str) {
    if text.is_empty() {
        return; // An empty id is the absence of one.
    }
    let bob = refresh_token("bob").of(BOB, PUBLIC[0]).entry();
    let entry = refresh_token("rt").of(text, PUBLIC[0]).entry();
    setup.apply(vec![Change::put(bob.clone()), Change::put(entry.clone())]).await;
    setup.expect_only(&[&bob, &entry]).await;
    setup.apply(vec![remove_account(text, &PUBLIC)]).await;
    setup.expect_only(&[&bob]).await;
    setup.apply(vec![Change::remove(bob.id)]).await;
}

/// The name of a lease.
async fn as_lease_name(setup: &Setup<'_>, text: &str) {
    let take = || setup.store().lease(setup.partition(), text, Duration::ZERO);
    let held = take().await.expect("a free lease");
    take().await.expect_err("the lease is held");
    held.release().await.expect("release");
    take().await.expect("a free lease").release().await.expect("release");
}

/// The text in each kind of partition: each is one of its own.
async fn as_partition(setup: &Setup<'_>, text: &str) {
    let PartitionKey::App(app) = PartitionKey::app(text, Some(text)) else { unreachable!("it is an app's") };
    let bound = |app: AppPartition| PartitionKey::from(app.with_pop_key_id(text).with_extended_key_hash(text));
    let mut partitions = vec![
        PartitionKey::user(text),
        PartitionKey::app(text, None),
        PartitionKey::App(app.clone()),
        bound(app),
        PartitionKey::Obo(text.into()),
        PartitionKey::long_running(text),
        PartitionKey::custom(text),
    ];
    let entry = |n: usize| refresh_token("rt").secret(&n.to_string()).entry();
    for (n, partition) in partitions.iter().enumerate() {
        let done = commit_to(setup.store(), partition, Changes::new(vec![Change::put(entry(n))])).await;
        assert_eq!(done.before, None, "a partition is another's");
    }
    let mut listed = setup.store().partitions(None, 100).await.expect("partitions");
    listed.sort();
    partitions.sort();
    assert_eq!(listed, partitions);
    for partition in &partitions {
        let found = setup.store().get(partition, &[EntryId::new("RefreshToken", "rt")]).await.expect("get");
        assert!(found[0].is_some());
        setup.store().remove(partition).await.expect("remove");
        expect_only(setup.store(), partition, &[]).await;
    }
}
