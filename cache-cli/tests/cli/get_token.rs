//! `get-token`.

use serde_json::{Value, json};

use crate::sandbox::{ALICE, APP, BOB, Ran, Sandbox, T1, T2};

fn get_token(sandbox: &Sandbox, more: &[&str]) -> Ran {
    let mut arguments = vec!["get-token", "--client-id", APP];
    arguments.extend(more);
    sandbox.run(&arguments)
}

fn token(sandbox: &Sandbox, more: &[&str]) -> String {
    let mut arguments = more.to_vec();
    arguments.extend(["-o", "token"]);
    get_token(sandbox, &arguments).succeeds().text().to_owned()
}

#[test]
fn a_users_token() {
    let sandbox = Sandbox::of("net-users-multi-tenant");
    for account in [BOB, "bob@fabrikam.example", "BOB@FABRIKAM.EXAMPLE"] {
        assert_eq!(token(&sandbox, &["--scope", "User.Read", "--account", account]), "AT-2-synthetic\n");
    }
    for scope in ["user.read", "User.Read openid", "openid profile", "  User.Read   "] {
        assert_eq!(token(&sandbox, &["--scope", scope, "--account", BOB]), "AT-2-synthetic\n", "{scope}");
    }
    let answer = get_token(&sandbox, &["--scope", "User.Read", "--account", ALICE, "--tenant", T1]).json();
    assert_eq!(
        answer,
        json!({
            "access_token": "AT-4-synthetic", "token_type": "Bearer",
            "expires_on": 1_800_003_599, "expires_at": "2027-01-15T08:59:59Z", "refresh_on": null,
            "scope": "Calendars.Read openid profile User.Read", "client_id": APP, "tenant": T1,
            "environment": "login.windows.net", "home_account_id": ALICE
        })
    );
}

#[test]
fn several_tenants_are_listed() {
    let sandbox = Sandbox::of("net-users-multi-tenant");
    let ran = get_token(&sandbox, &["--scope", "User.Read", "--account", ALICE]).fails(1, "2 tenants or clouds");
    for tenant in [T1, T2] {
        assert!(ran.stderr.contains(&format!("--tenant {tenant} --environment login.windows.net")), "{}", ran.stderr);
    }
    // The scope decides, where only one tenant's token has it.
    assert_eq!(token(&sandbox, &["--scope", "Calendars.Read", "--account", ALICE]), "AT-4-synthetic\n");
    assert_eq!(token(&sandbox, &["--scope", "User.Read", "--account", ALICE, "--tenant", T2]), "AT-3-synthetic\n");
}

#[test]
fn without_an_account_the_applications_own() {
    let sandbox = Sandbox::of("net-users-multi-tenant");
    get_token(&sandbox, &["--scope", "User.Read"]).fails(4, "no valid token");

    let sandbox = Sandbox::of("net-app-tokens");
    let list = sandbox.list();
    let tokens = list["access_tokens"].as_array().expect("a list");
    for one in tokens {
        let (tenant, scope) = (one["tenant"].as_str().expect("text"), one["scopes"][0].as_str().expect("text"));
        let answer = get_token(&sandbox, &["--scope", scope, "--tenant", tenant]).json();
        assert_eq!((&answer["tenant"], &answer["home_account_id"]), (&tenant.into(), &Value::Null));
    }
}

#[test]
fn several_clouds_are_listed() {
    let account = "uid.utid";
    let token = |environment: &str, secret: &str| {
        json!({
            "home_account_id": account, "environment": environment, "client_id": APP, "realm": T1, "target": "User.Read",
            "secret": secret, "cached_at": "1800000000", "expires_on": "1800003600"
        })
    };
    let document = json!({ "AccessToken": {
        "a": token("login.windows.net", "public"),
        "b": token("login.microsoftonline.com", "alias"),
        "c": token("login.microsoftonline.us", "government")
    } });
    let sandbox = Sandbox::holding(document.to_string().as_bytes());
    let asked = ["--scope", "User.Read", "--account", account];
    let ran = get_token(&sandbox, &asked).fails(1, "2 tenants or clouds");
    assert!(ran.stderr.contains("login.microsoftonline.us"), "{}", ran.stderr);
    for (environment, secret) in [("LOGIN.microsoftonline.us", "government\n"), ("sts.windows.net", "public\n")] {
        let mut asked = asked.to_vec();
        asked.extend(["--environment", environment, "-o", "token"]);
        assert_eq!(get_token(&sandbox, &asked).succeeds().text(), secret, "{environment}");
    }
}

#[test]
fn a_username_of_several_accounts_is_refused() {
    let account =
        |id: &str| json!({ "home_account_id": id, "environment": "e", "realm": "r", "username": "Same@name" });
    let document = json!({ "Account": { "a": account("one.r"), "b": account("two.r") } });
    let sandbox = Sandbox::holding(document.to_string().as_bytes());
    let ran = get_token(&sandbox, &["--scope", "s", "--account", "same@NAME"]).fails(1, "2 accounts have the username");
    assert!(ran.stderr.contains("one.r") && ran.stderr.contains("two.r"), "{}", ran.stderr);
    sandbox.run(&["remove", "--account", "same@name"]).fails(1, "2 accounts have the username");
    get_token(&sandbox, &["--scope", "s", "--account", "nobody"]).fails(4, "no account is called `nobody`");
    get_token(&sandbox, &["--scope", "s", "--account", ""]).fails(4, "no account");
}

#[test]
fn nothing_valid_says_what_comes_nearest() {
    let sandbox = Sandbox::of("net-users-multi-tenant");
    let end = 1_800_003_599;
    let at = |now: i64| {
        let asked = ["get-token", "--client-id", APP, "--scope", "User.Read", "--account", BOB];
        Ran::of(&mut sandbox.command_at(now, &asked))
    };
    at(end - 300).succeeds();
    at(end - 299).fails(4, "the best one expires in 4 min, and five minutes must be left");
    at(end + 7200).fails(4, "expired 2 h ago");
    get_token(&sandbox, &["--scope", "Mail.Send", "--account", BOB]).fails(4, "tokencache list");
    get_token(&sandbox, &["--scope", "User.Read", "--account", BOB, "--tenant", T1]).fails(4, "no valid token");
    let other = ["get-token", "--client-id", "other", "--scope", "User.Read", "--account", BOB];
    sandbox.run(&other).fails(4, "no valid token");
    Sandbox::of("py-empty").run(&["get-token", "--client-id", APP, "--scope", "x"]).fails(4, "no valid token");
}

/// Tokens that do not answer a plain request stay where they are.
#[test]
fn special_tokens_do_not_answer() {
    let sandbox = Sandbox::of("net-obo");
    let accounts = sandbox.list()["accounts"].clone();
    let account = accounts[0]["home_account_id"].as_str().expect("an id");
    get_token(&sandbox, &["--scope", "User.Read", "--account", account]).fails(4, "no valid token");
    get_token(&sandbox, &["--scope", "User.Read"]).fails(4, "no valid token");

    let sandbox = Sandbox::of("node-app-extended");
    let scope = sandbox.list()["access_tokens"][0]["scopes"][0].as_str().expect("a scope").to_owned();
    get_token(&sandbox, &["--scope", &scope]).fails(4, "no valid token");
}
