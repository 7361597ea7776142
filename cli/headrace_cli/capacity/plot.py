"""A sweep as a picture (SVG): waits above, what is lost and used below, over the number of users. Pure."""

import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as Xml

from headrace_cli.capacity.tally import Point, Served

WIDTH, HEIGHT = 880, 600
LEFT, RIGHT = 64, 750
INK, FAINT, GRID = "#1f2933", "#66727f", "#e4e8ec"
BLUE, LIGHT, GREEN, ORANGE, RED = "#1d5fa8", "#7fb2e5", "#2b8a57", "#c2620e", "#c0343a"
LABEL_PX = 15
"""Least distance of two labels."""
MOST_TICKS = 8
MOST_CHARS = 115
MOST_KINDS_SHOWN = 4
"""More kinds than these have no lines of their own."""


@dataclass(frozen=True, slots=True)
class Caption:
    """What is written around the curves."""

    title: str
    lines: Sequence[str]
    """Below the title; each is cut to `MOST_CHARS`."""
    formula: float
    """The formula's users."""
    served: int
    """The most users that are served well."""
    wait_s: float
    """The longest wait that is well."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a panel."""

    name: str
    colour: str
    width: float
    values: Sequence[float | None]
    """One for each point; None leaves a gap."""


@dataclass(frozen=True, slots=True)
class Panel:
    """A system of axes."""

    top: float
    bottom: float
    users: tuple[float, float]
    most: float
    """The value at the top; 0 is at the bottom."""

    def x(self, users: float) -> float:
        """Pixels from the left."""
        first, last = self.users
        return LEFT + (users - first) / (last - first) * (RIGHT - LEFT)

    def y(self, value: float) -> float:
        """Pixels from the top."""
        return self.bottom - value / self.most * (self.bottom - self.top)


