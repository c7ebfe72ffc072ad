"""Plots of time against size, both axes logarithmic, as SVG."""

import math
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 820, 440
LEFT, RIGHT, TOP, BOTTOM = 76, 250, 58, 52
# Labels at the ends of lines stand at least so far apart.
LABEL_PITCH = 15
# Told apart by whoever confuses red and green, and on paper.
COLOURS = {
    "ours": "#0072b2",
    "python": "#d55e00",
    "node": "#009e73",
    "net": "#cc79a7",
    "azure": "#b8860b",
    "limit": "#777777",
}


@dataclass
class Line:
    """One peer. `points` are (tokens, nanoseconds), by tokens."""

    label: str
    colour: str
    points: list
    dashed: bool = False


def draw(title, lines):
    """The SVG text of one plot; every line has at least one point."""
    tokens = [x for line in lines for x, _ in line.points]
    times = [y for line in lines for _, y in line.points]
    across = _Axis(min(tokens), max(tokens), LEFT, WIDTH - RIGHT)
    up = _Axis(min(times), max(times), HEIGHT - BOTTOM, TOP)
    body = [
        *_grid(across, up),
        *(element for line in lines for element in _line(line, across, up)),
        *_labels(lines, across, up),
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
            'role="img" '
            f'aria-label="{escape(title)}" font-family="system-ui, sans-serif" font-size="12" fill="#333333">',
            f"<title>{escape(title)}</title>",
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
            f'<text x="{LEFT}" y="24" font-size="16" font-weight="600">{escape(title)}</text>',
            f'<text x="{LEFT}" y="42" fill="#666666">time per call, median; both axes logarithmic</text>',
            *body,
            f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.1f}" y="{HEIGHT - 12}" text-anchor="middle">'
            "access tokens in the cache</text>",
            "</svg>",
            "",
        ]
    )


def time(nanoseconds, digits=3):
    """As text, for example `12.7 µs`."""
    for unit, size in (("ns", 1), ("µs", 1e3), ("ms", 1e6), ("s", 1e9)):
        value = float(f"{nanoseconds / size:.{digits}g}")
        if value < 1000 or unit == "s":
            return f"{value:.{max(0, digits - 1 - _magnitude(value))}f} {unit}"


def count(number):
    return f"{number:,}"


class _Axis:
    """Whole decades from `low` to `high`, drawn between two positions."""

    def __init__(self, low, high, start, end):
        self.first = math.floor(math.log10(low) + 1e-9)
        self.last = max(math.ceil(math.log10(high) - 1e-9), self.first + 1)
        self.start, self.end = start, end

    def at(self, value):
        share = (math.log10(value) - self.first) / (self.last - self.first)
        return self.start + share * (self.end - self.start)

    def decades(self):
        return [10.0**power for power in range(self.first, self.last + 1)]


def _grid(across, up):
    for tick in up.decades():
        y = up.at(tick)
        yield f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#dddddd"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{time(tick, 1)}</text>'
    for tick in across.decades():
        x = across.at(tick)
        yield f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{HEIGHT - BOTTOM}" stroke="#eeeeee"/>'
        yield f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{count(round(tick))}</text>'


def _line(line, across, up):
    places = [(across.at(x), up.at(y)) for x, y in line.points]
    dashes = ' stroke-dasharray="5 4"' if line.dashed else ""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    yield f'<polyline points="{path}" fill="none" stroke="{line.colour}" stroke-width="2"{dashes}/>'
    for (x, y), (tokens, taken) in zip(places, line.points):
        yield (
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{line.colour}">'
            f"<title>{escape(line.label)}, {count(tokens)} tokens: {time(taken)}</title></circle>"
        )


def _labels(lines, across, up):
    """Each line's name at its end, moved apart where ends are close."""
    low, start = TOP, WIDTH - RIGHT + 14
    ends = sorted(lines, key=lambda line: -line.points[-1][1])
    for number, line in enumerate(ends):
        x, end = across.at(line.points[-1][0]), up.at(line.points[-1][1])
        # Below the one before, with room for those that follow.
        y = min(max(end, low), HEIGHT - BOTTOM - LABEL_PITCH * (len(ends) - 1 - number))
        low = y + LABEL_PITCH
        yield (
            f'<polyline points="{x + 5:.1f},{end:.1f} {start - 4:.1f},{y:.1f}" fill="none" stroke="{line.colour}" '
            'stroke-width="0.8" stroke-opacity="0.5"/>'
        )
        yield f'<text x="{start}" y="{y + 4:.1f}" fill="{line.colour}">{escape(line.label)}</text>'


def _magnitude(value):
    return math.floor(math.log10(value)) if value > 0 else 0
