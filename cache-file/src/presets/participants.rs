//! Which libraries take part in which cache, and in what they wrap it.

use cache_core::Peer;

use super::{Participant, Platform, Preset, SecretItem, Wrapper};

/// The service that developer tools share keychain items under, and the client that they name.
const SERVICE: &str = "Microsoft.Developer.IdentityService";
const APP_SERVICE: &str = "GitCredentialManager.MSAL";

/// The attributes of MSAL.NET's items: both are looked for.
const DOTNET: &[(&str, &str)] = &[("MsalClientID", SERVICE), (SERVICE, "1.0.0.0")];
const DOTNET_APP: &[(&str, &str)] = &[("MsalClientID", APP_SERVICE), (APP_SERVICE, "1.0.0.0")];
/// The one attribute of azure-identity's items in Python and Java.
const CLIENT_ONLY: &[(&str, &str)] = &[("MsalClientID", SERVICE)];

/// The libraries that take part, by their names.
pub(super) fn participants(preset: Preset, platform: Platform) -> Vec<Participant> {
    match preset {
        Preset::AzureCli if platform == Platform::Windows => azure_cli_encrypted(platform),
        Preset::AzureCli | Preset::AzureCliPlaintext => vec![with(Peer::Python, [Wrapper::PlaintextFile])],
        Preset::AzureCliEncrypted => azure_cli_encrypted(platform),
        Preset::AzureIdentity | Preset::AzureIdentityCae => azure_identity(Names::of(preset), platform),
        Preset::AzureIdentityDotnet | Preset::AzureIdentityDotnetCae | Preset::AzurePowerShell => match platform {
            // There it is one file for all.
            Platform::Windows => azure_identity(Names::of(preset), platform),
            Platform::Linux | Platform::Macos => vec![azure_identity_dotnet(Names::of(preset), preset, platform)],
        },
        Preset::GitCredentialManager | Preset::DeveloperTools => {
            vec![dotnet(platform, (SERVICE, "MSALCache"), dotnet_item("msal.cache", DOTNET, "MSALCache"))]
        }
        Preset::GitCredentialManagerApp => {
            vec![dotnet(platform, (APP_SERVICE, "AppCache"), dotnet_item("app.cache", DOTNET_APP, "AppCache"))]
        }
    }
}

/// The names that come of the default name of azure-identity's cache.
#[derive(Debug, Clone, Copy)]
struct Names {
    cache: &'static str,
    /// What azure-identity for Python makes the account of the keychain item.
    python_account: &'static str,
    /// The same for Java, where it is the label of the Secret Service item too.
    java_account: &'static str,
}

impl Names {
    fn of(preset: Preset) -> Self {
        match preset {
            Preset::AzureIdentityCae | Preset::AzureIdentityDotnetCae | Preset::AzurePowerShell => {
                Self { cache: "msal.cache.cae", python_account: "msal.cache.cae", java_account: "MSALCache.cae" }
            }
            _ => Self { cache: "msal.cache.nocae", python_account: "MSALCache", java_account: "MSALCache.nocae" },
        }
    }
}

fn azure_cli_encrypted(platform: Platform) -> Vec<Participant> {
    let item = SecretItem {
        schema: "my_schema_name",
        schema_matters: true,
        attributes: &[("my_attr1", "foo"), ("my_attr2", "bar")],
        label: "",
        base64: false,
    };
    let wrapper = match platform {
        Platform::Linux => Wrapper::SecretService(item),
        Platform::Macos => Wrapper::Keychain { service: "my_service_name", account: "my_account_name" },
        Platform::Windows => Wrapper::Dpapi,
    };
    vec![with(Peer::Python, [wrapper])]
}

