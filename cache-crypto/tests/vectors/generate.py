#!/usr/bin/env python3
"""Writes the test vectors of docs/envelope.md: a second implementation of envelope v1, made from that page alone.

    pip install cryptography argon2-cffi
    python generate.py

Everything is fixed, so each run writes the same files.
"""

import hashlib
import json
import pathlib
import struct

from argon2.low_level import Type, hash_secret_raw
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MAGIC = bytes.fromhex("89544F4B454E430A")
KEY = bytes(range(0x80, 0xA0))
OTHER_KEY = bytes(range(0x40, 0x60))
BLOB_SALT = bytes(range(0x20))
ARGON2_SALT = b"0123456789abcdef"
TEXT = b'{"AccessToken":{},"RefreshToken":{}}'
SHARED = {"kind": "shared", "parts": []}
USER = {"kind": "user", "parts": ["uid.utid"]}
FILE = {"store": "file", "partition": SHARED, "part": "document"}


def hkdf(key, salt, label, length):
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=label.encode()).derive(key)


def key_id(key):
    return hkdf(key, None, "tokencache/v1 key id", 8)


def argon2id(passphrase, salt, memory_kib, passes, lanes):
    return hash_secret_raw(passphrase.encode(), salt, passes, memory_kib, lanes, 32, Type.ID, 19)


def partition_bytes(partition):
    out = partition["kind"].encode() + b"\0"
    for part in partition["parts"]:
        if part is None:
            out += struct.pack("<Q", 0)
        else:
            out += struct.pack("<Q", len(part.encode()) + 1) + part.encode()
    return out


def context_bytes(context):
    def field(tag, content):
        return struct.pack("<BQ", tag, len(content)) + content

    def time(number):
        return b"" if number is None else struct.pack("<q", number)

    part = context["part"]
    out = field(1, context["store"].encode()) + field(2, partition_bytes(context["partition"]))
    out += field(3, {"document": b"\1", "name": b"\2", "entry": b"\3", "journal": b"\4", "index_key": b"\5"}[part])
    if part == "entry":
        out += field(4, bytes.fromhex(context["id"]))
        out += field(5, time(context["written_at"])) + field(6, time(context["expires_on"]))
        out += field(7, bytes.fromhex(context["account"]))
    return out


def header(key, ident=None, suite=1, source=b"\0\0", check=None, checksum_version=1, version=1):
    fields = bytes([suite]) + (ident or key_id(key)) + source + BLOB_SALT
    fields += check or hkdf(key, BLOB_SALT, "tokencache/v1 key check", 16)
    checksum = hashlib.sha256(MAGIC + bytes([checksum_version]) + fields).digest()[:8]
    return MAGIC + bytes([version]) + fields + checksum


def source(memory_kib, passes, lanes, salt=ARGON2_SALT):
    body = struct.pack("<III", memory_kib, passes, lanes) + salt
    return bytes([1, len(body)]) + body


def seal(key, context, plaintext, head=None):
    head = head or header(key)
    content_key = hkdf(key, BLOB_SALT, "tokencache/v1 aes-256-gcm key", 32)
    nonce = hkdf(key, BLOB_SALT, "tokencache/v1 aes-256-gcm nonce", 12)
    return head + AESGCM(content_key).encrypt(nonce, plaintext, head + context_bytes(context))


def write(name, about, envelope, opens, context=FILE, plaintext=None, **keys):
    case = {"about": about, "opens": opens, **keys, "context": context}
    if plaintext is not None:
        case["plaintext"] = plaintext.hex()
    case["envelope"] = envelope.hex()
    text = json.dumps(case, indent=2, ensure_ascii=False) + "\n"
    pathlib.Path(__file__).with_name(name + ".json").write_text(text, encoding="utf-8")


def good(name, about, context=FILE, plaintext=TEXT, master=KEY, head=None, **keys):
    keys = keys or {"key": master.hex()}
    write(name, about, seal(master, context, plaintext, head), "ok", context, plaintext, **keys)


def bad(name, about, kind, envelope, context=FILE, **keys):
    write(name, about, envelope, kind, context, **(keys or {"key": KEY.hex()}))


