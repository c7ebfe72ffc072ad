"""python3 -m unittest discover -s benches/peers"""

import io
import json
import os
import re
import tempfile
import types
import unittest
import xml.etree.ElementTree as xml

import caches
import compare
import peers
import plots
import report

SVG = "{http://www.w3.org/2000/svg}"


class TheCaches(unittest.TestCase):
    def test_the_probes_lead_to_the_tokens_of_the_digest(self):
        for kind in caches.KINDS:
            for spelling in ("python", "node"):
                with self.subTest(kind=kind, spelling=spelling):
                    document, probes = written(kind, spelling)
                    by_place = {
                        (entity["home_account_id"] or "", entity["realm"], entity["target"]): entity["secret"]
                        for entity in document["AccessToken"].values()
                    }
                    secrets = [
                        by_place[probe["home_account_id"], probe["realm"], " ".join(probe["scopes"])]
                        for probe in probes["probes"][: probes["checked"]]
                    ]
                    self.assertEqual(len(document["AccessToken"]), 20)
                    self.assertEqual(caches.digest(secrets), probes["digest"])

    def test_both_spellings_hold_the_same_tokens(self):
        secrets = [
            {entity["secret"] for entity in written("tenants", spelling)[0]["AccessToken"].values()}
            for spelling in ("python", "node")
        ]
        self.assertEqual(*secrets)

    def test_users_are_asked_for_in_their_home_tenant(self):
        for probe in written("users", "python")[1]["probes"]:
            self.assertEqual(probe["home_account_id"].split(".")[1], probe["realm"])

    def test_a_cache_that_is_there_is_not_written_again(self):
        with tempfile.TemporaryDirectory() as directory:
            document, _ = caches.ensure(directory, "users", 10)
            before = os.stat(document)
            self.assertEqual(caches.ensure(directory, "users", 10)[0], document)
            self.assertEqual(os.stat(document).st_ino, before.st_ino)


class TheComparison(unittest.TestCase):
    def test_the_peers_take_turns_and_another_one_begins_each_run(self):
        options = compare.parse(["--sizes", "10,1000", "--kinds", "resources", "--runs", "2", "--work", "unused"])
        chosen = [peer(options) for peer in peers.PEERS]
        turns = [(run, tokens, peer.name) for run, _, tokens, peer in compare.schedule(options, chosen)]
        self.assertEqual(
            [name for run, tokens, name in turns if (run, tokens) == (0, 10)],
            ["ours", "python", "node", "net", "azure"],
        )
        self.assertEqual(
            [name for run, tokens, name in turns if (run, tokens) == (1, 10)],
            ["python", "node", "net", "azure", "ours"],
        )

    def test_a_million_tokens_are_for_those_who_can_and_for_one_run(self):
        options = compare.parse(["--sizes", "1000000", "--work", "unused"])
        chosen = [peer(options) for peer in peers.PEERS]
        turns = [(run, kind, peer.name) for run, kind, _, peer in compare.schedule(options, chosen)]
        self.assertEqual(turns, [(0, "users", "ours"), (0, "users", "python")])

    def test_another_token_is_a_failure(self):
        with tempfile.TemporaryDirectory() as directory:
            peer = peers.Python(types.SimpleNamespace(work=directory))
            with open(peer.document("users", 10)[1], encoding="utf-8") as file:
                right = json.load(file)["digest"]
            compare.agree(peer, "users", 10, {"exact": right})
            for digests in ({"exact": right, "file": caches.digest(["another"])}, {}):
                with self.assertRaises(peers.Failed):
                    compare.agree(peer, "users", 10, digests)

    def test_lines_of_msal_net_are_put_in_our_words(self):
        line = {
            "peer": "msal.net 4.92.0",
            "runtime": "10.0.12",
            "blob_bytes": 3_000_000,
            "deserialize_MBps": 100.0,
            "serialize_MBps": 200.0,
            "heap_per_token": 6000,
            "silent_exact": {"p50_ns": 21_000, "calls": 5},
        }
        self.assertEqual(
            peers.Net.translate(line),
            {
                "versions": {"MSAL.NET": "4.92.0", ".NET": "10.0.12"},
                "digests": {},
                "figures": {
                    "call.exact": 21_000,
                    "document.load": 30e6,
                    "document.save": 15e6,
                    "memory.heap_per_token": 6000,
                },
            },
        )


