"""azure-identity and Azure CLI over the caches that they keep for themselves.

    azure_products.py COMMAND --product azure-identity|azure-identity-cae|azure-cli --flow F

`versions`, `sign-in`, `silent` and `refresh` are those of ../README.md for the flows `user`, `guest`, `foci` and `app`;
`sign-in` prints the `access_token` that the product has afterwards. There is no `--cache`: the product finds its file,
from `HOME` and `AZURE_CONFIG_DIR`. `sign-out` signs out the user of the flow, `sign-out-everybody` all users; both print
what `remove` prints. Products have the names of presets.
"""

import argparse
import io
import logging
import sys
from importlib.metadata import version
from urllib.parse import parse_qsl, urlsplit

import requests
from azure.cli.core.auth.identity import Identity, ServicePrincipalAuth
from azure.identity import (
    AuthenticationRecord,
    ClientSecretCredential,
    DeviceCodeCredential,
    TokenCachePersistenceOptions,
)

import identity
import peer


def main():
    options = arguments()
    # Both products send by sessions of requests, and in Azure CLI it is msal that makes them: the adapter that a
    # session chooses for a URL is all that is replaced.
    stub = Adapter()
    requests.Session.get_adapter = lambda *_, **__: stub
    # What they log they raise too.
    logging.disable()
    try:
        product = PRODUCTS[options.product](identity.flow(options.flow))
        peer.say(COMMANDS[options.command](product, stub.provider))
    except peer.Unsupported as error:
        peer.say({"unsupported": str(error)})
        return 3
    except Exception as error:  # whatever the product raises is the answer
        peer.say({"error": f"{type(error).__name__}: {error}"})
        return 1
    return 0


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("--product", choices=PRODUCTS, required=True)
    parser.add_argument("--flow", choices=["user", "guest", "foci", "app"], default="user")
    return parser.parse_args()


# Commands.


def versions(product, _):
    return {"peer": product.packages[0], "versions": {name: version(name) for name in product.packages}}


def sign_in(product, provider):
    provider.answer = product.definition["response"]
    product.sign_in()
    return {"access_token": product.token()}


def silent(product, provider):
    token, error = None, None
    try:
        token = product.token()
    except Exception as raised:  # a miss
        error = f"{type(raised).__name__}: {raised}"
    accounts = [{name: account[name] for name in ("home_account_id", "username")} for account in product.accounts()]
    return {"access_token": token, "http": len(provider.sent), "accounts": accounts, "error": error}


def refresh(product, provider):
    """With a claims challenge, for which no cached access token will do."""
    provider.answer = product.definition["response"]
    product.token('{"access_token": {"nbf": {"essential": true, "value": "1"}}}')
    sent = [form["refresh_token"] for form in provider.sent if "refresh_token" in form]
    return {"refresh_token_sent": sent[0] if sent else None}


def sign_out(product, _):
    return removed_by(product, product.sign_out)


def sign_out_everybody(product, _):
    return removed_by(product, product.sign_out_everybody)


def removed_by(product, leave):
    before = [account["home_account_id"] for account in product.accounts()]
    leave()
    after = [account["home_account_id"] for account in product.accounts()]
    return {"removed": [account for account in before if account not in after]}


# The products.


