"""The identity provider that every peer stubs alike: what `flows.json` says, as an HTTP client for MSAL Python."""

import base64
import json
import os
import time

with open(os.environ["INTEROP_FLOWS"], encoding="utf-8") as file:
    DEFINITIONS = json.load(file)
WRITE = DEFINITIONS["write"]


def flow(name):
    return DEFINITIONS["flows"][name]


def home_account_id(definition):
    """Of the user of this flow; `None` for an application's own tokens."""
    response = definition["response"]
    if "client_info" in response:
        return "{uid}.{utid}".format(**response["client_info"])
    return response["id_token"]["sub"] if "id_token" in response else None


class Refused(Exception):
    """The library asked for a token although none was to be had."""


class IdentityProvider:
    """Answers discovery always, and requests for a token if there is an answer for them. Keeps what was sent."""

    def __init__(self):
        self.answer = None
        self.nonce = None
        self.sent = []

    def get(self, url, **_):
        discovery = DEFINITIONS["discovery"]
        if "/discovery/instance" in url:
            return Reply(discovery["instance"])
        if "/common/userrealm/" in url:
            return Reply(discovery["user_realm"])
        authority, found, _ = url.partition("/.well-known/openid-configuration")
        if not found:
            raise Refused(url)
        authority = authority.removesuffix("/v2.0")
        configuration = discovery["openid_configuration"]
        return Reply({name: value.replace("{authority}", authority) for name, value in configuration.items()})

    def post(self, url, data=None, **_):
        self.sent.append(dict(data or {}))
        if self.answer is None:
            raise Refused(url)
        response = dict(self.answer)
        if "id_token" in response:
            now = int(time.time())
            claims = {**response["id_token"], "iat": now, "exp": now + 3600}
            if self.nonce:
                claims["nonce"] = self.nonce
            response["id_token"] = f"{encoded({'alg': 'none', 'typ': 'JWT'})}.{encoded(claims)}.c2ln"
        if "client_info" in response:
            response["client_info"] = encoded(response["client_info"])
        return Reply(response)

    def close(self):
        """MSAL closes what it is given."""


class Reply:
    status_code = 200
    headers = {}

    def __init__(self, body):
        self.text = json.dumps(body)

    def raise_for_status(self):
        """Every reply is a success."""


def encoded(value):
    text = json.dumps(value, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()