class TheReport(unittest.TestCase):
    def test_a_ratio_is_the_median_of_the_ratios_of_the_runs(self):
        results = report.Results(lines({0: (100, 1000), 1: (400, 1200), 2: (200, 4000)}))
        ours, python = ("ours", "users", "call.exact"), ("python", "users", "call.exact")
        self.assertEqual(results.value(ours, 1000), 200)
        self.assertEqual(results.value(python, 1000), 1200)
        # 10, 3 and 20; the ratio of the medians would be 6.
        self.assertEqual(results.ratio([python], [ours], 1000), 10)
        self.assertEqual(results.spread(ours, 1000), 1.5)

    def test_the_document_shows_what_was_measured_and_says_what_was_not(self):
        text = report.text(report.Results(lines({0: (150, 12_700)})))
        self.assertIn("| token-cache | **150 ns** |", text)
        self.assertIn("| MSAL Python | 12.7 µs (85x) |", text)
        self.assertIn("MSAL.NET was not measured", text)
        self.assertNotIn("| MSAL Node |", text)
        self.assertNotIn("## Memory", text)

    def test_every_plot_of_the_document_is_written(self):
        with tempfile.TemporaryDirectory() as directory:
            source = os.path.join(directory, "results.jsonl")
            with open(source, "w", encoding="utf-8") as file:
                file.writelines(json.dumps(line) + "\n" for line in lines({0: (150, 12_700)}))
            written_paths = report.write(source, directory)
            with open(written_paths[0], encoding="utf-8") as file:
                linked = re.findall(r"\]\((performance/[^)]*)\)", file.read())
            self.assertEqual([os.path.join(directory, link) for link in linked], written_paths[1:])
            self.assertEqual(linked, ["performance/user-exact.svg"])

    def test_memory_of_small_caches_is_left_out(self):
        line = dict(lines({0: (1, 1)})[1], figures={"memory.per_token": 5000.0})
        results = report.Results([lines({})[0], line, dict(line, tokens=10_000)])
        of = ("ours", "users", "memory.per_token")
        self.assertEqual([results.value(of, tokens) for tokens in (1000, 10_000)], [None, 5000.0])


class ThePlots(unittest.TestCase):
    def test_a_plot_is_xml_with_a_mark_for_each_point(self):
        drawn = plots.draw(
            "a < b & c",
            [
                plots.Line("ours", "#000000", [(10, 75.0), (1_000_000, 180.0)]),
                plots.Line("other", "#111111", [(10, 1e4)], dashed=True),
            ],
        )
        root = xml.fromstring(drawn)
        self.assertEqual(root.find(SVG + "title").text, "a < b & c")
        marks = [(float(mark.get("cx")), float(mark.get("cy"))) for mark in root.iter(SVG + "circle")]
        self.assertEqual(len(marks), 3)
        (left, low), (right, higher), (other, top) = marks
        self.assertTrue(left == other < right and low > higher > top)

    def test_labels_do_not_cover_each_other_or_leave_the_plot(self):
        same = [plots.Line(f"line {n}", "#000000", [(10, 100.0 + n)]) for n in range(6)]
        labels = [
            text
            for text in xml.fromstring(plots.draw("t", same)).iter(SVG + "text")
            if (text.text or "").startswith("line")
        ]
        heights = [float(label.get("y")) for label in labels]
        self.assertTrue(all(below - above >= plots.LABEL_PITCH for above, below in zip(heights, heights[1:])))
        self.assertLess(heights[-1], plots.HEIGHT - plots.BOTTOM + plots.LABEL_PITCH)

    def test_times_have_three_digits_and_the_unit_that_fits(self):
        shown = [plots.time(value) for value in (75.04, 999.6, 12_700, 1_230_000, 158e6, 21.9e9, 1.2e12)]
        self.assertEqual(shown, ["75.0 ns", "1.00 µs", "12.7 µs", "1.23 ms", "158 ms", "21.9 s", "1200 s"])


def written(kind, spelling):
    """A document with 20 tokens and its probes, parsed."""
    cache, out = caches.Cache(kind, 20, spelling), io.StringIO()
    answers = cache.write(out)
    return json.loads(out.getvalue()), cache.probes(answers)


def lines(runs):
    """Results of two peers, exact hits among 1,000 tokens: {run: (ours, python)} in nanoseconds."""
    result = [
        {
            "environment": {
                "date": "2026-01-02",
                "processor": "P",
                "cores": 2,
                "memory_bytes": 8e9,
                "system": "Linux 6",
                "rustc": "1.88.0",
                "commit": "abc",
                "peers": ["ours", "python"],
                "runs": 3,
                "budget": 0.3,
            }
        }
    ]
    for run, figures in runs.items():
        for peer, figure in zip(("ours", "python"), figures):
            result.append(
                {
                    "peer": peer,
                    "kind": "users",
                    "tokens": 1000,
                    "run": run,
                    "load": 0.5,
                    "document_bytes": 3_250_000,
                    "versions": {peer: "1.0"},
                    "digests": {},
                    "figures": {"call.exact": figure},
                }
            )
    return result


if __name__ == "__main__":
    unittest.main()
