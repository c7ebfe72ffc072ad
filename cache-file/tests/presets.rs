//! Presets as stores: the right file, read-only unless said otherwise, and a warning of what MSAL.NET deletes.

mod common;

use std::fs;
use std::path::PathBuf;

use cache_core::{ErrorKind, Peer};
use cache_file::FileStore;
use cache_file::presets::{Machine, Platform, Preset, ProductCache};
use cache_testkit::fixtures::Fixtures;
use cache_testkit::secrets::capture_traces;

use common::{Folder, SHARED, failure, keys, put};

/// The caches on a machine whose home is this folder.
fn on(platform: Platform, home: &Folder, preset: Preset) -> ProductCache {
    preset.on(&Machine::new(platform, home.path())).expect("a path")
}

/// A home with this document as the cache of a preset on Linux.
fn holding(preset: Preset, document: &[u8]) -> (Folder, PathBuf) {
    let home = Folder::new();
    fs::create_dir_all(home.path().join(".local/share")).expect("made");
    let path = on(Platform::Linux, &home, preset).path().to_owned();
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(&path, document).expect("written");
    (home, path)
}

fn fixture(name: &str) -> Vec<u8> {
    Fixtures::own().named(name).unwrap_or_else(|| panic!("the fixture {name}")).bytes.clone()
}

/// An app token of MSAL Python beside the cache of a user.
fn mixture() -> Vec<u8> {
    let user = String::from_utf8(fixture("net-user-single")).expect("UTF-8");
    let with_app = r#"{"AccessToken":{"app":{"home_account_id":null,"client_id":"c","secret":"planted"},"#;
    user.replacen(r#"{"AccessToken":{"#, with_app, 1).into_bytes()
}

#[test]
fn a_preset_is_read_only_until_that_is_said() {
    let (home, path) = holding(Preset::AzureCli, &fixture("py-user-single"));
    let cache = on(Platform::Linux, &home, Preset::AzureCli);
    let store = cache.store().expect("plaintext").build().expect("a path");
    assert_eq!(store.path(), path);
    assert!(!keys(&store, &SHARED).expect("read").is_empty());
    let error = failure(put(&store, &SHARED, "new"));
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.message().contains("Azure CLI") && error.message().contains("`read_only(false)`"), "{error}");
    assert_eq!(fs::read(&path).expect("read"), fixture("py-user-single"));

    let writable = cache.store().expect("plaintext").read_only(false).build().expect("a path");
    put(&writable, &SHARED, "new").expect("written");
    assert!(keys(&store, &SHARED).expect("read").contains(&"new".to_owned()));
}

#[test]
fn a_preset_of_this_machine_opens_or_names_its_wrapper() {
    for preset in Preset::all() {
        match FileStore::preset(*preset) {
            Ok(builder) => assert!(builder.build().expect("a path").path().is_absolute(), "{preset}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported, "{preset}: {error}"),
        }
    }
}

#[test]
fn what_cannot_be_opened_is_unsupported_and_named() {
    let home = Folder::new();
    for (platform, preset, names) in [
        (Platform::Windows, Preset::AzureCli, "Windows DPAPI"),
        (Platform::Windows, Preset::AzureIdentity, "Windows DPAPI"),
        (
            Platform::Macos,
            Preset::GitCredentialManager,
            "service Microsoft.Developer.IdentityService, account MSALCache",
        ),
        (Platform::Macos, Preset::AzureIdentity, "account MSALCache.nocae"),
        (Platform::Macos, Preset::AzureCliEncrypted, "service my_service_name, account my_account_name"),
        (Platform::Linux, Preset::AzureCliEncrypted, "Secret Service item of schema my_schema_name"),
    ] {
        let error = failure(on(platform, &home, preset).store());
        assert_eq!((error.kind(), error.store()), (ErrorKind::Unsupported, Some("file")), "{error}");
        assert!(error.message().contains(names) && error.message().contains(preset.name()), "{error}");
    }
    for (platform, preset) in [(Platform::Macos, Preset::AzureCli), (Platform::Windows, Preset::AzureCliPlaintext)] {
        assert!(on(platform, &home, preset).store().is_ok(), "{preset}");
    }
    for preset in Preset::all() {
        let opens = on(Platform::Linux, &home, *preset).store().is_ok();
        assert_eq!(opens, *preset != Preset::AzureCliEncrypted, "{preset}");
    }
}

#[test]
fn what_the_product_has_protected_is_left_to_it() {
    let (home, _) = holding(Preset::AzureIdentity, b"eyJhbGciOiJkaXIifQ..AAAA.BBBB.CCCC");
    let store = on(Platform::Linux, &home, Preset::AzureIdentity).store().expect("it may be plaintext");
    let error = failure(keys(&store.build().expect("a path"), &SHARED));
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.message().contains("Azure SDK") && !error.message().contains("move it"), "{error}");
}

#[test]
fn a_cache_tells_its_locks_and_whether_it_may_come_back() {
    let home = Folder::new();
    let cli = on(Platform::Linux, &home, Preset::AzureCli);
    assert_eq!(cli.lock_file(), home.path().join(".azure/msal_token_cache.json.lockfile"));
    assert_eq!((cli.java_lock_file(), cli.libraries()), (None, vec![Peer::Python]));
    assert!(!cli.may_restore_missing() && cli.may_be_plaintext() && !cli.may_be_marker());

    let identity = on(Platform::Linux, &home, Preset::AzureIdentity);
    assert_eq!(identity.java_lock_file(), Some(home.path().join(".IdentityService/.lockfile")));
    assert!(identity.has(Peer::Java) && !identity.has(Peer::DotNet));
    assert!(!identity.may_restore_missing() && identity.may_be_plaintext() && identity.may_be_marker());

    for platform in [Platform::Linux, Platform::Macos, Platform::Windows] {
        assert!(on(platform, &home, Preset::GitCredentialManager).may_restore_missing());
        for preset in [Preset::AzureCli, Preset::AzureCliEncrypted, Preset::AzureCliPlaintext] {
            assert!(!on(platform, &home, preset).may_restore_missing());
        }
    }
}

#[test]
fn a_mixture_is_warned_about_once_where_dotnet_takes_part() {
    for (preset, warnings) in
        [(Preset::GitCredentialManager, 1), (Preset::AzureIdentityDotnet, 1), (Preset::AzureCli, 0)]
    {
        let (home, _) = holding(preset, &mixture());
        let store = || on(Platform::Linux, &home, preset).store().expect("plaintext");
        let reader = store().build().expect("a path");
        let traces = capture_traces(|| {
            keys(&reader, &SHARED).expect("read");
            keys(&reader, &SHARED).expect("read");
        });
        assert_eq!(traces.matches("deletes it as it is").count(), warnings, "{preset}: {traces}");
        assert!(!traces.contains("planted"), "{traces}");

        let writer = store().read_only(false).build().expect("a path");
        let traces = capture_traces(|| drop(put(&writer, &SHARED, "new").expect("written")));
        assert_eq!(traces.matches("deletes it as it is").count(), warnings, "{preset}: {traces}");
    }
}

#[test]
fn a_sound_cache_of_dotnet_raises_no_warning() {
    let (home, _) = holding(Preset::GitCredentialManager, &fixture("net-user-single"));
    let traces = capture_traces(|| {
        let store = on(Platform::Linux, &home, Preset::GitCredentialManager).store().expect("plaintext");
        keys(&store.build().expect("a path"), &SHARED).expect("read");
    });
    assert!(!traces.contains("deletes the file"), "{traces}");
}
