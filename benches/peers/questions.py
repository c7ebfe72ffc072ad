"""What the report shows: its questions, who answers each, and the words around them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line of a table: a figure of a peer."""

    label: str
    peer: str
    figure: str

    def of(self, kind):
        return self.peer, kind, self.figure


@dataclass(frozen=True)
class Group:
    """Lines that answer one question. The first is what the others are compared with."""

    title: str
    kind: str
    rows: tuple
    plot: str = ""


@dataclass(frozen=True)
class Section:
    title: str
    text: str
    groups: tuple
    unit: str = "time"


OURS, PYTHON, NODE, NET = "token-cache", "MSAL Python", "MSAL Node", "MSAL.NET"


def _calls(figure, *more):
    return (
        Row(OURS, "ours", figure),
        *more,
        Row(PYTHON, "python", figure),
        Row(NODE, "node", figure),
        Row(NET, "net", figure),
    )


def _memory():
    resident = _calls("memory.per_token")[:3]
    return *resident, Row("MSAL.NET, managed heap", "net", "memory.heap_per_token")


def _lookups(figure, limit=True):
    limits = (Row("limit: build the key, probe, clone", "ours", "limit.exact"),) if limit else ()
    return (
        Row("token-cache `TokenCache::access_token`", "ours", figure),
        *limits,
        Row("MSAL Python `search`", "python", figure),
    )


BLOCKED = Row("token-cache, blocking", "ours", "call.exact.blocking")

SECTIONS = (
    Section(
        "Whole calls, in memory",
        """\
The public call for a token, from a cache that is in memory: ours is `PersistedTokenCache::access_token` over a
`MemoryStore`; the peers' is `acquire_token_silent` or `acquire_token_for_client` and their likes, with the set-up
of the request and the result object. A miss of a peer includes a token request that is refused at once; ours is
only the answer that there is none.""",
        (
            Group(
                "A user among many (ten tokens each), all scopes of the token",
                "users",
                _calls("call.exact", BLOCKED),
                "user-exact",
            ),
            Group("A user among many, one scope of the token's three", "users", _calls("call.subset"), "user-subset"),
            Group("A user among many, a scope that no token has", "users", _calls("call.miss"), "user-miss"),
            Group("One account that has all the tokens, all scopes", "account", _calls("call.exact"), "account-exact"),
            Group(
                "One account that has all the tokens, one scope of three",
                "account",
                _calls("call.subset"),
                "account-subset",
            ),
            Group("An application with a token per tenant", "tenants", _calls("call.exact"), "app-tenants"),
            Group(
                "An application with all the tokens in one tenant",
                "resources",
                (*_calls("call.exact"), Row("azure_identity", "azure", "call.exact")),
                "app-resources",
            ),
            Group("List all accounts", "users", _calls("call.accounts"), "accounts"),
        ),
    ),
    Section(
        "Storage only",
        """\
The lookup and nothing around it: not to be set against the whole calls above. The limit is a hash map by the text
of the key: it builds the key from its five parts, hashes it with foldhash, probes and clones the shared handle. It
knows nothing of scopes, aliases, letter case and expiry.""",
        (
            Group(
                "A user among many, all scopes of the token", "users", _lookups("storage.exact"), "storage-user-exact"
            ),
            Group("A user among many, one scope of three", "users", _lookups("storage.subset", limit=False)),
            Group("A user among many, a scope that no token has", "users", _lookups("storage.miss", limit=False)),
            Group("One account that has all the tokens, all scopes", "account", _lookups("storage.exact")),
            Group(
                "One account that has all the tokens, one scope of three",
                "account",
                _lookups("storage.subset", limit=False),
            ),
            Group("An application with a token per tenant", "tenants", _lookups("storage.exact")),
            Group("An application with all the tokens in one tenant", "resources", _lookups("storage.exact")),
        ),
    ),
    Section(
        "Through a file",
        """\
Whole calls through a cache file with all users in it. **Ours is encrypted and a save is durable (fsync)**; the
peers' files are plain text, which is what they write on Linux without a keyring, and are not synced. The extensions
of MSAL Python and MSAL Node look at the file's time and read it again if it changed; the plugin that the
documentation of MSAL Node shows reads it at every call; MSAL.NET does the same with the serialized cache that
Microsoft.Identity.Web keeps in memory. *Changed*: somebody else changed one entry. *Save*: one entry is changed and
written back.""",
        (
            Group(
                "A token, the file unchanged",
                "users",
                (
                    Row(OURS, "ours", "file.unchanged"),
                    Row("token-cache, blocking", "ours", "file.unchanged.blocking"),
                    Row("limit: one `stat`", "ours", "limit.stat"),
                    Row("MSAL Python Extensions", "python", "file.unchanged"),
                    Row("the same, only the look at the file", "python", "file.check"),
                    Row("MSAL Node Extensions", "node", "file.unchanged"),
                    Row("MSAL Node, documented plugin", "node", "file.plugin"),
                ),
                "file-unchanged",
            ),
            Group(
                "A token, the file changed",
                "users",
                (
                    Row(OURS, "ours", "file.changed"),
                    Row("MSAL Python Extensions", "python", "file.changed"),
                    Row("MSAL Node Extensions", "node", "file.changed"),
                ),
                "file-changed",
            ),
            Group(
                "Save one changed entry",
                "users",
                (
                    Row(OURS, "ours", "file.save_one"),
                    Row("limit: write, fsync, rename", "ours", "limit.save_one"),
                    Row("MSAL Python Extensions", "python", "file.save_one"),
                    Row("MSAL Node, documented plugin", "node", "file.save_one"),
                ),
                "file-save",
            ),
            Group(
                "A token of one account that has all the tokens, nothing changed",
                "account",
                (
                    Row("token-cache, encrypted file", "ours", "file.unchanged"),
                    Row("MSAL.NET, serialized in memory", "net", "serialized.exact"),
                ),
                "file-account",
            ),
        ),
    ),
    Section(
        "The whole document",
        """\
Loading the document into a cache that is ready for lookups, and writing it again. MB/s of the document's size.
Ours keeps the JSON of entries that did not change and writes it as it is; MSAL Python writes with an indent of four
spaces.""",
        (
            Group("Load, users", "users", _calls("document.load"), "load"),
            Group("Load, an application with a token per tenant", "tenants", _calls("document.load")),
            Group("Save, users", "users", _calls("document.save"), "save"),
            Group("Save, an application with a token per tenant", "tenants", _calls("document.save")),
        ),
        unit="rate",
    ),
    Section(
        "Memory",
        """\
Growth of the resident memory of a fresh process by loading the document, its text freed again, per access token
(with its share of the other entries); and the most that was resident while the document was read, loaded and saved.
Of MSAL.NET it is the growth of the managed heap.""",
        (
            Group("Per access token, users", "users", _memory()),
            Group("Per access token, one account that has all the tokens", "account", _memory()),
            Group("Per access token, an application with a token per tenant", "tenants", _memory()),
            Group("At most, users", "users", _calls("memory.peak")[:3]),
        ),
        unit="memory",
    ),
)

