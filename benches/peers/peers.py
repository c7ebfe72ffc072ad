"""The peers: how each is made ready, which caches it takes, and how one process of it measures one cache.

Every process prints one JSON line: `versions`, `digests` of the tokens that it handed out for the probes to check, and
`figures`, in nanoseconds per call, or bytes under `memory`. README.md lists them.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile

import caches

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
# A process that takes longer has come to a size that it was not made for.
TIMEOUT_SECONDS = 900


class Failed(Exception):
    """A peer that did not run, or gave another answer than the rest."""


class Peer:
    """What the peers share. `name` stands in options and results, `label` in the report."""

    largest = 100_000
    kinds = caches.KINDS

    def __init__(self, options):
        self.options = options

    def prepare(self):
        """Installs or builds what is missing."""

    def takes(self, kind, tokens):
        return kind in self.kinds and tokens <= self.largest

    def spelling(self, _kind):
        return "python"

    def document(self, kind, tokens):
        return caches.ensure(os.path.join(self.options.work, "caches"), kind, tokens, self.spelling(kind))

    def measures_files(self, kind, tokens):
        return kind == "users" and tokens <= self.options.file_max

    def measure(self, kind, tokens):
        """The line of a new process."""
        document, probes = self.document(kind, tokens)
        command = [*self.command(), document, probes, "--budget", str(self.options.budget)]
        with contextlib.ExitStack() as stack:
            if self.measures_files(kind, tokens):
                # On the disk of the caches: a file system in memory would make durability free.
                command += ["--directory", stack.enter_context(tempfile.TemporaryDirectory(dir=self.options.work))]
            return json.loads(run(command))


class Ours(Peer):
    name, label = "ours", "token-cache"
    largest = 1_000_000

    def prepare(self):
        run(["cargo", "build", "--release", "--locked", "-p", "benches", "--bin", "peer"], cwd=ROOT)
        self.program = os.path.join(target_directory(ROOT), "release", "peer")

    def command(self):
        return [self.program]

    def measures_files(self, kind, tokens):
        return kind in ("users", "account") and tokens <= self.options.file_max


class Python(Peer):
    name, label = "python", "MSAL Python"
    largest = 1_000_000

    def prepare(self):
        environment = os.path.join(self.options.work, "venv")
        self.program = os.path.join(environment, "bin", "python")
        requirements = os.path.join(HERE, "requirements.txt")
        if not os.path.exists(self.program):
            run([sys.executable, "-m", "venv", environment])
        run([self.program, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements])

    def command(self):
        return [self.program, os.path.join(HERE, "msal_python.py")]


class Node(Peer):
    """Longest text: 536,870,888 characters, about 165,000 tokens of users."""

    name, label = "node", "MSAL Node"

    def prepare(self):
        directory = os.path.join(HERE, "node")
        installed = os.path.join(directory, "node_modules", ".package-lock.json")
        if not is_newer(installed, os.path.join(directory, "package-lock.json")):
            # The native keyring of the extensions, which cannot be built everywhere, takes no part.
            run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"], cwd=directory)

    def spelling(self, kind):
        return "node" if kind in ("tenants", "resources") else "python"

    def command(self):
        return ["node", "--expose-gc", "--max-old-space-size=12000", os.path.join(HERE, "node", "msal_node.mjs")]


class AzureIdentity(Peer):
    """Keeps the tokens of one application in one tenant, in memory only."""

    name, label = "azure", "azure_identity"
    kinds = ("resources",)

    def prepare(self):
        directory = os.path.join(HERE, "azure-identity")
        target = os.path.join(self.options.work, "azure-identity")
        run(["cargo", "build", "--release", "--locked", "--target-dir", target], cwd=directory)
        self.program = os.path.join(target, "release", "azure-identity-peer")

    def command(self):
        return [self.program]

    def measures_files(self, _kind, _tokens):
        return False


class Net(Peer):
    """MSAL.NET by a program outside this repository. It reads the same documents under names of its own, and chooses
    its probes itself: it fails if one of them is not answered by the cache, but does not tell the answer."""

    name, label = "net", "MSAL.NET"
    SHAPES = {"users": "user10", "account": "user1", "tenants": "app1each", "resources": "app1"}
    # Behind the serializing cache of Microsoft.Identity.Web, where each call parses the whole partition.
    SERIALIZED = {"account": "ser-user", "resources": "ser-app"}
    LARGEST_SERIALIZED = 10_000
    CALLS = {
        "silent_exact": "call.exact",
        "for_client_hit": "call.exact",
        "silent_subset": "call.subset",
        "silent_miss": "call.miss",
        "for_client_miss": "call.miss",
        "get_accounts": "call.accounts",
    }

    def prepare(self):
        self.program = os.path.abspath(self.options.net_peer)
        self.directory = os.path.join(self.options.work, "net")
        os.makedirs(self.directory, exist_ok=True)
        for kind in caches.KINDS:
            self.check(kind)

    def check(self, kind):
        """That MSAL.NET hands out the tokens of the document, as its own verb for that tells. The verb moves the times
        of the document from the year 2027 to now; MSAL.NET takes no token that lives for more than ten years."""
        with open(self.document(kind, 10)[0], encoding="ascii") as file:
            text = file.read().replace(f'"{caches.EXPIRES_ON}"', '"1800086400"')
        with tempfile.NamedTemporaryFile("w", dir=self.options.work, suffix=".json") as copy:
            copy.write(text)
            copy.flush()
            application = ["--app"] if kind in ("tenants", "resources") else []
            output = run([self.program, "fixtures", "read", copy.name, *application])
        lines = [json.loads(line) for line in output.splitlines()]
        found = [line["found"] == line["access_token"] for line in lines if "access_token" in line]
        if len(found) != 10 or not all(found):
            raise Failed(f"MSAL.NET finds {sum(found)} of the 10 tokens of {kind}-10")

    def measure(self, kind, tokens):
        line = self.bench(self.SHAPES[kind], kind, tokens)
        result = self.translate(line)
        if kind in self.SERIALIZED and tokens <= self.LARGEST_SERIALIZED:
            serialized = self.translate(self.bench(self.SERIALIZED[kind], kind, tokens))
            result["figures"]["serialized.exact"] = serialized["figures"]["call.exact"]
        return result

    def bench(self, shape, kind, tokens):
        document, _ = self.document(kind, tokens)
        link = os.path.join(self.directory, f"{self.SHAPES[kind]}-{tokens}.json")
        if not os.path.lexists(link):
            os.symlink(document, link)
        budget = self.options.budget
        # The generator is not called, since the document is there.
        output = run(
            [
                self.program,
                "bench",
                "--dir",
                self.directory,
                "--gen",
                "unused",
                "--kinds",
                shape,
                "--sizes",
                str(tokens),
                "--runs",
                "1",
                "--budget",
                str(budget),
                "--warm-up",
                str(3 * budget),
            ]
        )
        # A line for the run, and one of medians over the one run.
        return json.loads(output.splitlines()[0])

    @classmethod
    def translate(cls, line):
        """The line of `net-peer bench` in the words of the other peers."""
        figures = {ours: line[theirs]["p50_ns"] for theirs, ours in cls.CALLS.items() if theirs in line}
        for theirs, ours in (("deserialize_MBps", "document.load"), ("serialize_MBps", "document.save")):
            if theirs in line:
                figures[ours] = line["blob_bytes"] / line[theirs] * 1e3
        # Its resident memory before loading holds garbage of its preparations.
        if "heap_per_token" in line:
            figures["memory.heap_per_token"] = line["heap_per_token"]
        versions = {"MSAL.NET": line["peer"].split()[-1], ".NET": line["runtime"]}
        return {"versions": versions, "digests": {}, "figures": figures}


PEERS = (Ours, Python, Node, Net, AzureIdentity)


def run(command, cwd=None):
    """What the command prints; what it says on its error output is for whoever watches."""
    try:
        done = subprocess.run(command, cwd=cwd, check=True, timeout=TIMEOUT_SECONDS, stdout=subprocess.PIPE, text=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise Failed(str(error)) from error
    return done.stdout


def target_directory(directory):
    metadata = run(["cargo", "metadata", "--format-version", "1", "--no-deps", "--locked"], cwd=directory)
    return json.loads(metadata)["target_directory"]


def is_newer(path, than):
    return os.path.exists(path) and os.path.getmtime(path) >= os.path.getmtime(than)
