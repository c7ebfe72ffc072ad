#!/usr/bin/env python3
"""Unified cache documents of any size, the same on every machine, and the probes that every peer answers on them.

    caches.py DIR --kind users --tokens 1000 [--spelling node]

Kinds; `tokens` counts access tokens:

    users      ten access tokens per account (2 tenants x 5 resources), an ID token and an account per account and
               tenant, a refresh token per account
    account    one account with all the tokens (2 tenants)
    tenants    an application's own tokens, one per tenant
    resources  an application's own tokens, one per resource, all in one tenant

Writes KIND-TOKENS.json, the document, and KIND-TOKENS.probes.json: which tokens to ask for, and a digest of the right
answers. Tokens are JWT-shaped strings over seeded pseudo-random bytes; none is a credential. 3.25 KB of JSON per access
token of `users`, 2.17 KB of them secrets.

Documents are spelled as MSAL Python writes them. MSAL Node finds an application's own tokens only if they are spelled
its way (home_account_id "" and not null, keys that end in "-"): `--spelling node` writes the same tokens so.
"""

import argparse
import base64
import hashlib
import json
import os
import random
import uuid

KINDS = ("users", "account", "tenants", "resources")
ENVIRONMENT = "login.microsoftonline.com"
CACHED_AT = "1760000000"
# In 2096: every token is usable, on every day that this runs.
EXPIRES_ON = "4000000000"
ABSENT_SCOPE = "https://absent.example/x"
PROBES = 2000
# So many of the probes are compared between peers. Few, because a lookup takes seconds in some peers.
CHECKED = 2

ACCESS_TOKEN_BYTES, REFRESH_TOKEN_BYTES, ID_TOKEN_BYTES = 1800, 1300, 1200
TENANTS, RESOURCES = 2, 5


def ensure(directory, kind, tokens, spelling="python"):
    """The paths of the document and of its probes; both are written unless they are there already."""
    stem = os.path.join(directory, f"{kind}-{tokens}" + (".node" if spelling == "node" else ""))
    document, probes = stem + ".json", stem + ".probes.json"
    if not (os.path.exists(document) and _is_current(probes)):
        os.makedirs(directory, exist_ok=True)
        cache = Cache(kind, tokens, spelling)
        with _whole(document) as out:
            answers = cache.write(out)
        with _whole(probes) as out:
            json.dump(cache.probes(answers), out)
    return document, probes


def digest(secrets):
    """What peers answer instead of the tokens themselves."""
    return hashlib.sha256("\n".join(secrets).encode()).hexdigest()


