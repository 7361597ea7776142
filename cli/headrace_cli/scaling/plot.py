"""Plays of one trace as a picture (SVG): runs above, replicas in the middle, the quota below, over time. Pure."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as Xml

from headrace_cli import drawing
from headrace_cli.drawing import BLUE, FAINT, GREEN, GRID, INK, LIGHT, ORANGE, RED
from headrace_cli.scaling.figures import Bounds
from headrace_cli.scaling.simulation import Play, Sample
from headrace_cli.scaling.trace import MINUTE_S, Row

WIDTH, HEIGHT = 880, 640
LEFT, RIGHT = 64, 750
MOST_CHARS = 115
MOST_POINTS = 400
"""Of a curve; of more, every so-manieth is drawn."""
LOW_PX = 100
"""A system of axes no higher than this has half the grid."""
COLOURS = (BLUE, ORANGE, LIGHT)


@dataclass(frozen=True, slots=True)
class Axes:
    """A system of axes over the trace's time."""

    top: float
    bottom: float
    seconds: float
    most: float
    """The value at the top; 0 is at the bottom."""

    def x(self, seconds: float) -> float:
        """Pixels from the left."""
        return LEFT + seconds / self.seconds * (RIGHT - LEFT)

    def y(self, value: float) -> float:
        """Pixels from the top."""
        return self.bottom - value / self.most * (self.bottom - self.top)


def svg(plays: Sequence[Play], rows: Sequence[Row], bounds: Bounds, *, title: str, subtitle: str) -> str:
    """Draw one to three plays."""
    seconds = rows[-1].time_s
    runs = max(one.queued + one.running for play in plays for one in play.samples)
    pods = max(one.replicas for play in plays for one in play.samples)
    upper = Axes(104, 244, seconds, drawing.top(max(runs, 1)))
    middle = Axes(294, 458, seconds, drawing.top(max(pods, *(bounds.fed(row) for row in rows)) + 0.5))
    asked = [(row.time_s, row.runs_per_s * row.calls_per_run * MINUTE_S) for row in rows]
    lower = Axes(508, 580, seconds, drawing.top(max(*(row.rpm for row in rows), *(rate for _, rate in asked))))
    root = drawing.canvas(WIDTH, HEIGHT, f"{title}. {subtitle}")
    drawing.text(root, LEFT, 34, title, size=19, weight=600)
    drawing.text(root, LEFT, 58, textwrap.shorten(subtitle, MOST_CHARS, placeholder=" …"), fill=FAINT, size=13)
    panels = (
        (upper, "runs that wait or are worked on"),
        (middle, "replicas asked for"),
        (lower, "calls a minute: granted by the provider, and asked for by the runs that arrive"),
    )
    for axes, name in panels:
        _axes(root, axes)
        drawing.text(root, LEFT, axes.top - 14, name, fill=FAINT, size=12)
    _time_axis(root, lower)
    _replicas(root, middle, plays, rows, bounds)
    for number, play in reversed(list(enumerate(plays))):
        _curve(root, upper, [(one.time_s, one.queued + one.running) for one in play.samples], COLOURS[number], 2)
    _steps(root, lower, [(row.time_s, row.rpm) for row in rows], GREEN, 2)
    _steps(root, lower, asked, RED, 1.5)
    _legend(root, lower, [("granted", GREEN), ("asked for", RED)])
    _legend(root, upper, [(play.name, COLOURS[number]) for number, play in enumerate(plays)])
    return drawing.written(root)


def _replicas(root: Xml.Element, axes: Axes, plays: Sequence[Play], rows: Sequence[Row], bounds: Bounds) -> None:
    fed = [(row.time_s, float(bounds.fed(row))) for row in rows]
    corners = _corners(axes, fed)
    area = [*corners, (axes.x(axes.seconds), axes.bottom), (axes.x(0), axes.bottom)]
    drawing.add(root, "polygon", points=_points(area), fill=GREEN, fill_opacity="0.12")
    _steps(root, axes, fed, GREEN, 1.2)
    for number, play in reversed(list(enumerate(plays))):
        _curve(root, axes, _scale(play.samples), COLOURS[number], 2.4, steps=True)
    names = [(play.name, COLOURS[number]) for number, play in enumerate(plays)]
    _legend(root, axes, [*names, ("quota feeds", GREEN)])


def _scale(samples: Sequence[Sample]) -> list[tuple[float, float]]:
    """Only where it changes, and the end."""
    changed = [two for one, two in zip((None, *samples), samples, strict=False) if not one or one.replicas != two.replicas]
    return [(one.time_s, one.replicas) for one in (*changed, samples[-1])]


def _curve(
    root: Xml.Element, axes: Axes, values: Sequence[tuple[float, float]], colour: str, width: float, *, steps: bool = False
) -> None:
    if steps:
        _steps(root, axes, values, colour, width)
        return
    some = values[:: max(1, len(values) // MOST_POINTS)]
    line = _points([(axes.x(time), axes.y(value)) for time, value in some])
    drawing.add(root, "polyline", points=line, fill="none", stroke=colour, stroke_width=width)


def _steps(root: Xml.Element, axes: Axes, values: Sequence[tuple[float, float]], colour: str, width: float) -> None:
    line = _points(_corners(axes, values))
    drawing.add(root, "polyline", points=line, fill="none", stroke=colour, stroke_width=width)


def _corners(axes: Axes, values: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Each value holds until the next one's time."""
    corners: list[tuple[float, float]] = []
    for number, (time, value) in enumerate(values[:-1]):
        end = values[number + 1][0]
        corners += [(axes.x(time), axes.y(value)), (axes.x(end), axes.y(value))]
    return corners


def _points(corners: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)


def _axes(root: Xml.Element, axes: Axes) -> None:
    every = 1 if axes.bottom - axes.top > LOW_PX else 2
    for value in drawing.ticks(0, axes.most, whole=True)[::every]:
        y = axes.y(value)
        drawing.add(root, "line", x1=LEFT, x2=RIGHT, y1=y, y2=y, stroke=GRID if value else FAINT)
        drawing.text(root, LEFT - 8, y + 4, f"{value:g}", fill=FAINT, size=12, anchor="end")


def _time_axis(root: Xml.Element, axes: Axes) -> None:
    minutes = axes.seconds / MINUTE_S
    for value in drawing.ticks(0, minutes):
        drawing.text(root, axes.x(value * MINUTE_S), axes.bottom + 20, f"{value:g}", fill=FAINT, size=12, anchor="middle")
    drawing.text(root, (LEFT + RIGHT) / 2, axes.bottom + 42, "minutes", fill=FAINT, size=12, anchor="middle")


def _legend(root: Xml.Element, axes: Axes, names: Sequence[tuple[str, str]]) -> None:
    for number, (name, colour) in enumerate(names):
        y = axes.top + 12 + 20 * number
        drawing.add(root, "line", x1=RIGHT + 12, x2=RIGHT + 30, y1=y - 4, y2=y - 4, stroke=colour, stroke_width=3)
        drawing.text(root, RIGHT + 36, y, name, fill=INK, size=12)