# What, the one, the other: figures as "peer kind figure", with a plus between those that add up.
HEADLINES = (
    ("our lookup / its limit (build the key, probe, clone)", "ours users storage.exact", "ours users limit.exact"),
    ("our subset of scopes / our exact hit", "ours users storage.subset", "ours users storage.exact"),
    ("our miss / our exact hit", "ours users storage.miss", "ours users storage.exact"),
    ("our one account with all tokens / our exact hit", "ours account storage.exact", "ours users storage.exact"),
    ("our one tenant with all tokens / our exact hit", "ours resources storage.exact", "ours users storage.exact"),
    ("MSAL Python `search` / our lookup", "python users storage.exact", "ours users storage.exact"),
    ("azure_identity / our call, one tenant", "azure resources call.exact", "ours resources call.exact"),
    ("MSAL.NET / our call, one account with all tokens", "net account call.exact", "ours account call.exact"),
    ("MSAL.NET / our call, one tenant with all tokens", "net resources call.exact", "ours resources call.exact"),
    (
        "our call, unchanged file / (`stat` + our lookup), async",
        "ours users file.unchanged",
        "ours users limit.stat + ours users storage.exact",
    ),
    ("the same, blocking", "ours users file.unchanged.blocking", "ours users limit.stat + ours users storage.exact"),
    ("MSAL Python / our call, unchanged file", "python users file.unchanged", "ours users file.unchanged"),
    ("MSAL Python / our load", "python users document.load", "ours users document.load"),
    ("MSAL Node / our load", "node users document.load", "ours users document.load"),
    ("MSAL Python / our save", "python users document.save", "ours users document.save"),
    ("MSAL Node / our save", "node users document.save", "ours users document.save"),
)

HEAD = """\
<!-- Written by benches/peers/run.sh; changes by hand are lost. -->
# Performance

This toolkit beside the token caches of MSAL Python, MSAL Node, MSAL.NET and azure_identity, on the same documents
and the same questions, in one interleaved run. Every peer had to hand out the same tokens. Read the ratios; the
absolute times belong to the machine below. Whole calls and storage-only lookups stand in tables of their own: a
ratio across the two means nothing."""

NOTES = """\
## Notes

- A document of users holds ten access tokens per account (2 tenants, 5 resources), 3.25 KB of JSON per access
  token, of which 2.17 KB are secrets. Every lookup draws from the same 2,000 random probes, which therefore stay
  warm. MSAL Python is asked by 64 application objects where each tenant needs one.
- Ours and azure_identity are timed in rounds of all 2,000 probes, since reading the clock takes about as long as
  one lookup; the others call by call. A figure is the median over rounds or calls, then over runs.
- MSAL Python finds a token in constant time only if the scopes asked for are the stored ones, all of them and no
  more; it scans otherwise. Its misses are answered by its own throttling of refused requests, mostly.
- MSAL Node copies and classifies the whole store at each lookup. Listing accounts is quadratic, and left out above
  1,000 tokens. One million tokens do not fit into its longest string.
- MSAL.NET copies and filters the partition of the account or tenant at each lookup. It chooses its probes itself,
  from the same documents; that it hands out the right tokens is checked on caches of ten. Its program is compiled
  ahead of time, where hits were measured 4 to 25 % slower than with the just-in-time compiler.
- azure_identity keeps tokens in memory only, for one application in one tenant, by the list of scopes. It loads no
  document: token requests filled it, answered with the document's tokens.
- One million tokens are measured once, for users, not through a file; by MSAL Python without a save, and it is the
  only peer."""