class AzureIdentity:
    """A credential with the default persistent cache: of a device code for users, of a secret for applications."""

    packages = ("azure-identity", "msal", "msal-extensions", "portalocker")
    cae = False

    def __init__(self, definition):
        self.definition = definition
        self.tenant = tenant(definition)
        self.of_user = definition["grant"] == "code"

    def sign_in(self):
        if self.of_user:
            credential = self.by_device_code(prompt_callback=lambda *_: None)
            credential.authenticate(scopes=self.definition["scopes"], enable_cae=self.cae)
        else:
            self.token()

    def token(self, claims=None):
        credential = self.by_record() if self.of_user else self.by_secret()
        return credential.get_token(*self.definition["scopes"], claims=claims, enable_cae=self.cae).token

    def by_device_code(self, **settings):
        return DeviceCodeCredential(
            self.definition["client_id"], tenant_id=self.tenant, cache_persistence_options=in_plaintext(), **settings
        )

    def by_record(self):
        """What an application keeps of a sign-in, to find its tokens again without asking the user."""
        record = AuthenticationRecord(
            tenant_id=self.tenant,
            client_id=self.definition["client_id"],
            authority=urlsplit(self.definition["authority"]).netloc,
            home_account_id=identity.home_account_id(self.definition),
            username=username(self.definition),
        )
        return self.by_device_code(authentication_record=record, disable_automatic_authentication=True)

    def by_secret(self):
        return ClientSecretCredential(
            self.tenant,
            self.definition["client_id"],
            identity.DEFINITIONS["client_secret"],
            cache_persistence_options=in_plaintext(),
        )

    def accounts(self):
        """It lists none."""
        return []

    def sign_out(self):
        raise peer.Unsupported("azure-identity signs nobody out")

    sign_out_everybody = sign_out


class AzureIdentityCae(AzureIdentity):
    """The same for clients with continuous access evaluation, whose cache is another one."""

    cae = True


class AzureCli:
    """What the commands `az login`, `az account get-access-token`, `az logout` and `az account clear` call."""

    packages = ("azure-cli-core", "msal", "msal-extensions", "portalocker")

    def __init__(self, definition):
        self.definition = definition
        self.of_user = definition["grant"] == "code"
        self.client_id = definition["client_id"]
        host = urlsplit(definition["authority"]).netloc
        self.identity = Identity(f"https://{host}", tenant_id=tenant(definition), client_id=self.client_id)

    def sign_in(self):
        scopes = self.definition["scopes"]
        if self.of_user:
            self.identity.login_with_username_password(username(self.definition), "not-a-real-password", scopes)
        else:
            secret = ServicePrincipalAuth.build_credential(client_secret=identity.DEFINITIONS["client_secret"])
            self.identity.login_with_service_principal(self.client_id, secret, scopes)

    def token(self, claims=None):
        if self.of_user:
            credential = self.identity.get_user_credential(username(self.definition))
        else:
            credential = self.identity.get_service_principal_credential(self.client_id)
        return credential.acquire_token(self.definition["scopes"], claims_challenge=claims)["access_token"]

    def accounts(self):
        return self.identity.get_user()

    def sign_out(self):
        self.identity.logout_user(username(self.definition))

    def sign_out_everybody(self):
        self.identity.logout_all_users()


def in_plaintext():
    return TokenCachePersistenceOptions(allow_unencrypted_storage=True)


def tenant(definition):
    return definition["authority"].rsplit("/", 1)[-1]


def username(definition):
    return definition["response"]["id_token"]["preferred_username"]


# The network.


class Adapter(requests.adapters.BaseAdapter):
    """The stubbed identity provider under an HTTP session."""

    DEVICE_CODE = {
        "user_code": "synthetic",
        "device_code": "synthetic",
        "verification_uri": "https://device.example",
        "expires_in": 900,
        "interval": 1,
        "message": "synthetic",
    }

    def __init__(self):
        super().__init__()
        self.provider = identity.IdentityProvider()

    def send(self, request, **_):
        response = requests.Response()
        response.status_code, response.url, response.request = 200, request.url, request
        response.headers["Content-Type"] = "application/json"
        response.raw = io.BytesIO(self.answer(request).text.encode())
        return response

    def answer(self, request):
        if request.method == "GET":
            return self.provider.get(request.url)
        if request.url.endswith("/devicecode"):
            return identity.Reply(self.DEVICE_CODE)
        return self.provider.post(request.url, data=parse_qsl(request.body))

    def close(self):
        """Holds nothing."""


COMMANDS = {
    "versions": versions,
    "sign-in": sign_in,
    "silent": silent,
    "refresh": refresh,
    "sign-out": sign_out,
    "sign-out-everybody": sign_out_everybody,
}
PRODUCTS = {"azure-identity": AzureIdentity, "azure-identity-cae": AzureIdentityCae, "azure-cli": AzureCli}

if __name__ == "__main__":
    sys.exit(main())
