"""The HTML of notebooks: a table of fields, and the outline of a geometry."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

_MOST_ROWS = 16
_LONGEST = 120  # characters of a value
_MOST_POSITIONS = 5_000
_DEEPEST = 8  # levels of lists and collections; a MultiPolygon has four
_FURTHEST = 1e4  # degrees; numbers beyond it are no places
_SIDE = 140  # pixels
_CELL = "text-align:left;vertical-align:top"


def table(title: str, rows: Mapping[str, object], geometry: Mapping[str, Any] | None = None) -> str:
    """Return a table of names and values as HTML, with the outline of a geometry next to it."""
    shown = [(name, _shown(value)) for name, value in rows.items()]
    if len(shown) > _MOST_ROWS:
        shown[_MOST_ROWS:] = [("...", f"{len(shown) - _MOST_ROWS} more")]
    cells = "".join(
        f'<tr><th style="{_CELL}">{escape(name)}</th><td style="{_CELL}">{escape(text)}</td></tr>'
        for name, text in shown
    )
    picture = outline(geometry) if geometry else ""
    return (
        f'<div style="display:flex;gap:1em"><table><caption style="{_CELL}"><b>{escape(title)}</b></caption>'
        f"<tbody>{cells}</tbody></table>{picture}</div>"
    )


def _shown(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def outline(geometry: Mapping[str, Any]) -> str:
    """Return the outline of any GeoJSON as SVG; empty where no coordinate is a place."""
    lines, left = [], _MOST_POSITIONS
    for line in _lines(geometry, _DEEPEST):
        lines.append(line[:left])
        left -= len(line)
        if left <= 0:
            break
    positions = [position for line in lines for position in line]
    if not positions:
        return ""
    west, north = min(x for x, _ in positions), max(y for _, y in positions)
    extent = max(max(x for x, _ in positions) - west, north - min(y for _, y in positions)) or 1.0
    scale = (_SIDE - 8) / extent
    paths = "".join(
        f"M{'L'.join(f'{4 + (x - west) * scale:.1f},{4 + (north - y) * scale:.1f}' for x, y in line)}"
        # A line of no length is shown as a dot, by its round ends.
        + ("h0" if len(line) == 1 else "")
        for line in lines
    )
    return (
        f'<svg width="{_SIDE}" height="{_SIDE}" viewBox="0 0 {_SIDE} {_SIDE}" role="img"><path d="{paths}" '
        'fill="#3388ff" fill-opacity="0.2" fill-rule="evenodd" stroke="#3388ff" stroke-width="3" '
        'stroke-linecap="round"/></svg>'
    )


def _lines(value: object, depth: int) -> Iterator[list[tuple[float, float]]]:
    """Yield the lines, rings and points of GeoJSON as positions, without those that are no places."""
    if depth == 0:
        return
    if isinstance(value, Mapping):
        for name in ("geometry", "features", "geometries", "coordinates"):
            yield from _lines(value.get(name), depth - 1)
    elif isinstance(value, list | tuple):
        if (position := _position(value)) is not None:
            yield [position]
        elif line := [found for each in value if (found := _position(each)) is not None]:
            yield line
        else:
            for part in value:
                yield from _lines(part, depth - 1)


def _position(value: object) -> tuple[float, float] | None:
    match value:
        case [int() | float() as x, int() | float() as y, *_] if abs(x) <= _FURTHEST and abs(y) <= _FURTHEST:
            return float(x), float(y)
    return None
