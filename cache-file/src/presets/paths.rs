//! Where the products keep their caches.

use std::path::{Path, PathBuf};

use cache_core::{Error, ErrorKind, Result};

use super::{Machine, Platform, Preset};
use crate::NAME;

/// The folder of the caches that developer tools share, in one or another folder of the user.
const IDENTITY_SERVICE: &str = ".IdentityService";

/// The path of the cache file.
pub(super) fn path(preset: Preset, machine: &Machine) -> Result<PathBuf> {
    let is_windows = machine.platform() == Platform::Windows;
    Ok(match preset {
        Preset::AzureCli if is_windows => azure_cli(machine)?.join("msal_token_cache.bin"),
        Preset::AzureCli | Preset::AzureCliPlaintext => azure_cli(machine)?.join("msal_token_cache.json"),
        Preset::AzureCliEncrypted => azure_cli(machine)?.join("msal_token_cache.bin"),
        Preset::AzureIdentity => user_folder(machine, "")?.join(IDENTITY_SERVICE).join("msal.cache.nocae"),
        Preset::AzureIdentityCae => user_folder(machine, "")?.join(IDENTITY_SERVICE).join("msal.cache.cae"),
        Preset::AzureIdentityDotnet => dotnet(machine, "msal.cache.nocae")?,
        Preset::AzureIdentityDotnetCae | Preset::AzurePowerShell => dotnet(machine, "msal.cache.cae")?,
        Preset::GitCredentialManager | Preset::DeveloperTools => {
            user_folder(machine, ".local")?.join(IDENTITY_SERVICE).join("msal.cache")
        }
        Preset::GitCredentialManagerApp => home(machine)?.join(".gcm").join("msal").join("app.cache"),
    })
}

/// `AZURE_CONFIG_DIR`, or `~/.azure`.
fn azure_cli(machine: &Machine) -> Result<PathBuf> {
    match machine.variable("AZURE_CONFIG_DIR") {
        Some(dir) => Ok(machine.working_dir().join(dir)),
        None => Ok(home(machine)?.join(".azure")),
    }
}

/// The local application data on Windows; elsewhere the home folder, or `below` it.
fn user_folder(machine: &Machine, below: &str) -> Result<PathBuf> {
    match machine.platform() {
        Platform::Windows => local_app_data(machine),
        Platform::Linux | Platform::Macos => Ok(home(machine)?.join(below)),
    }
}

/// A cache in what .NET calls the local application data. On Unix, .NET takes a folder that does not exist for none at
/// all, and the path becomes relative. On macOS the folder is another one since .NET 8: the one with the file in it is
/// taken, without such a one the newer.
fn dotnet(machine: &Machine, name: &str) -> Result<PathBuf> {
    let file = |folder: &Path| folder.join(IDENTITY_SERVICE).join(name);
    let mut folders = match machine.platform() {
        Platform::Windows => return Ok(file(&local_app_data(machine)?)),
        Platform::Macos => vec![home(machine)?.join("Library").join("Application Support"), data_home(machine)?],
        Platform::Linux => vec![data_home(machine)?],
    };
    folders.retain(|folder| folder.is_dir());
    let folder = folders.iter().find(|folder| file(folder).exists()).or(folders.first());
    Ok(file(folder.map_or(machine.working_dir(), PathBuf::as_path)))
}

/// `XDG_DATA_HOME`, unless it is relative: .NET passes over it then.
fn data_home(machine: &Machine) -> Result<PathBuf> {
    match machine.variable("XDG_DATA_HOME") {
        Some(dir) if dir.has_root() => Ok(dir.to_owned()),
        _ => Ok(home(machine)?.join(".local").join("share")),
    }
}

/// `LOCALAPPDATA`; without it what lies beside `APPDATA`, as the Azure SDK for Node has it, or in the home folder.
fn local_app_data(machine: &Machine) -> Result<PathBuf> {
    if let Some(dir) = machine.variable("LOCALAPPDATA") {
        return Ok(dir.to_owned());
    }
    match machine.variable("APPDATA").and_then(Path::parent) {
        Some(dir) => Ok(dir.join("Local")),
        None => Ok(home(machine)?.join("AppData").join("Local")),
    }
}

