#!/usr/bin/env python3
"""MSAL Python and its extensions on one cache of caches.py: prints one JSON line (see README.md for its fields).

    msal_python.py DOCUMENT PROBES [--budget SECONDS] [--directory DIRECTORY]

--directory also measures MSAL Extensions over a file in that directory, which must be empty. No network: a stub answers
requests for metadata and refuses requests for tokens.
"""

import argparse
import gc
import hashlib
import json
import logging
import os
import platform
import statistics
import time

import msal
import msal_extensions

clock = time.perf_counter_ns
ACCESS_TOKEN = msal.TokenCache.CredentialType.ACCESS_TOKEN
# A saved cache of more tokens than this is built from pieces that take many times its size.
LARGEST_SAVE = 100_000
# An application object per tenant: more would measure the cold memory of the objects, not of the cache.
APPLICATIONS = 64


class Stub:
    """The network: metadata by the shape of the address, and invalid_grant for every token request."""

    def get(self, url, **_):
        base = "/".join(url.split("/")[:4])
        return Response(
            200,
            {
                "issuer": base + "/v2.0",
                "token_endpoint": base + "/oauth2/v2.0/token",
                "authorization_endpoint": base + "/oauth2/v2.0/authorize",
                "device_authorization_endpoint": base + "/oauth2/v2.0/devicecode",
            },
        )

    def post(self, url, **_):
        return Response(400, {"error": "invalid_grant", "error_description": "stub"})

    def close(self):
        pass


class Response:
    def __init__(self, status, body):
        self.status_code, self.text, self.headers = status, json.dumps(body), {}

    def raise_for_status(self):
        if self.status_code >= 400:
            raise RuntimeError(self.status_code)


class Timer:
    def __init__(self, budget):
        self.budget = int(budget * 1e9)

    def calls(self, call, arguments, at_least=3, warm_up=True):
        """Median nanoseconds of `call` over the arguments in turn."""
        if warm_up:
            call(arguments[0])
        times, end, number = [], clock() + self.budget, 0
        while (clock() < end or number < at_least) and number < 20_000:
            argument = arguments[number % len(arguments)]
            start = clock()
            call(argument)
            times.append(clock() - start)
            number += 1
        return statistics.median(times)

    def rounds(self, call, first):
        """Median nanoseconds of `call`, which took `first` once: again until the budget is used up."""
        times, end = [first], clock() + self.budget - first
        while clock() < end:
            result, taken = once(call)
            times.append(taken)
            # Outside of the time that was taken.
            del result
            gc.collect()
        return statistics.median(times)


def once(call):
    start = clock()
    result = call()
    return result, clock() - start


class Peer:
    """The public calls of one application, or of one per tenant, on the probes."""

    def __init__(self, cache, case):
        self.cache, self.case = cache, case
        self.probes = case["probes"]
        self.is_user = bool(self.probes[0]["home_account_id"])
        if case["kind"] == "tenants":
            self.probes = self.probes[:APPLICATIONS]
        for probe in self.probes:
            probe["account"] = {"home_account_id": probe["home_account_id"], "environment": case["environment"]}
            probe["application"] = self.application(probe["realm"]) if case["kind"] == "tenants" else None
        shared = None if case["kind"] == "tenants" else self.application(case["realm"])
        for probe in self.probes:
            probe["application"] = probe["application"] or shared
        self.shared = self.probes[0]["application"]

    def application(self, realm):
        options = {
            "authority": f"https://{self.case['environment']}/{realm}",
            "token_cache": self.cache,
            "http_client": Stub(),
            "instance_discovery": False,
        }
        if self.is_user:
            return msal.PublicClientApplication(self.case["client_id"], **options)
        return msal.ConfidentialClientApplication(self.case["client_id"], client_credential="x", **options)

    def ask(self, probe, scopes):
        if self.is_user:
            return probe["application"].acquire_token_silent(scopes, account=probe["account"])
        return probe["application"].acquire_token_for_client(scopes)

    def exact(self, probe):
        return self.ask(probe, probe["scopes"])["access_token"]

    def subset(self, probe):
        return self.ask(probe, probe["scopes"][-1:])["access_token"]

    def miss(self, probe):
        result = self.ask(probe, [self.case["absent_scope"]])
        assert not result or "access_token" not in result, "a miss was answered"

    def search(self, probe, scopes):
        """Storage only: what the calls above ask the cache for."""
        query = {
            "home_account_id": probe["home_account_id"] or None,
            "environment": self.case["environment"],
            "client_id": self.case["client_id"],
            "realm": probe["realm"],
        }
        return self.cache.search(ACCESS_TOKEN, target=scopes, query=query)

    def digest(self, call):
        answers = "\n".join(call(probe) for probe in self.probes[: self.case["checked"]])
        return hashlib.sha256(answers.encode()).hexdigest()