def svg(points: Sequence[Point], caption: Caption) -> str:
    """Draw at least one point."""
    points = sorted(points, key=lambda point: point.users)
    users = _users_shown(points, caption)
    waits, shares = _wait_curves(points), _share_curves(points)
    longest = max((value for curve in waits for value in curve.values if value is not None), default=0.0)
    upper = Panel(124, 372, users, _top(max(longest, caption.wait_s * 1.2)))
    lower = Panel(418, 540, users, 1.0)
    root = Xml.Element("svg", _texts(xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img"))
    root.set("font-family", "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif")
    Xml.SubElement(root, "title").text = ". ".join((caption.title, *caption.lines))
    _add(root, "rect", width=WIDTH, height=HEIGHT, fill="#ffffff")
    _text(root, LEFT, 34, caption.title, size=19, weight=600)
    for row, line in enumerate(caption.lines):
        _text(root, LEFT, 56 + 18 * row, textwrap.shorten(line, MOST_CHARS, placeholder=" …"), fill=FAINT, size=13)
    _axes(root, upper, lambda value: f"{value:g}")
    _axes(root, lower, lambda value: f"{value:.0%}")
    _users_axis(root, lower)
    for panel, curves in ((upper, waits), (lower, shares)):
        _curves(root, panel, [point.users for point in points], curves)
    _answers(root, upper, lower, caption)
    _target(root, upper, caption.wait_s)
    _text(root, LEFT, upper.top - 14, "seconds that a request waits in all, until it is answered", fill=FAINT, size=12)
    _text(root, LEFT, lower.top - 14, "part of the requests lost, and of the quota used", fill=FAINT, size=12)
    Xml.indent(root)
    return Xml.tostring(root, encoding="unicode") + "\n"


def _users_shown(points: Sequence[Point], caption: Caption) -> tuple[float, float]:
    first, last = min(points[0].users, caption.formula), max(points[-1].users, caption.formula)
    return (first, last) if last > first else (first - 1, last + 1)


def _wait_curves(points: Sequence[Point]) -> list[Curve]:
    names = list(points[0].kinds)
    shown = names if 1 < len(names) <= MOST_KINDS_SHOWN else []
    curves = [Curve(f"{name} p95", LIGHT, 1.2, [one.kinds[name].wait_p95_s for one in points]) for name in shown]
    every: list[Served] = [one.all for one in points]
    curves.append(Curve("p50 of all", INK, 2, [one.wait_p50_s for one in every]))
    curves.append(Curve("p95 of all", BLUE, 2.6, [one.wait_p95_s for one in every]))
    return curves


def _share_curves(points: Sequence[Point]) -> list[Curve]:
    used = [min(1.0, point.quota_used) for point in points]
    return [Curve("quota used", GREEN, 2, used), Curve("refused or late", RED, 2.6, [point.all.lost for point in points])]


def _axes(root: Xml.Element, panel: Panel, written: Callable[[float], str]) -> None:
    for value in _ticks(0, panel.most):
        y = panel.y(value)
        _add(root, "line", x1=LEFT, x2=RIGHT, y1=y, y2=y, stroke=GRID if value else FAINT)
        _text(root, LEFT - 8, y + 4, written(value), fill=FAINT, size=12, anchor="end")


def _users_axis(root: Xml.Element, panel: Panel) -> None:
    for users in _ticks(*panel.users, whole=True):
        _text(root, panel.x(users), panel.bottom + 20, f"{users:g}", fill=FAINT, size=12, anchor="middle")
    _text(root, (LEFT + RIGHT) / 2, panel.bottom + 42, "users", fill=FAINT, size=12, anchor="middle")


def _target(root: Xml.Element, panel: Panel, wait_s: float) -> None:
    y = panel.y(wait_s)
    _add(root, "line", x1=LEFT, x2=RIGHT, y1=y, y2=y, stroke=FAINT, stroke_dasharray="2 4")
    _text(root, RIGHT - 6, y - 6, f"target: p95 within {wait_s:g} s", fill=FAINT, size=12, anchor="end")


def _answers(root: Xml.Element, upper: Panel, lower: Panel, caption: Caption) -> None:
    """Mark what the formula and the simulation say."""
    marks = [(caption.formula, ORANGE, f"formula: {caption.formula:.1f} users", "7 4")]
    if caption.served:
        marks.append((caption.served, GREEN, f"simulation: {caption.served} served well", ""))
    lines = [(upper.x(users), colour, label, dash) for users, colour, label, dash in marks]
    for x, colour, _, dash in lines:
        _add(
            root, "line", x1=x, x2=x, y1=upper.top, y2=lower.bottom, stroke=colour, stroke_width=1.5, stroke_dasharray=dash
        )
    rightmost, leftmost = max(line[0] for line in lines), min(line[0] for line in lines)
    on_right = rightmost < (LEFT + RIGHT) / 2
    at, anchor = (rightmost + 8, "start") if on_right else (leftmost - 8, "end")
    for row, (_, colour, label, _) in enumerate(lines):
        _text(root, at, upper.top + 16 + 18 * row, label, fill=colour, size=13, weight=600, anchor=anchor)


def _curves(root: Xml.Element, panel: Panel, users: Sequence[int], curves: Sequence[Curve]) -> None:
    ends: list[tuple[float, Curve]] = []
    for curve in curves:
        known = [(panel.x(x), panel.y(y)) for x, y in zip(users, curve.values, strict=True) if y is not None]
        if known:
            line = " ".join(f"{x:.1f},{y:.1f}" for x, y in known)
            _add(root, "polyline", points=line, fill="none", stroke=curve.colour, stroke_width=curve.width)
            ends.append((known[-1][1], curve))
            if curve.width > 2:
                for x, y in known:
                    _add(root, "circle", cx=x, cy=y, r=3, fill=curve.colour)
    for y, curve in _apart(ends):
        _text(root, RIGHT + 10, y + 4, curve.name, fill=curve.colour, size=12)


def _apart(ends: Sequence[tuple[float, Curve]]) -> list[tuple[float, Curve]]:
    """Labels from the lowest up, none nearer to the one before than `LABEL_PX`."""
    placed: list[tuple[float, Curve]] = []
    for y, curve in sorted(ends, key=lambda end: -end[0]):
        placed.append((min(y, placed[-1][0] - LABEL_PX) if placed else y, curve))
    return placed


def _ticks(first: float, last: float, *, whole: bool = False) -> list[float]:
    step = _step(last - first, whole=whole)
    return [step * number for number in range(math.ceil(first / step), math.floor(last / step + 1e-9) + 1)]


def _step(span: float, *, whole: bool = False) -> float:
    """The least of 1, 2, 5, 10, 20 … and their tenths that gives no more than `MOST_TICKS`."""
    size = 10.0 ** math.floor(math.log10(span / MOST_TICKS))
    step = next(size * part for part in (1, 2, 5, 10) if span / (size * part) <= MOST_TICKS)
    return max(1.0, step) if whole else step


def _top(value: float) -> float:
    step = _step(value)
    return math.ceil(value / step) * step


def _add(parent: Xml.Element, tag: str, **attributes: object) -> None:
    Xml.SubElement(parent, tag, _texts(**attributes))


def _text(
    parent: Xml.Element,
    x: float,
    y: float,
    text: str,
    *,
    fill: str = INK,
    size: int,
    anchor: str = "start",
    weight: int = 400,
) -> None:
    look = {"fill": fill, "font_size": size, "text_anchor": anchor, "font_weight": weight}
    halo = {"stroke": "#ffffff", "stroke_width": 3, "paint_order": "stroke"}
    Xml.SubElement(parent, "text", _texts(x=x, y=y, **look, **halo)).text = text


def _texts(**attributes: object) -> dict[str, str]:
    return {
        name.replace("_", "-"): f"{value:.1f}" if isinstance(value, float) else str(value)
        for name, value in attributes.items()
        if value != ""
    }