class Cache:
    """One document. Every identifier is a function of its number, so that probes need no second look at it."""

    def __init__(self, kind, tokens, spelling="python"):
        if kind not in KINDS or tokens < 10 or tokens % 10:
            raise ValueError(f"no cache of kind {kind} with {tokens} tokens: a multiple of 10 is needed")
        self.kind, self.tokens, self.node = kind, tokens, spelling == "node"
        self.random = random.Random(f"tokens/{kind}")
        self.client_id = guid("client", 0)
        self.head = _base64(json.dumps({"typ": "JWT", "alg": "RS256", "kid": guid("kid", 0)}).encode())
        if kind == "users":
            self.accounts, self.tenants, self.resources = tokens // (TENANTS * RESOURCES), TENANTS, RESOURCES
        elif kind == "account":
            self.accounts, self.tenants, self.resources = 1, TENANTS, tokens // TENANTS
        elif kind == "tenants":
            self.accounts, self.tenants, self.resources = 0, tokens, 1
        else:
            self.accounts, self.tenants, self.resources = 0, 1, tokens

    def write(self, out):
        """Writes the document; returns the secrets of the probes that are checked, in their order."""
        checked = [self.access_token_key(*place) for place in self.places()[:CHECKED]]
        secrets = dict.fromkeys(checked)
        encode = json.JSONEncoder(separators=(",", ":")).encode
        out.write("{")
        for number, (name, entries) in enumerate(self.sections()):
            out.write(("," if number else "") + f'"{name}":{{')
            separator = ""
            for key, entity in entries:
                out.write(f"{separator}{encode(key)}:{encode(entity)}")
                separator = ","
                if key in secrets:
                    secrets[key] = entity["secret"]
            out.write("}")
        out.write("}")
        return [secrets[key] for key in checked]

    def places(self):
        """Account, tenant and resource of each probe. Users are asked for in their home tenant, which is everybody's
        first authority."""
        draw = random.Random(f"probes/{self.kind}")
        if self.kind == "users":
            homes = (self.accounts + 1) // TENANTS
            return [(TENANTS * draw.randrange(homes), 0, draw.randrange(RESOURCES)) for _ in range(PROBES)]
        if self.kind == "tenants":
            return [(None, draw.randrange(self.tenants), 0) for _ in range(PROBES)]
        account = 0 if self.kind == "account" else None
        return [(account, 0, draw.randrange(self.resources)) for _ in range(PROBES)]

    def probes(self, answers):
        """What peers read: who asks for which scopes where, and the digest of the first answers."""
        return {
            "generator": _generator(),
            "kind": self.kind,
            "tokens": self.tokens,
            "client_id": self.client_id,
            "environment": ENVIRONMENT,
            "realm": guid("tenant", 0),
            "absent_scope": ABSENT_SCOPE,
            "checked": CHECKED,
            "digest": digest(answers),
            "probes": [
                {
                    "home_account_id": self.home(account),
                    "realm": guid("tenant", tenant),
                    "scopes": self.scopes(resource),
                }
                for account, tenant, resource in self.places()
            ],
        }

    # -- entities -------------------------------------------------------------------------------------------------

    def sections(self):
        yield "AccessToken", self.access_tokens()
        if self.accounts:
            yield "Account", self.account_entities()
            yield "IdToken", self.id_tokens()
            yield "RefreshToken", self.refresh_tokens()
        key = f"appmetadata-{ENVIRONMENT}-{self.client_id}"
        yield "AppMetadata", [(key, {"client_id": self.client_id, "environment": ENVIRONMENT})]

    def access_tokens(self):
        absent = "" if self.node else None
        for account in range(self.accounts) if self.accounts else [None]:
            home = absent if account is None else self.home(account)
            oid = guid("principal" if account is None else "oid", account or 0)
            for tenant in range(self.tenants):
                realm = guid("tenant", tenant)
                for resource in range(self.resources):
                    claims = {
                        "aud": f"https://api{resource}.contoso.example",
                        "iss": f"https://sts.windows.net/{realm}/",
                        "iat": int(CACHED_AT),
                        "exp": int(EXPIRES_ON),
                        "appid": self.client_id,
                        "oid": oid,
                        "tid": realm,
                        "ver": "2.0",
                    }
                    yield (
                        self.access_token_key(account, tenant, resource),
                        {
                            "credential_type": "AccessToken",
                            "secret": self.jwt(claims, ACCESS_TOKEN_BYTES),
                            "home_account_id": home,
                            "environment": ENVIRONMENT,
                            "client_id": self.client_id,
                            "target": " ".join(self.scopes(resource)),
                            "realm": realm,
                            "token_type": "Bearer",
                            "cached_at": CACHED_AT,
                            "expires_on": EXPIRES_ON,
                            "extended_expires_on": EXPIRES_ON,
                        },
                    )

    def account_entities(self):
        for account in range(self.accounts):
            for tenant in range(self.tenants):
                home, realm = self.home(account), guid("tenant", tenant)
                yield (
                    f"{home}-{ENVIRONMENT}-{realm}",
                    {
                        "home_account_id": home,
                        "environment": ENVIRONMENT,
                        "realm": realm,
                        "local_account_id": guid("oid", account),
                        "username": f"user{account:07d}@contoso.example",
                        "authority_type": "MSSTS",
                        "account_source": "authorization_code",
                    },
                )

    def id_tokens(self):
        for account in range(self.accounts):
            for tenant in range(self.tenants):
                home, realm = self.home(account), guid("tenant", tenant)
                claims = {
                    "aud": self.client_id,
                    "iss": f"https://{ENVIRONMENT}/{realm}/v2.0",
                    "exp": int(EXPIRES_ON),
                    "name": f"User {account}",
                    "oid": guid("oid", account),
                    "sub": guid("sub", account),
                    "preferred_username": f"user{account:07d}@contoso.example",
                    "tid": realm,
                    "ver": "2.0",
                }
                yield (
                    f"{home}-{ENVIRONMENT}-idtoken-{self.client_id}-{realm}-" + self.tail(),
                    {
                        "credential_type": "IdToken",
                        "secret": self.jwt(claims, ID_TOKEN_BYTES),
                        "home_account_id": home,
                        "environment": ENVIRONMENT,
                        "realm": realm,
                        "client_id": self.client_id,
                    },
                )

    def refresh_tokens(self):
        target = " ".join(self.scopes(0))
        for account in range(self.accounts):
            home = self.home(account)
            entity = {
                "credential_type": "RefreshToken",
                "secret": self.refresh_secret(),
                "home_account_id": home,
                "environment": ENVIRONMENT,
                "client_id": self.client_id,
                "last_modification_time": CACHED_AT,
            }
            if not self.node:
                entity["target"] = target
            key = f"{home}-{ENVIRONMENT}-refreshtoken-{self.client_id}--"
            yield key + ("-" if self.node else target.lower()), entity

    # -- identifiers and secrets ----------------------------------------------------------------------------------

    def home(self, account):
        """The home account id; the home tenant of account n is tenant n modulo 2."""
        return "" if account is None else f"{guid('oid', account)}.{guid('tenant', account % TENANTS)}"

    def scopes(self, resource):
        """Users ask for three scopes of a resource, applications for all that they were granted."""
        api = f"https://api{resource}.contoso.example"
        names = ("Files.Read", "Mail.Send", "User.Read") if self.accounts else (".default",)
        return [f"{api}/{name}" for name in names]

    def access_token_key(self, account, tenant, resource):
        realm, target = guid("tenant", tenant), " ".join(self.scopes(resource))
        parts = (self.home(account), ENVIRONMENT, "accesstoken", self.client_id, realm, target)
        return "-".join(parts).lower() + self.tail()

    def tail(self):
        return "-" if self.node else ""

    def jwt(self, claims, size):
        signature = _base64(self.random.randbytes(256))
        room = size - len(self.head) - len(signature) - 2
        body = json.dumps(dict(claims, x=""), separators=(",", ":")).encode()
        padding = max(0, room * 3 // 4 - len(body))
        filler = _base64(self.random.randbytes((padding * 3 + 3) // 4))[:padding]
        return f"{self.head}.{_base64(body[:-2] + filler.encode() + body[-2:])}.{signature}"

    def refresh_secret(self):
        size = REFRESH_TOKEN_BYTES - 6
        return "1.AXkA" + _base64(self.random.randbytes((size * 3 + 3) // 4))[:size]


def guid(what, number):
    """An identifier that depends on nothing but its number."""
    raw = hashlib.blake2b(f"{what}/{number}".encode(), digest_size=16).digest()
    return str(uuid.UUID(bytes=raw, version=4))


def _base64(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _generator():
    """Changes when this file does: documents of an older one are made again."""
    with open(__file__, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def _is_current(probes):
    try:
        with open(probes, encoding="utf-8") as file:
            return json.load(file)["generator"] == _generator()
    except (OSError, ValueError, KeyError):
        return False


class _whole:
    """A text file that appears under its name only when it is complete."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        self.file = open(self.path + ".part", "w", encoding="ascii", newline="\n", buffering=1 << 20)
        return self.file

    def __exit__(self, error, *_):
        self.file.close()
        if error is None:
            os.replace(self.path + ".part", self.path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory")
    parser.add_argument("--kind", choices=KINDS, default="users")
    parser.add_argument("--tokens", type=int, default=1000)
    parser.add_argument("--spelling", choices=["python", "node"], default="python")
    options = parser.parse_args()
    print(*ensure(options.directory, options.kind, options.tokens, options.spelling), sep="\n")


if __name__ == "__main__":
    main()
