"""A sweep as a picture (SVG): waits above, what is lost and used below, over the number of users. Pure."""

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as Xml

from headrace_cli import drawing
from headrace_cli.capacity.tally import Point, Served
from headrace_cli.drawing import BLUE, FAINT, GREEN, GRID, INK, LIGHT, ORANGE, RED

WIDTH, HEIGHT = 880, 600
LEFT, RIGHT = 64, 750
LABEL_PX = 15
"""Least distance of two labels."""
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
    upper = Panel(124, 372, users, drawing.top(max(longest, caption.wait_s * 1.2)))
    lower = Panel(418, 540, users, 1.0)
    root = drawing.canvas(WIDTH, HEIGHT, ". ".join((caption.title, *caption.lines)))
    drawing.text(root, LEFT, 34, caption.title, size=19, weight=600)
    for row, line in enumerate(caption.lines):
        drawing.text(root, LEFT, 56 + 18 * row, textwrap.shorten(line, MOST_CHARS, placeholder=" …"), fill=FAINT, size=13)
    _axes(root, upper, lambda value: f"{value:g}")
    _axes(root, lower, lambda value: f"{value:.0%}")
    _users_axis(root, lower)
    for panel, curves in ((upper, waits), (lower, shares)):
        _curves(root, panel, [point.users for point in points], curves)
    _answers(root, upper, lower, caption)
    _target(root, upper, caption.wait_s)
    drawing.text(
        root, LEFT, upper.top - 14, "seconds that a request waits in all, until it is answered", fill=FAINT, size=12
    )
    drawing.text(root, LEFT, lower.top - 14, "part of the requests lost, and of the quota used", fill=FAINT, size=12)
    return drawing.written(root)


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
    for value in drawing.ticks(0, panel.most):
        y = panel.y(value)
        drawing.add(root, "line", x1=LEFT, x2=RIGHT, y1=y, y2=y, stroke=GRID if value else FAINT)
        drawing.text(root, LEFT - 8, y + 4, written(value), fill=FAINT, size=12, anchor="end")


def _users_axis(root: Xml.Element, panel: Panel) -> None:
    for users in drawing.ticks(*panel.users, whole=True):
        drawing.text(root, panel.x(users), panel.bottom + 20, f"{users:g}", fill=FAINT, size=12, anchor="middle")
    drawing.text(root, (LEFT + RIGHT) / 2, panel.bottom + 42, "users", fill=FAINT, size=12, anchor="middle")


def _target(root: Xml.Element, panel: Panel, wait_s: float) -> None:
    y = panel.y(wait_s)
    drawing.add(root, "line", x1=LEFT, x2=RIGHT, y1=y, y2=y, stroke=FAINT, stroke_dasharray="2 4")
    drawing.text(root, RIGHT - 6, y - 6, f"target: p95 within {wait_s:g} s", fill=FAINT, size=12, anchor="end")


def _answers(root: Xml.Element, upper: Panel, lower: Panel, caption: Caption) -> None:
    """Mark what the formula and the simulation say."""
    marks = [(caption.formula, ORANGE, f"formula: {caption.formula:.1f} users", "7 4")]
    if caption.served:
        marks.append((caption.served, GREEN, f"simulation: {caption.served} served well", ""))
    lines = [(upper.x(users), colour, label, dash) for users, colour, label, dash in marks]
    for x, colour, _, dash in lines:
        drawing.add(
            root, "line", x1=x, x2=x, y1=upper.top, y2=lower.bottom, stroke=colour, stroke_width=1.5, stroke_dasharray=dash
        )
    rightmost, leftmost = max(line[0] for line in lines), min(line[0] for line in lines)
    on_right = rightmost < (LEFT + RIGHT) / 2
    at, anchor = (rightmost + 8, "start") if on_right else (leftmost - 8, "end")
    for row, (_, colour, label, _) in enumerate(lines):
        drawing.text(root, at, upper.top + 16 + 18 * row, label, fill=colour, size=13, weight=600, anchor=anchor)


def _curves(root: Xml.Element, panel: Panel, users: Sequence[int], curves: Sequence[Curve]) -> None:
    ends: list[tuple[float, Curve]] = []
    for curve in curves:
        known = [(panel.x(x), panel.y(y)) for x, y in zip(users, curve.values, strict=True) if y is not None]
        if known:
            line = " ".join(f"{x:.1f},{y:.1f}" for x, y in known)
            drawing.add(root, "polyline", points=line, fill="none", stroke=curve.colour, stroke_width=curve.width)
            ends.append((known[-1][1], curve))
            if curve.width > 2:
                for x, y in known:
                    drawing.add(root, "circle", cx=x, cy=y, r=3, fill=curve.colour)
    for y, curve in _apart(ends):
        drawing.text(root, RIGHT + 10, y + 4, curve.name, fill=curve.colour, size=12)


def _apart(ends: Sequence[tuple[float, Curve]]) -> list[tuple[float, Curve]]:
    """Labels from the lowest up, none nearer to the one before than `LABEL_PX`."""
    placed: list[tuple[float, Curve]] = []
    for y, curve in sorted(ends, key=lambda end: -end[0]):
        placed.append((min(y, placed[-1][0] - LABEL_PX) if placed else y, curve))
    return placed