def main():
    good("key_document", "the document of the shared partition, protected with a key")
    good("key_document_of_user", "a user's document", {**FILE, "partition": USER})
    app = {"kind": "app", "parts": ["client", "tenant", None, "hash"]}
    good("key_document_of_app", "an application's document; one part is absent", {**FILE, "partition": app})
    good("key_empty", "nothing to protect", plaintext=b"")
    good("key_name", "a partition's name", {**FILE, "part": "name"}, partition_bytes(USER))
    good("key_journal", "the journal beside a document", {**FILE, "part": "journal"})
    good("key_index_key", "the index key of a store of entries", {**FILE, "store": "sqlite", "part": "index_key"})
    entry = {"store": "sqlite", "partition": USER, "part": "entry", "id": "6964", "account": "616263"}
    good("key_entry", "an entry with all its facts", {**entry, "written_at": 1700000000123, "expires_on": 1700003600})
    good("key_entry_bare", "an entry without times and account",
         {**entry, "account": "", "written_at": None, "expires_on": None})
    good("key_entry_before_1970", "times before 1970", {**entry, "written_at": -1, "expires_on": -62135596800})
    ident = b"\0version"
    good("key_named", "a key service's own key id", head=header(KEY, ident), key_id=ident.hex(), key=KEY.hex())

    words = "correct horse bättery staple \u2603"
    for name, about, work in [
        ("passphrase_document", "protected with a passphrase", (64, 1, 1)),
        ("passphrase_lanes", "several passes and lanes", (256, 3, 4)),
    ]:
        key = argon2id(words, ARGON2_SALT, *work)
        good(name, about, master=key, head=header(key, source=source(*work)), passphrase=words)

    sealed = seal(KEY, FILE, TEXT)
    bad("wrong_key", "protected with another key", "Undecryptable", sealed, key=OTHER_KEY.hex())
    key = argon2id(words, ARGON2_SALT, 64, 1, 1)
    sealed_words = seal(key, FILE, TEXT, header(key, source=source(64, 1, 1)))
    bad("wrong_passphrase", "protected with another passphrase", "Undecryptable", sealed_words, passphrase="wrong")
    bad("passphrase_for_key", "protected with a key, opened with a passphrase", "Undecryptable", sealed, passphrase=words)
    bad("key_for_passphrase", "protected with a passphrase, opened with a key", "Undecryptable", sealed_words)
    bad("wrong_key_check", "the key id fits, the key check does not", "Undecryptable",
        seal(KEY, FILE, TEXT, header(KEY, check=bytes(16))))

    bad("other_partition", "made for another partition", "Corrupt", sealed, {**FILE, "partition": USER})
    bad("other_store", "made for another kind of store", "Corrupt", sealed, {**FILE, "store": "redis"})
    bad("other_part", "a document given as a name", "Corrupt", sealed, {**FILE, "part": "name"})
    bad("damaged_magic", "one bit of the magic", "Corrupt", bytes([sealed[0] ^ 1]) + sealed[1:])
    bad("damaged_version", "the version byte, and nothing else", "Corrupt", sealed[:8] + b"\2" + sealed[9:])
    bad("damaged_checksum", "one bit of the checksum", "Corrupt", sealed[:75] + bytes([sealed[75] ^ 1]) + sealed[76:])
    bad("damaged_ciphertext", "one bit of the ciphertext", "Corrupt", sealed[:76] + bytes([sealed[76] ^ 1]) + sealed[77:])
    bad("damaged_tag", "one bit of the tag", "Corrupt", sealed[:-1] + bytes([sealed[-1] ^ 0x80]))
    bad("one_byte_more", "one byte after the tag", "Corrupt", sealed + b"\0")
    bad("cut_in_tag", "15 bytes after the header", "Corrupt", sealed[: 76 + 15])
    bad("empty", "no bytes", "Corrupt", b"")

    newer = header(KEY, version=2, checksum_version=2)
    bad("newer_version", "version 2, with a checksum of its own", "Unsupported", seal(KEY, FILE, TEXT, newer))
    bad("unknown_suite", "suite 2", "Unsupported", seal(KEY, FILE, TEXT, header(KEY, suite=2)))
    bad("unknown_source", "source tag 2", "Unsupported", seal(KEY, FILE, TEXT, header(KEY, source=b"\2\3abc")))
    bad("unknown_source_empty", "source tag 2 without parameters", "Unsupported",
        seal(KEY, FILE, TEXT, header(KEY, source=b"\2\0")))
    bad("longest_source", "source tag 255 with 255 bytes", "Unsupported",
        seal(KEY, FILE, TEXT, header(KEY, source=b"\xff\xff" + bytes(255))))
    bad("short_source", "argon2id parameters of 27 bytes", "Unsupported",
        seal(KEY, FILE, TEXT, header(KEY, source=source(64, 1, 1, ARGON2_SALT[:15]))))
    for name, about, work in [
        ("excess_memory", "1 GiB and 1 KiB", (1048577, 1, 1)),
        ("most_memory", "4 TiB", (0xFFFFFFFF, 1, 1)),
        ("excess_passes", "17 passes", (64, 17, 1)),
        ("excess_lanes", "17 lanes", (1024, 1, 17)),
        ("little_memory", "less than 8 KiB a lane", (15, 1, 2)),
        ("no_passes", "no pass", (64, 0, 1)),
        ("no_lanes", "no lane", (64, 1, 0)),
    ]:
        bad(name, about, "Unsupported", seal(KEY, FILE, TEXT, header(KEY, source=source(*work))), passphrase=words)
    bad("plaintext", "a document as it is", "Unsupported", TEXT)


if __name__ == "__main__":
    main()