fn home(machine: &Machine) -> Result<&Path> {
    machine.home().ok_or_else(|| {
        let message = "the home folder of this user is not known; set HOME, or on Windows USERPROFILE";
        Error::new(ErrorKind::Unavailable, message).in_store(NAME)
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn at(preset: Preset, machine: &Machine) -> PathBuf {
        path(preset, machine).expect("a path")
    }

    #[test]
    fn every_path_on_linux() {
        let home = tempfile::tempdir().expect("temporary folder");
        let machine = Machine::new(Platform::Linux, home.path()).with_working_dir("/current");
        fs::create_dir_all(home.path().join(".local/share")).expect("made");
        for (preset, expected) in [
            (Preset::AzureCli, ".azure/msal_token_cache.json"),
            (Preset::AzureCliEncrypted, ".azure/msal_token_cache.bin"),
            (Preset::AzureCliPlaintext, ".azure/msal_token_cache.json"),
            (Preset::AzureIdentity, ".IdentityService/msal.cache.nocae"),
            (Preset::AzureIdentityCae, ".IdentityService/msal.cache.cae"),
            (Preset::AzureIdentityDotnet, ".local/share/.IdentityService/msal.cache.nocae"),
            (Preset::AzureIdentityDotnetCae, ".local/share/.IdentityService/msal.cache.cae"),
            (Preset::AzurePowerShell, ".local/share/.IdentityService/msal.cache.cae"),
            (Preset::GitCredentialManager, ".local/.IdentityService/msal.cache"),
            (Preset::GitCredentialManagerApp, ".gcm/msal/app.cache"),
            (Preset::DeveloperTools, ".local/.IdentityService/msal.cache"),
        ] {
            assert_eq!(at(preset, &machine), home.path().join(expected), "{preset}");
        }
    }

    #[test]
    fn every_path_on_windows() {
        let machine = Machine::new(Platform::Windows, "/users/a").with_variable("LOCALAPPDATA", "/lad");
        for (preset, expected) in [
            (Preset::AzureCli, "/users/a/.azure/msal_token_cache.bin"),
            (Preset::AzureCliEncrypted, "/users/a/.azure/msal_token_cache.bin"),
            (Preset::AzureCliPlaintext, "/users/a/.azure/msal_token_cache.json"),
            (Preset::AzureIdentity, "/lad/.IdentityService/msal.cache.nocae"),
            (Preset::AzureIdentityCae, "/lad/.IdentityService/msal.cache.cae"),
            (Preset::AzureIdentityDotnet, "/lad/.IdentityService/msal.cache.nocae"),
            (Preset::AzureIdentityDotnetCae, "/lad/.IdentityService/msal.cache.cae"),
            (Preset::AzurePowerShell, "/lad/.IdentityService/msal.cache.cae"),
            (Preset::GitCredentialManager, "/lad/.IdentityService/msal.cache"),
            (Preset::GitCredentialManagerApp, "/users/a/.gcm/msal/app.cache"),
            (Preset::DeveloperTools, "/lad/.IdentityService/msal.cache"),
        ] {
            assert_eq!(at(preset, &machine), Path::new(expected), "{preset}");
        }
    }

    #[test]
    fn local_application_data_is_found_without_its_variable() {
        let machine = Machine::new(Platform::Windows, "/users/a");
        let expected = |folder: &str| Path::new(folder).join(".IdentityService/msal.cache");
        assert_eq!(at(Preset::DeveloperTools, &machine), expected("/users/a/AppData/Local"));
        let machine = machine.with_variable("LOCALAPPDATA", "").with_variable("APPDATA", "/roams/Roaming");
        assert_eq!(at(Preset::DeveloperTools, &machine), expected("/roams/Local"));
    }

    #[test]
    fn the_folder_of_azure_cli_can_be_moved() {
        for platform in [Platform::Linux, Platform::Macos, Platform::Windows] {
            let machine = Machine::new(platform, "/home/a").with_working_dir("/current");
            let moved =
                |dir: &str| at(Preset::AzureCliPlaintext, &machine.clone().with_variable("AZURE_CONFIG_DIR", dir));
            assert_eq!(moved("/elsewhere"), Path::new("/elsewhere/msal_token_cache.json"));
            assert_eq!(moved("here"), Path::new("/current/here/msal_token_cache.json"));
            assert_eq!(moved(""), Path::new("/home/a/.azure/msal_token_cache.json"));
        }
    }

    #[test]
    fn dotnet_without_its_folder_uses_the_working_directory() {
        let home = tempfile::tempdir().expect("temporary folder");
        let data = home.path().join("data");
        for platform in [Platform::Linux, Platform::Macos] {
            let machine = Machine::new(platform, home.path().join(format!("{platform:?}")))
                .with_working_dir("/current")
                .with_variable("XDG_DATA_HOME", &data);
            let _ = fs::remove_dir_all(&data);
            for preset in [Preset::AzureIdentityDotnet, Preset::AzurePowerShell] {
                let path = at(preset, &machine);
                assert_eq!(path.parent(), Some(Path::new("/current/.IdentityService")), "{platform:?}");
            }
            fs::create_dir(&data).expect("made");
            let expected = data.join(".IdentityService/msal.cache.nocae");
            assert_eq!(at(Preset::AzureIdentityDotnet, &machine), expected, "{platform:?}");
            // It exists, and is passed over all the same.
            let relative = machine.with_variable("XDG_DATA_HOME", ".");
            assert!(at(Preset::AzureIdentityDotnet, &relative).starts_with("/current"), "{platform:?}");
        }
    }

    #[test]
    fn on_macos_the_folder_with_the_file_counts_and_without_one_the_newer() {
        let home = tempfile::tempdir().expect("temporary folder");
        let machine = Machine::new(Platform::Macos, home.path());
        let newer = home.path().join("Library/Application Support");
        let older = home.path().join(".local/share");
        fs::create_dir_all(older.join(".IdentityService")).expect("made");
        let file = ".IdentityService/msal.cache.nocae";
        assert_eq!(at(Preset::AzureIdentityDotnet, &machine), older.join(file));
        fs::create_dir_all(&newer).expect("made");
        assert_eq!(at(Preset::AzureIdentityDotnet, &machine), newer.join(file));
        fs::write(older.join(file), "{}").expect("written");
        assert_eq!(at(Preset::AzureIdentityDotnet, &machine), older.join(file));
        assert_eq!(at(Preset::AzureIdentity, &machine), home.path().join(file));
    }

    #[test]
    fn without_a_home_folder_there_is_a_typed_error() {
        let mut machine = Machine::new(Platform::Linux, "/home/a");
        machine.home = None;
        for preset in Preset::all() {
            let error = path(*preset, &machine).expect_err("no path");
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{preset}");
            assert!(error.message().contains("HOME"), "{error}");
        }
        let machine = machine.with_variable("AZURE_CONFIG_DIR", "/elsewhere");
        assert!(path(Preset::AzureCli, &machine).is_ok());
    }
}
