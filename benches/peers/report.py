"""docs/performance.md and its plots, from the lines that compare.py collected."""

import json
import os
import statistics
import textwrap

import plots
import questions

# Below this many tokens the memory of a process is noise of pages and pools.
SMALLEST_MEMORY = 10_000


class Results:
    """All figures of one comparison: medians over its runs, and ratios that are taken within each run first."""

    def __init__(self, lines):
        self.environment = next(line["environment"] for line in lines if "environment" in line)
        self.minutes = next((line["minutes"] for line in lines if "minutes" in line), None)
        self.lines = [line for line in lines if "peer" in line]
        self.runs, self.bytes, self.versions = {}, {}, {}
        for line in self.lines:
            self.versions.update(line["versions"])
            self.bytes[line["kind"], line["tokens"]] = line["document_bytes"]
            for figure, value in line["figures"].items():
                self.runs.setdefault((line["peer"], line["kind"], figure, line["tokens"]), {})[line["run"]] = value
        self.sizes = sorted({line["tokens"] for line in self.lines})

    def value(self, of, tokens):
        """Median over the runs, or `None`."""
        runs = self._of(of, tokens)
        return statistics.median(runs.values()) if runs else None

    def ratio(self, over, under, tokens):
        """Median over the runs of the ratio of two sums of figures, or `None`."""
        sides = [[self._of(of, tokens) for of in side] for side in (over, under)]
        common = set.intersection(*(set(runs) for side in sides for runs in side))
        ratios = [sum(runs[run] for runs in sides[0]) / sum(runs[run] for runs in sides[1]) for run in common]
        return statistics.median(ratios) if ratios else None

    def spread(self, of, tokens):
        """The distance of the runs from one another, as a share of their median."""
        runs = list(self._of(of, tokens).values())
        return (max(runs) - min(runs)) / statistics.median(runs) if len(runs) > 1 else 0.0

    def _of(self, of, tokens):
        runs = self.runs.get((*of, tokens), {})
        return {} if of[2].startswith("memory") and tokens < SMALLEST_MEMORY else runs


def write(path, docs):
    """Writes the report of the lines in `path` into the folder `docs`; returns the paths that were written."""
    with open(path, encoding="utf-8") as file:
        results = Results([json.loads(line) for line in file])
    folder = os.path.join(docs, "performance")
    os.makedirs(folder, exist_ok=True)
    written = []
    for section in questions.SECTIONS:
        for group in section.groups:
            if group.plot and (drawn := plot(results, group)):
                written.append(os.path.join(folder, group.plot + ".svg"))
                _save(written[-1], drawn)
    written.insert(0, os.path.join(docs, "performance.md"))
    _save(written[0], text(results))
    return written


def text(results):
    """The whole document."""
    parts = [questions.HEAD, _in_short(results), _how(results)]
    parts += [part for section in questions.SECTIONS if (part := _section(results, section))]
    parts.append(questions.NOTES)
    return "\n\n".join(parts) + "\n"


def plot(results, group):
    """The SVG of a group; `None` if there is nothing to draw."""
    lines = []
    for row in group.rows:
        points = [(tokens, results.value(row.of(group.kind), tokens)) for tokens in results.sizes]
        points = [(tokens, value) for tokens, value in points if value is not None]
        limit, blocking = row.figure.startswith("limit"), row.figure.endswith("blocking")
        # The blocking calls lie on the awaited ones, and the look at a file is part of the call.
        if points and not blocking and row.figure != "file.check":
            lines.append(
                plots.Line(
                    row.label.replace("`", ""),
                    plots.COLOURS["limit" if limit else row.peer],
                    points,
                    dashed=limit or row.figure == "file.plugin",
                )
            )
    return plots.draw(group.title, lines) if lines else None


# -- parts ----------------------------------------------------------------------------------------------------------