fn azure_identity(names: Names, platform: Platform) -> Vec<Participant> {
    let keychain = |service, account| Wrapper::Keychain { service, account };
    match platform {
        Platform::Windows => [Peer::DotNet, Peer::Go, Peer::Java, Peer::Node, Peer::Python]
            .map(|library| with(library, [Wrapper::Dpapi]))
            .into(),
        Platform::Macos => vec![
            with(Peer::Go, [keychain(names.cache, "MSALCache")]),
            with(Peer::Java, [keychain(SERVICE, names.java_account)]),
            with(Peer::Node, [keychain(SERVICE, "MSALCache")]),
            with(Peer::Python, [keychain(SERVICE, names.python_account)]),
        ],
        Platform::Linux => {
            let java = SecretItem {
                schema: "msal.cache",
                schema_matters: true,
                attributes: CLIENT_ONLY,
                label: names.java_account,
                base64: true,
            };
            let node = SecretItem {
                schema: "org.freedesktop.Secret.Generic",
                schema_matters: true,
                attributes: &[("service", SERVICE), ("account", "MSALCache")],
                label: "Microsoft.Developer.IdentityService/MSALCache",
                base64: false,
            };
            let python = SecretItem {
                schema: names.cache,
                schema_matters: true,
                attributes: CLIENT_ONLY,
                label: "MSALCache",
                base64: false,
            };
            let item_or_file = |library, item| with(library, [Wrapper::SecretService(item), Wrapper::PlaintextFile]);
            vec![
                with(Peer::Go, [Wrapper::KernelKeyring { description: names.cache }]),
                item_or_file(Peer::Java, java),
                item_or_file(Peer::Node, node),
                item_or_file(Peer::Python, python),
            ]
        }
    }
}

/// All names share one item of the Secret Service, whose label is of the last one that was written.
fn azure_identity_dotnet(names: Names, preset: Preset, platform: Platform) -> Participant {
    let item = dotnet_item("msal.cache", DOTNET, names.cache);
    let mut participant = dotnet(platform, (SERVICE, names.cache), item);
    if preset == Preset::AzurePowerShell && platform == Platform::Macos {
        // What it turns to when the keychain fails it.
        participant.wrappers.push(Wrapper::Keychain { service: SERVICE, account: "MSALCache" });
    }
    participant
}

/// MSAL.NET with its keychain item and its Secret Service item. A plaintext file is what it falls back to.
fn dotnet(platform: Platform, (service, account): (&'static str, &'static str), item: SecretItem) -> Participant {
    match platform {
        Platform::Linux => with(Peer::DotNet, [Wrapper::SecretService(item), Wrapper::PlaintextFile]),
        Platform::Macos => with(Peer::DotNet, [Wrapper::Keychain { service, account }]),
        Platform::Windows => with(Peer::DotNet, [Wrapper::Dpapi]),
    }
}

/// MSAL.NET stores the schema's name and does not look for it, and keeps base64.
fn dotnet_item(
    schema: &'static str,
    attributes: &'static [(&'static str, &'static str)],
    label: &'static str,
) -> SecretItem {
    SecretItem { schema, schema_matters: false, attributes, label, base64: true }
}

