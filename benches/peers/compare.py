#!/usr/bin/env python3
"""Measures this toolkit and its peers on the same caches, in turn, and writes docs/performance.md with its plots.

Each (peer, kind, size, run) is a process of its own. Within a run the peers take turns at every cache, so that a ratio
is one of figures taken minutes apart at most. Every peer must hand out the same tokens for the same probes, or nothing
is written.
"""

import argparse
import datetime
import json
import os
import platform
import sys
import time

import caches
import peers
import report


def main():
    options = parse(sys.argv[1:])
    os.makedirs(options.work, exist_ok=True)
    results = os.path.join(options.work, "quick.jsonl" if options.quick else "results.jsonl")
    if not options.report_only:
        failures = measure(options, results)
        if failures:
            say(
                "\n".join(
                    [f"\n{len(failures)} failed; no report was written. What did not fail is in {results}.", *failures]
                )
            )
            return 1
    for path in report.write(results, options.docs):
        print(path)
    return 0


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [peer.name for peer in peers.PEERS]
    option = parser.add_argument
    option("--quick", action="store_true", help="a smoke test: small sizes, one run, short; writes to WORK/docs")
    option("--peers", type=_list_of(str, names), default=names, help=f"of {','.join(names)}; all by default")
    option("--kinds", type=_list_of(str, caches.KINDS), default=list(caches.KINDS), help=f"of {','.join(caches.KINDS)}")
    option("--sizes", type=_list_of(int), help="access tokens; 10,1000,10000,100000,1000000 by default")
    option("--runs", type=int, help="3 by default; above 100000 tokens one run is made")
    option("--budget", type=float, help="seconds for each figure that is not slower than that; 0.2 by default")
    option("--file-max", type=int, default=100_000, help="the largest cache that is measured through a file")
    option("--net-peer", default=os.environ.get("NET_PEER"), help="path of the program for MSAL.NET; or NET_PEER")
    option("--work", help="where caches, peers and results lie; peers in cargo's target directory by default")
    option("--docs", help="where performance.md goes; docs of this repository by default")
    option("--report-only", action="store_true", help="only write the report of the last results again")
    options = parser.parse_args(arguments)
    sizes, runs, budget = ([10, 1000], 1, 0.05) if options.quick else ([10, 1000, 10_000, 100_000, 1_000_000], 3, 0.2)
    options.sizes = options.sizes or sizes
    options.runs = options.runs or runs
    options.budget = options.budget or budget
    options.work = os.path.abspath(options.work or os.path.join(peers.target_directory(peers.ROOT), "peers"))
    docs = os.path.join(options.work if options.quick else peers.ROOT, "docs")
    options.docs = os.path.abspath(options.docs or docs)
    return options


def measure(options, results):
    """Writes all lines to `results`; returns what failed."""
    chosen = [peer(options) for peer in peers.PEERS if peer.name in options.peers]
    if not options.net_peer:
        chosen = [peer for peer in chosen if peer.name != "net"]
        say("MSAL.NET is left out: neither --net-peer nor NET_PEER names its program")
    if not chosen:
        raise peers.Failed("no peer is left to measure")
    for peer in chosen:
        say(f"making {peer.label} ready")
        peer.prepare()
    turns = list(schedule(options, chosen))
    say("making the caches ready")
    for _, kind, tokens, peer in turns:
        peer.document(kind, tokens)

    failures, began = [], time.monotonic()
    with open(results, "w", encoding="utf-8") as out:
        write_line(out, {"environment": environment(options, chosen)})
        for number, (run, kind, tokens, peer) in enumerate(turns, 1):
            start, load = time.monotonic(), round(os.getloadavg()[0], 2)
            turn = {"peer": peer.name, "kind": kind, "tokens": tokens, "run": run, "load": load}
            try:
                line = peer.measure(kind, tokens)
                agree(peer, kind, tokens, line["digests"])
                size = os.path.getsize(peer.document(kind, tokens)[0])
                write_line(out, {**turn, "document_bytes": size, **line})
            except peers.Failed as error:
                failures.append(f"{peer.label}, {kind}, {tokens} tokens: {error}")
                say(failures[-1])
            taken, minutes = time.monotonic() - start, (time.monotonic() - began) / 60
            where = f"{number}/{len(turns)} run {run + 1} {kind} {tokens} {peer.name}"
            say(f"{where}: {taken:.1f} s, {minutes:.1f} min in all")
        write_line(out, {"minutes": round((time.monotonic() - began) / 60, 1)})
    return failures


def schedule(options, chosen):
    """(run, kind, tokens, peer), the peers in turn at each cache. Another one begins in each run."""
    for run in range(options.runs):
        first = run % len(chosen)
        for tokens in options.sizes:
            # Of caches that large, one run and one kind take minutes and gigabytes.
            if tokens > 100_000 and run > 0:
                continue
            for kind in options.kinds:
                if tokens > 100_000 and kind != "users":
                    continue
                for peer in chosen[first:] + chosen[:first]:
                    if peer.takes(kind, tokens):
                        yield run, kind, tokens, peer


def agree(peer, kind, tokens, digests):
    """All peers hand out the tokens that are in the document, by whatever way they are asked."""
    with open(peer.document(kind, tokens)[1], encoding="utf-8") as file:
        expected = json.load(file)["digest"]
    wrong = [name for name, digest in digests.items() if digest != expected]
    if wrong or not (digests or peer.name == "net"):
        raise peers.Failed(f"other tokens than the document's were handed out ({', '.join(wrong) or 'none was'})")


def environment(options, chosen):
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = (line.split(":")[1].strip() for line in file if line.startswith("model name"))
        processor = next(models, platform.machine())
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        commit = peers.run(["git", "describe", "--always", "--dirty", "--exclude", "*"], cwd=peers.ROOT).strip()
    except peers.Failed:
        commit = "unknown"
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "processor": processor,
        "cores": os.cpu_count(),
        "memory_bytes": memory,
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "rustc": peers.run(["rustc", "--version"], cwd=peers.ROOT).split()[1],
        "commit": commit,
        "peers": [peer.name for peer in chosen],
        "runs": options.runs,
        "budget": options.budget,
    }


def write_line(out, line):
    out.write(json.dumps(line) + "\n")
    out.flush()


def say(text):
    print(text, file=sys.stderr, flush=True)


def _list_of(convert, allowed=None):
    def parse_list(text):
        values = [convert(value) for value in text.split(",")]
        unknown = [value for value in values if allowed and value not in allowed]
        if unknown:
            raise argparse.ArgumentTypeError(f"{unknown[0]} is none of {', '.join(allowed)}")
        return values

    return parse_list


if __name__ == "__main__":
    try:
        sys.exit(main())
    except peers.Failed as error:
        sys.exit(f"failed: {error}")