def _in_short(results):
    rows = []
    for what, *sides in questions.HEADLINES:
        over, under = ([tuple(figure.split()) for figure in side.split(" + ")] for side in sides)
        ratios = [results.ratio(over, under, tokens) for tokens in results.sizes]
        if any(ratio is not None for ratio in ratios):
            rows.append([what, *(_ratio(ratio) if ratio is not None else "" for ratio in ratios)])
    table = _table(["the one / the other", *_sizes(results)], rows)
    return f"## In short\n\nRatios of times, by access tokens in the cache.\n\n{table}"


def _how(results):
    environment, loads = results.environment, [line["load"] for line in results.lines]
    machine = (
        f"{environment['processor']}, {environment['cores']} processors, {environment['memory_bytes'] / 1e9:.0f} GB, "
        f"{environment['system']}, Rust {environment['rustc']}"
    )
    runs, minutes = _counted(environment["runs"], "run"), _counted(round(results.minutes or 0), "minute")
    items = [
        f"{environment['date']}, commit {environment['commit']}, {machine}.",
        ", ".join(f"{name} {version}" for name, version in results.versions.items()) + ".",
        f"A process per peer, cache and run; {runs} (one above 100,000 tokens); the peers take turns at each cache. "
        f"Load average before a process: {min(loads):.1f} to {max(loads):.1f}. {minutes} in all.",
        "In brackets: how many times as long as the first line of its group, the median of the ratios within each run. "
        "Under each table, how far the runs lay apart.",
        "Again: `benches/peers/run.sh`; see [its README](../benches/peers/README.md).",
    ]
    if "net" not in environment["peers"]:
        items.append("**MSAL.NET was not measured**: its program is not part of this repository, and was not given.")
    return "\n".join(["## How it was measured", "", *(_item(text) for text in items)])


def _section(results, section):
    rows, spreads, images = [], [], []
    for group in section.groups:
        base = group.rows[0].of(group.kind)
        lines = []
        for row in group.rows:
            of = row.of(group.kind)
            cells = [_cell(results, section.unit, of, base, tokens) for tokens in results.sizes]
            if any(cells):
                lines.append([row.label, *cells])
                spreads += [
                    (results.spread(of, tokens), f"{row.label}, {group.title}, {plots.count(tokens)} tokens")
                    for tokens in results.sizes
                ]
        if lines:
            rows += [[f"**{group.title}**", *([""] * len(results.sizes))], *lines]
            if group.plot:
                images.append(f"![{group.title}](performance/{group.plot}.svg)")
    if not rows:
        return ""
    parts = [f"## {section.title}", section.text, _table(["", *_sizes(results)], rows)]
    spreads = sorted(spreads, reverse=True)
    if spreads[0][0] > 0:
        median = statistics.median(spread for spread, _ in spreads if spread > 0)
        parts.append(
            f"Spread over the runs: {median:.0%} in the median, {spreads[0][0]:.0%} at most ({spreads[0][1]})."
        )
    return "\n\n".join([*parts, *images])


def _cell(results, unit, of, base, tokens):
    value = results.value(of, tokens)
    if value is None:
        return ""
    if unit == "rate":
        shown = f"{_digits(results.bytes[of[1], tokens] / value * 1e3)} MB/s"
    elif unit == "memory":
        shown = _bytes(value)
    else:
        shown = plots.time(value)
    ratio = results.ratio([of], [base], tokens)
    if of == base:
        return f"**{shown}**"
    return f"{shown} ({_ratio(ratio)})" if ratio is not None else shown


def _table(head, rows):
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _sizes(results):
    return [plots.count(tokens) for tokens in results.sizes]


def _ratio(ratio):
    return f"{ratio:,.0f}x" if ratio >= 9.95 else f"{ratio:.1f}x" if ratio >= 0.995 else f"{ratio:.2g}x"


def _counted(number, what):
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _digits(value):
    return f"{value:,.0f}" if value >= 99.5 else f"{value:.2g}"


def _bytes(value):
    for unit, size in (("B", 1), ("KB", 1e3), ("MB", 1e6), ("GB", 1e9)):
        if value < 1000 * size or unit == "GB":
            return f"{value / size:.3g} {unit}"


def _item(text):
    """A Markdown item at most 120 columns wide."""
    return textwrap.fill(text, 120, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False)


def _save(path, content):
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.write(content)