fn with<const N: usize>(library: Peer, wrappers: [Wrapper; N]) -> Participant {
    Participant { library, wrappers: wrappers.into() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const PLATFORMS: [Platform; 3] = [Platform::Linux, Platform::Macos, Platform::Windows];

    fn libraries(preset: Preset, platform: Platform) -> Vec<Peer> {
        participants(preset, platform).iter().map(|participant| participant.library).collect()
    }

    fn wrappers(preset: Preset, platform: Platform, library: Peer) -> Vec<Wrapper> {
        let of = |participant: &Participant| participant.library == library;
        participants(preset, platform).into_iter().find(of).expect("it takes part").wrappers
    }

    #[test]
    fn each_library_takes_part_once_and_has_a_wrapper() {
        for preset in Preset::all() {
            for platform in PLATFORMS {
                let found = libraries(*preset, platform);
                let each: BTreeSet<Peer> = found.iter().copied().collect();
                assert!(!found.is_empty() && each.len() == found.len(), "{preset} {platform:?} {found:?}");
                for Participant { wrappers, .. } in participants(*preset, platform) {
                    assert!(!wrappers.is_empty(), "{preset} {platform:?}");
                }
            }
        }
    }

    #[test]
    fn what_a_platform_does_not_have_is_not_used_there() {
        for preset in Preset::all() {
            for platform in PLATFORMS {
                for wrapper in participants(*preset, platform).iter().flat_map(|participant| &participant.wrappers) {
                    let fits = match wrapper {
                        Wrapper::PlaintextFile => true,
                        Wrapper::Dpapi => platform == Platform::Windows,
                        Wrapper::Keychain { .. } => platform == Platform::Macos,
                        Wrapper::SecretService(_) | Wrapper::KernelKeyring { .. } => platform == Platform::Linux,
                    };
                    assert!(fits, "{preset} {platform:?} {wrapper:?}");
                }
            }
        }
    }

    #[test]
    fn azure_cli_is_plaintext_but_on_windows() {
        let python = |preset, platform| wrappers(preset, platform, Peer::Python);
        assert_eq!(python(Preset::AzureCli, Platform::Linux), [Wrapper::PlaintextFile]);
        assert_eq!(python(Preset::AzureCli, Platform::Macos), [Wrapper::PlaintextFile]);
        assert_eq!(python(Preset::AzureCli, Platform::Windows), [Wrapper::Dpapi]);
        assert_eq!(python(Preset::AzureCliPlaintext, Platform::Windows), [Wrapper::PlaintextFile]);
        for platform in PLATFORMS {
            assert!(!python(Preset::AzureCliEncrypted, platform).contains(&Wrapper::PlaintextFile));
            assert_eq!(libraries(Preset::AzureCliEncrypted, platform), [Peer::Python]);
        }
    }

    #[test]
    fn dotnet_has_a_file_of_its_own_but_on_windows() {
        for platform in [Platform::Linux, Platform::Macos] {
            assert!(!libraries(Preset::AzureIdentity, platform).contains(&Peer::DotNet));
            assert_eq!(libraries(Preset::AzureIdentityDotnet, platform), [Peer::DotNet]);
        }
        for preset in [Preset::AzureIdentity, Preset::AzureIdentityDotnet, Preset::AzurePowerShell] {
            assert_eq!(libraries(preset, Platform::Windows).len(), 5, "{preset}");
        }
    }

    #[test]
    fn on_macos_three_libraries_share_one_item_and_two_do_not() {
        let item = Wrapper::Keychain { service: SERVICE, account: "MSALCache" };
        let at = |preset, library| wrappers(preset, Platform::Macos, library);
        for (preset, library) in [
            (Preset::AzureIdentity, Peer::Python),
            (Preset::AzureIdentity, Peer::Node),
            (Preset::AzureIdentityCae, Peer::Node),
            (Preset::GitCredentialManager, Peer::DotNet),
        ] {
            assert_eq!(at(preset, library), [item], "{preset} {library}");
        }
        assert_ne!(at(Preset::AzureIdentity, Peer::Go), [item]);
        assert_ne!(at(Preset::AzureIdentity, Peer::Java), [item]);
        assert_ne!(at(Preset::AzureIdentityCae, Peer::Python), [item]);
    }

    #[test]
    fn all_names_of_dotnet_share_one_secret_service_item() {
        let found = |preset| match wrappers(preset, Platform::Linux, Peer::DotNet)[0] {
            Wrapper::SecretService(item) => (item.attributes, item.schema_matters, item.base64),
            other => panic!("{other:?}"),
        };
        for preset in [Preset::AzureIdentityDotnetCae, Preset::AzurePowerShell, Preset::GitCredentialManager] {
            assert_eq!(found(preset), found(Preset::AzureIdentityDotnet), "{preset}");
        }
        assert_ne!(found(Preset::GitCredentialManagerApp), found(Preset::AzureIdentityDotnet));
    }
}
