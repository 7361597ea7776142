"""What the plots are drawn with: an SVG that any browser shows. Pure."""

import math
from xml.etree import ElementTree as Xml

INK, FAINT, GRID = "#1f2933", "#66727f", "#e4e8ec"
BLUE, LIGHT, GREEN, ORANGE, RED = "#1d5fa8", "#7fb2e5", "#2b8a57", "#c2620e", "#c0343a"
MOST_TICKS = 8
FONTS = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"


def canvas(width: int, height: int, title: str) -> Xml.Element:
    """A white page with a title that readers hear."""
    root = Xml.Element("svg", _texts(xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {width} {height}", role="img"))
    root.set("font-family", FONTS)
    Xml.SubElement(root, "title").text = title
    add(root, "rect", width=width, height=height, fill="#ffffff")
    return root


def written(root: Xml.Element) -> str:
    """The file's text."""
    Xml.indent(root)
    return Xml.tostring(root, encoding="unicode") + "\n"


def ticks(first: float, last: float, *, whole: bool = False) -> list[float]:
    """Round numbers from first to last, no more than `MOST_TICKS` steps."""
    step = _step(last - first, whole=whole)
    return [step * number for number in range(math.ceil(first / step), math.floor(last / step + 1e-9) + 1)]


def _step(span: float, *, whole: bool = False) -> float:
    """The least of 1, 2, 5, 10, 20 … and their tenths that gives no more than `MOST_TICKS`."""
    size = 10.0 ** math.floor(math.log10(span / MOST_TICKS))
    step = next(size * part for part in (1, 2, 5, 10) if span / (size * part) <= MOST_TICKS)
    return max(1.0, step) if whole else step


def top(value: float) -> float:
    """The next tick."""
    step = _step(value)
    return math.ceil(value / step) * step


def add(parent: Xml.Element, tag: str, **attributes: object) -> None:
    """Draw a shape; underlines in names stand for hyphens, and empty texts are left out."""
    Xml.SubElement(parent, tag, _texts(**attributes))


def text(
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
    """Write a text with a white halo."""
    look = {"fill": fill, "font_size": size, "text_anchor": anchor, "font_weight": weight}
    halo = {"stroke": "#ffffff", "stroke_width": 3, "paint_order": "stroke"}
    Xml.SubElement(parent, "text", _texts(x=x, y=y, **look, **halo)).text = text


def _texts(**attributes: object) -> dict[str, str]:
    return {
        name.replace("_", "-"): f"{value:.1f}" if isinstance(value, float) else str(value)
        for name, value in attributes.items()
        if value != ""
    }