def measure(document, case, budget, directory):
    tokens, timer, figures, digests = case["tokens"], Timer(budget), {}, {}
    empty = resident()
    cache, first = load_once(document)
    gc.collect()
    figures["memory.per_token"] = (resident() - empty) / tokens
    if tokens <= LARGEST_SAVE:
        figures["document.save"] = timer.rounds(cache.serialize, once(cache.serialize)[1])
    figures["memory.peak"] = peak()
    figures["document.load"] = load_again(document, timer, first)
    # The collector's walks over the cache are no part of a lookup.
    gc.collect()
    gc.freeze()

    peer = Peer(cache, case)
    digests["exact"] = peer.digest(peer.exact)
    figures["call.exact"] = timer.calls(peer.exact, peer.probes)
    figures["call.miss"] = timer.calls(peer.miss, peer.probes)
    digests["storage.exact"] = peer.digest(lambda probe: next(peer.search(probe, probe["scopes"]))["secret"])
    figures["storage.exact"] = timer.calls(lambda probe: next(peer.search(probe, probe["scopes"])), peer.probes)
    absent = [case["absent_scope"]]
    figures["storage.miss"] = timer.calls(lambda probe: list(peer.search(probe, absent)), peer.probes)
    if peer.is_user:
        digests["subset"] = peer.digest(peer.subset)
        figures["call.subset"] = timer.calls(peer.subset, peer.probes)
        figures["storage.subset"] = timer.calls(
            lambda probe: next(peer.search(probe, probe["scopes"][-1:])), peer.probes
        )
    if case["kind"] == "users":
        figures["call.accounts"] = timer.calls(lambda _: peer.shared.get_accounts(), peer.probes)
    if directory:
        measure_file(document, case, timer, directory, figures, digests)
    return figures, digests


def measure_file(document, case, timer, directory, figures, digests):
    path = os.path.join(directory, "cache.json")
    store = msal_extensions.FilePersistence(path)
    store.save(read(document))
    # The cache takes a file for changed that was written in the same moment as it looked.
    time.sleep(0.05)
    cache = msal_extensions.PersistedTokenCache(store)
    peer = Peer(cache, case)
    digests["file"] = peer.digest(peer.exact)
    figures["file.unchanged"] = timer.calls(peer.exact, peer.probes)
    figures["file.check"] = timer.calls(lambda _: cache._reload_if_necessary(), peer.probes)

    def changed(probe):
        now = time.time()
        os.utime(path, (now, now))
        cache._last_sync = now - 1
        return once(lambda: peer.exact(probe))[1]

    times, end = [changed(peer.probes[0])], clock() + timer.budget
    while clock() < end:
        times.append(changed(peer.probes[len(times) % len(peer.probes)]))
    figures["file.changed"] = statistics.median(times)
    entry = next(iter(cache._cache[ACCESS_TOKEN].values()))
    figures["file.save_one"] = timer.calls(
        lambda _: cache.modify(ACCESS_TOKEN, entry, {"secret": entry["secret"]}), peer.probes, 1, warm_up=False
    )


def load_once(document):
    text = read(document)
    return once(lambda: loaded(text))


def load_again(document, timer, first):
    text = read(document)
    return timer.rounds(lambda: loaded(text), first)


def loaded(text):
    cache = msal.SerializableTokenCache()
    cache.deserialize(text)
    return cache


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def resident():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak():
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("document")
    parser.add_argument("probes")
    parser.add_argument("--budget", type=float, default=0.2)
    parser.add_argument("--directory")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    figures, digests = measure(options.document, json.loads(read(options.probes)), options.budget, options.directory)
    versions = {
        "MSAL Python": msal.__version__,
        "MSAL Extensions for Python": msal_extensions.__version__,
        "Python": platform.python_version(),
    }
    print(json.dumps({"versions": versions, "digests": digests, "figures": figures}))


if __name__ == "__main__":
    main()
