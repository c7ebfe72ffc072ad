"""MSAL Python with msal-extensions, as a peer: see ../README.md.

Which lock the library takes depends on whether portalocker is installed beside it: two virtual environments make two
peers of this program.
"""

import argparse
import hashlib
import json
import os
import random
import sys
import time
from importlib.metadata import version

import identity
import msal
import msal_extensions
from msal_extensions.persistence import PersistenceNotFound


class Unsupported(Exception):
    """The library has no such flow."""


def main():
    options = arguments()
    try:
        for line in COMMANDS[options.command](options):
            say(line)
    except Unsupported as error:
        say({"unsupported": str(error)})
        return 3
    except Exception as error:  # whatever the library raises is the answer
        say({"error": f"{type(error).__name__}: {error}"})
        return 1
    return 0


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("--flow", choices=identity.DEFINITIONS["flows"])
    parser.add_argument("--cache", type=os.path.abspath)
    parser.add_argument("--tag")
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--mode", choices=["raw", "library"], default="raw")
    parser.add_argument("--hold-ms", type=float, default=0)
    parser.add_argument("--pause-ms", type=float, default=0)
    parser.add_argument("--start-at", type=float, default=0)
    parser.add_argument("--progress", choices=["yes", "no"], default="no")
    return parser.parse_args()


def say(line):
    print(json.dumps(line), flush=True)


def versions(_):
    packages = ["msal", "msal-extensions"]
    if uses_portalocker():
        packages.append("portalocker")
    yield {"peer": "python", "versions": {name: version(name) for name in packages}}


def uses_portalocker():
    return msal_extensions.CrossPlatLock.__module__.endswith("cache_lock")


# Tokens.


def sign_in(options):
    """Signs in with each flow that this one comes after, then with this one."""
    definition = identity.flow(options.flow)
    if "after" in definition:
        Application(options.cache, definition["after"]).sign_in()
    Application(options.cache, options.flow).sign_in()
    yield stored(options.cache, definition)


def stored(cache, definition):
    """What the library has stored of the token of this flow."""
    response = definition["response"]
    document = json.loads(msal_extensions.FilePersistence(cache).load())
    token = found(document["AccessToken"], secret=response["access_token"])
    line = {"access_token": token["secret"], "scopes": token["target"].split()}
    line |= {name: token[name] for name in ("home_account_id", "environment", "realm", "client_id")}
    line["key_id"] = token.get("key_id")
    if "ext_cache_key" in token:
        line["components"] = definition["components"]
    refresh = found(document.get("RefreshToken", {}), secret=response.get("refresh_token"))
    if refresh:
        line |= {"refresh_token": refresh["secret"], "family_id": refresh.get("family_id")}
        account = found(document["Account"], home_account_id=token["home_account_id"], realm=token["realm"])
        line["username"] = account["username"]
    return line


def found(section, **fields):
    """The entity with these fields."""
    for entity in section.values():
        if all(entity.get(name) == value for name, value in fields.items()):
            return entity
    return None


def silent(options):
    application = Application(options.cache, options.flow)
    result, error = {}, None
    try:
        result = application.silent()
    except Exception as raised:  # a miss shows as the refusal of the identity provider, through the library
        error = f"{type(raised).__name__}: {raised}"
    accounts = [{name: account[name] for name in ("home_account_id", "username")} for account in application.accounts()]
    yield {
        "access_token": result.get("access_token"),
        "http": len(application.provider.sent),
        "accounts": accounts,
        "error": error or result.get("error_description") or result.get("error"),
    }


def refresh(options):
    application = Application(options.cache, options.flow)
    application.provider.answer = application.definition["response"]
    application.silent(force_refresh=True)
    sent = [form["refresh_token"] for form in application.provider.sent if "refresh_token" in form]
    yield {"refresh_token_sent": sent[0] if sent else None}


def remove(options):
    cache = msal_extensions.PersistedTokenCache(msal_extensions.FilePersistence(options.cache))
    client = msal.PublicClientApplication(
        identity.WRITE["client_id"],
        authority=identity.WRITE["authority"],
        token_cache=cache,
        http_client=identity.IdentityProvider(),
    )
    removed = []
    for account in client.get_accounts():
        client.remove_account(account)
        removed.append(account["home_account_id"])
    yield {"removed": removed}


