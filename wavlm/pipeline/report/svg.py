"""Figures of matplotlib as SVG that stands inside a page: text as text, colours of the page, names that do not clash.

A figure is drawn in the colours `INK`, `MUTED`, `GRID` and `SERIES`. In the page they are CSS variables, so that the
same figure is readable in light and dark. The same figure gives the same bytes.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

import matplotlib as mpl
from matplotlib.figure import Figure
from PIL import Image

# Colours that nothing else has, and the variables of the page that they stand for.
INK, MUTED, GRID = "#010101", "#010102", "#010103"
SERIES = ("#010104", "#010105", "#010106", "#010107")
_VARIABLES = {INK: "--ink", MUTED: "--muted", GRID: "--line", **{c: f"--series-{n}" for n, c in enumerate(SERIES, 1)}}
_SVG = "http://www.w3.org/2000/svg"
_HREF = "{http://www.w3.org/1999/xlink}href"
_PNG = "data:image/png;base64,"
PICTURE_COLOURS = 48  # of a spectrogram: noise hardly compresses, and nobody sees more levels

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "wavlm",
    "font.size": 11,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlesize": 11,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "figure.facecolor": "none",
    "legend.frameon": False,
    "legend.fontsize": 10,
    "lines.linewidth": 1.6,
    "image.interpolation": "none",
    "image.composite_image": False,
}


@dataclass(frozen=True)
class Chart:
    """A figure of the page, and what it shows in words."""

    name: str  # letters, digits and hyphens
    title: str
    alt: str
    markup: str  # of the SVG


@contextmanager
def page_style() -> Iterator[None]:
    """Draw figures in the colours and sizes of the page, whatever the user's matplotlibrc says."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def to_chart(figure: Figure, name: str, title: str, alt: str) -> Chart:
    """The figure as a chart; call it inside `page_style`."""
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    root = ET.fromstring(file.getvalue())  # noqa: S314 - what matplotlib wrote a moment ago
    for parent in list(root.iter()):
        for name_of_no_use in ("metadata", "style"):  # a style inside would hold for the whole page: report.css has it
            for element in parent.findall(f"{{{_SVG}}}{name_of_no_use}"):
                parent.remove(element)
    for element in root.iter():
        _rename(element, name)
        if element.tag == f"{{{_SVG}}}image":
            element.set(_HREF, _shrink(element.attrib[_HREF]))
    del root.attrib["width"], root.attrib["height"]
    # The caption beside it says the same, so that a screen reader needs to know only that it is a picture, and of what.
    root.attrib |= {"role": "img", "aria-label": alt}
    return Chart(name, title, alt, _to_page_colours(ET.tostring(root, encoding="unicode")))


def _rename(element: ET.Element, prefix: str) -> None:
    """Put a prefix before an element's id and before those that it refers to."""
    for attribute, value in element.attrib.items():
        if attribute == "id":
            element.set(attribute, f"{prefix}-{value}")
        elif attribute == _HREF and value.startswith("#"):
            element.set(attribute, f"#{prefix}-{value[1:]}")
        elif "url(#" in value:
            element.set(attribute, value.replace("url(#", f"url(#{prefix}-"))


def _shrink(picture: str) -> str:
    """A PNG with few colours."""
    image = Image.open(io.BytesIO(base64.b64decode(picture.removeprefix(_PNG)))).convert("RGB")
    file = io.BytesIO()
    image.quantize(PICTURE_COLOURS, dither=Image.Dither.NONE).save(file, format="png", optimize=True)
    return _PNG + base64.b64encode(file.getvalue()).decode()


def _to_page_colours(markup: str) -> str:
    pattern = re.compile("|".join(_VARIABLES))
    return pattern.sub(lambda match: f"var({_VARIABLES[match[0]]})", markup)


ET.register_namespace("", _SVG)
ET.register_namespace("xlink", "http://www.w3.org/1999/xlink")