class Application:
    """The application of a flow over the library's own persistence."""

    @staticmethod
    def open_cache(path):
        return msal_extensions.PersistedTokenCache(msal_extensions.FilePersistence(path))

    def __init__(self, cache, flow):
        self.definition = identity.flow(flow)
        self.provider = identity.IdentityProvider()
        if flow == "pop":
            raise Unsupported("PopAuthScheme needs a broker")
        settings = {
            "authority": self.definition["authority"],
            "token_cache": self.open_cache(cache),
            "http_client": self.provider,
        }
        if self.definition["application"] == "public":
            self.client = msal.PublicClientApplication(self.definition["client_id"], **settings)
        else:
            secret = identity.DEFINITIONS["client_secret"]
            self.client = msal.ConfidentialClientApplication(
                self.definition["client_id"], client_credential=secret, **settings
            )

    def sign_in(self):
        self.provider.answer = self.definition["response"]
        result = self.by_code() if self.definition["grant"] == "code" else self.request()
        if "access_token" not in result:
            raise RuntimeError(json.dumps(result))

    def by_code(self):
        flow = self.client.initiate_auth_code_flow(
            self.definition["scopes"], redirect_uri=identity.DEFINITIONS["redirect_uri"]
        )
        # The library compares the nonce of the ID token with the hash of its own.
        self.provider.nonce = hashlib.sha256(flow["nonce"].encode()).hexdigest()
        answer = {"code": "code", "state": flow["state"]}
        return self.client.acquire_token_by_auth_code_flow(flow, answer, **self.bound())

    def bound(self):
        """What binds a token to a key; MSAL Python sends and caches it as it is."""
        if "jwk" not in self.definition:
            return {}
        key = json.dumps(self.definition["jwk"])
        return {"data": {"token_type": "ssh-cert", "key_id": self.definition["key_id"], "req_cnf": key}}

    def request(self):
        """Asks the cache first, where the library does."""
        scopes = self.definition["scopes"]
        if self.definition["grant"] == "client_credentials":
            return self.client.acquire_token_for_client(scopes, **self.definition.get("components", {}))
        return self.client.acquire_token_on_behalf_of(self.definition["assertion"], scopes)

    def silent(self, force_refresh=False):
        if self.definition["grant"] != "code":
            return {} if force_refresh else self.request()
        wanted = identity.home_account_id(self.definition)
        account = next((one for one in self.accounts() if one["home_account_id"] == wanted), None)
        if account is None:
            return {"error": "no account"}
        result = self.client.acquire_token_silent(
            self.definition["scopes"], account=account, force_refresh=force_refresh, **self.bound()
        )
        return result or {"error": "no token"}

    def accounts(self):
        return self.client.get_accounts()


# The lock and the file.


def hold(options):
    with msal_extensions.CrossPlatLock(options.cache + ".lockfile"):
        yield {"event": "held", "pid": os.getpid()}
        time.sleep(options.hold_ms / 1000)
    yield {"event": "released"}


def release_slowly(options):
    """Stops between unlocking and removing the lock file, where another process may take it."""
    remove = os.remove

    def remove_later(path):
        say({"event": "unlocked"})
        sys.stdin.readline()
        remove(path)

    os.remove = remove_later
    with msal_extensions.CrossPlatLock(options.cache + ".lockfile"):
        yield {"event": "held", "pid": os.getpid()}
    yield {"event": "released"}


def write(options):
    update = raw_update(options) if options.mode == "raw" else library_update(options)
    time.sleep(max(0, options.start_at - time.time()))
    acknowledged, errors = [], {}
    for index in range(options.count):
        try:
            update(token(options.tag, index))
        except Exception as error:  # counted by name, never hidden
            name = type(error).__name__
            errors[name] = errors.get(name, 0) + 1
        else:
            acknowledged.append(index)
            if options.progress == "yes":
                yield {"ack": index}
        time.sleep(random.uniform(0, 2 * options.pause_ms) / 1000)
    yield {"tag": options.tag, "acked": acknowledged, "errors": errors}


def raw_update(options):
    persistence = msal_extensions.FilePersistence(options.cache)

    def update(entry):
        with msal_extensions.CrossPlatLock(options.cache + ".lockfile"):
            try:
                text = persistence.load()
            except PersistenceNotFound:
                text = ""
            document = json.loads(text) if text else {}
            document.setdefault("AccessToken", {})[key(entry)] = entry
            persistence.save(json.dumps(document))

    return update


def library_update(options):
    cache = msal_extensions.PersistedTokenCache(msal_extensions.FilePersistence(options.cache))

    def update(entry):
        list(cache.search(cache.CredentialType.ACCOUNT))
        cache.modify(cache.CredentialType.ACCESS_TOKEN, entry, entry)

    return update


def token(tag, index):
    now = int(time.time())
    fields = ("home_account_id", "environment", "client_id", "realm")
    return {name: identity.WRITE[name] for name in fields} | {
        "credential_type": "AccessToken",
        "target": f"peer.{tag}.{index}",
        "token_type": "Bearer",
        "secret": f"synthetic-{tag}-{index}",
        "cached_at": str(now),
        "expires_on": str(now + 3600),
        "extended_expires_on": str(now + 7200),
    }


def key(entry):
    parts = ["home_account_id", "environment", None, "client_id", "realm", "target"]
    return "-".join(entry[part] if part else "accesstoken" for part in parts).lower()


COMMANDS = {
    "versions": versions,
    "sign-in": sign_in,
    "silent": silent,
    "refresh": refresh,
    "remove": remove,
    "hold": hold,
    "release-slowly": release_slowly,
    "write": write,
}

if __name__ == "__main__":
    sys.exit(main())
