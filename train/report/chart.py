"""Charts as inline SVG, 360 units wide: on a phone one unit is about a pixel, so the text can be
read there. The colours are variables of the page's style, which knows light and dark."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.ticker import MaxNLocator

from train.report.html import Element, element

WIDTH, HEIGHT = 360, 230
LEFT, RIGHT, TOP, BOTTOM = 46, 350, 10, 192  # of the plotting area
STRETCHES = 200  # of a long waveform
COLOURS = 8  # --c0 to --c7 in style.css


class Series(NamedTuple):
    """One line of a chart; values that are not finite interrupt it."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


class _Axes:
    """Data to units of the drawing, with round numbers at the ticks."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        self.x, self.y = _widened(x), _widened(y)

    def at(self, x: float, y: float) -> tuple[float, float]:
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        return LEFT + across * (RIGHT - LEFT), BOTTOM - up * (BOTTOM - TOP)

    def frame(self, xlabel: str, ylabel: str, *, whole: bool = False) -> list[Element]:
        """Grid lines, numbers and labels; `whole` allows no fractions on the x axis."""
        made = []
        for value in _ticks(self.x, whole=whole):
            x, _ = self.at(value, self.y[0])
            made.append(_line(x, TOP, x, BOTTOM, "grid"))
            made.append(_text(x, BOTTOM + 14, f"{value:g}", "middle"))
        for value in _ticks(self.y):
            _, y = self.at(self.x[0], value)
            made.append(_line(LEFT, y, RIGHT, y, "grid"))
            made.append(_text(LEFT - 5, y + 4, f"{value:g}", "end"))
        made.append(_text((LEFT + RIGHT) / 2, HEIGHT - 8, xlabel, "middle"))
        label = _text(0, 0, ylabel, "middle")
        label.set("transform", f"translate(11 {(TOP + BOTTOM) / 2}) rotate(-90)")
        return [*made, label]


def lines(series: Sequence[Series], xlabel: str, ylabel: str) -> Element:
    """Lines over whole numbers on the x axis, with a legend under them."""
    xs = [x for one in series for x in one.x]
    ys = [y for one in series for y in one.y if math.isfinite(y)]
    axes = _Axes((min(xs), max(xs)), (min(ys, default=0.0), max(ys, default=1.0)))
    shapes = axes.frame(xlabel, ylabel, whole=True)
    for number, one in enumerate(series):
        colour = f"stroke: var(--c{number % COLOURS})"
        for run in _finite_runs(one):
            points = " ".join("{:.1f},{:.1f}".format(*axes.at(x, y)) for x, y in run)
            # A dot where there is nothing to draw a line to.
            shape = element("polyline", points=points, class_="line", style=colour)
            shapes.append(shape if len(run) > 1 else _dot(*axes.at(*run[0]), number))
    drawing = _svg(f"{ylabel} over {xlabel}", HEIGHT, *shapes)
    return element("figure", drawing, legend([one.name for one in series]), class_="chart")


def legend(names: Sequence[str]) -> Element:
    """Which colour is which line."""
    items = [
        element("li", element("i", style=f"background: var(--c{i % COLOURS})"), name)
        for i, name in enumerate(names)
    ]
    return element("ul", *items, class_="legend")


def reliability(confidence: np.ndarray, accuracy: np.ndarray) -> Element:
    """A reliability diagram: each bin's accuracy as a bar, its mean confidence as a mark, and the
    diagonal on which both would be equal. Bins without predictions are nan."""
    axes = _Axes((0.0, 1.0), (0.0, 1.0))
    shapes = axes.frame("confidence", "accuracy")
    for number, (sure, right) in enumerate(zip(confidence, accuracy, strict=True)):
        if math.isnan(sure):
            continue
        left, top = axes.at(number / len(confidence), right)
        x, y = axes.at(sure, sure)
        width = (RIGHT - LEFT) / len(confidence)
        bar = element(
            "rect",
            element("title", f"confidence {sure:.1%}, accuracy {right:.1%}"),
            x=f"{left:.1f}",
            y=f"{top:.1f}",
            width=f"{width - 1:.1f}",
            height=f"{BOTTOM - top:.1f}",
            class_="bar",
        )
        shapes += [bar, _line(x - width / 2, y, x + width / 2, y, "mark")]
    shapes.append(_line(*axes.at(0, 0), *axes.at(1, 1), "diagonal"))
    return element("figure", _svg("reliability diagram", HEIGHT, *shapes), class_="chart")


def waveform(values: np.ndarray, label: str) -> Element:
    """Small lines, one a channel, of values (T, C), filling the height; no axes.

    Of a long one, each stretch is drawn as its lowest and highest value.
    """
    if len(values) > 2 * STRETCHES:
        stretches = np.array_split(values, STRETCHES)
        ends = [(part.min(axis=0), part.max(axis=0)) for part in stretches]
        values = np.concatenate([np.stack(pair) for pair in ends])
    finite = values[np.isfinite(values)]
    low, high = _widened((float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0))
    width, height = 96, 48
    across = np.linspace(1, width - 1, len(values))
    drawn = []
    for number, channel in enumerate(values.T[:COLOURS]):
        down = 1 + (height - 2) * (high - np.nan_to_num(channel, nan=low)) / (high - low)
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, down, strict=True))
        colour = f"stroke: var(--c{number})"
        drawn.append(element("polyline", points=points, class_="wave", style=colour))
    box = f"0 0 {width} {height}"
    return element("svg", *drawn, viewBox=box, role="img", aria_label=label, class_="thumb")


def matrix(counts: np.ndarray, names: Sequence[str]) -> Element:
    """A confusion matrix (rows true, columns predicted); the colour is the share of the row."""
    room = min(max(map(len, names)), 12) * 6 + 6  # for the names, at six units a letter
    cell = (WIDTH - room - 2) / len(names)
    size = min(cell * 0.4, 11.0)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = f"{WIDTH - room - 2:.2f}"
    shapes = [element("rect", x=room, y=room, width=side, height=side, class_="ground")]
    for row, name in enumerate(names):
        middle = room + (row + 0.5) * cell
        letters = min(cell, 11.0)
        if letters >= 5:  # smaller ones only blur; the cells' tooltips have the names
            shapes.append(_text(room - 4, middle + letters / 3, _short(name), "end", letters))
            above = _text(0, 0, _short(name), "start", letters)
            above.set("transform", f"translate({middle + letters / 3:.1f} {room - 4}) rotate(-90)")
            shapes.append(above)
        # Zeros are left to the ground: a matrix of a thousand classes has a million of them.
        for column in map(int, np.flatnonzero(counts[row])):
            x, y = room + column * cell, room + row * cell
            hint = f"true {name}, predicted {names[column]}: {counts[row, column]}"
            square = element(
                "rect",
                element("title", hint),
                x=f"{x:.2f}",
                y=f"{y:.2f}",
                width=f"{cell - 0.5:.2f}",
                height=f"{cell - 0.5:.2f}",
                class_="cell" if row == column else "cell wrong",
                fill_opacity=f"{0.06 + 0.94 * share[row, column]:.3f}",
            )
            shapes.append(square)
            if size >= 5:
                text = str(counts[row, column])
                label = _text(x + cell / 2, y + cell / 2 + size / 3, text, "middle", size)
                if share[row, column] > 0.5:
                    label.set("class", "on")
                shapes.append(label)
    return element("figure", _svg("confusion matrix", WIDTH, *shapes), class_="chart")


def _finite_runs(series: Series) -> list[list[tuple[float, float]]]:
    """The points of a line between its gaps."""
    runs: list[list[tuple[float, float]]] = [[]]
    for x, y in zip(series.x, series.y, strict=True):
        if math.isfinite(y):
            runs[-1].append((x, y))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _widened(limits: tuple[float, float]) -> tuple[float, float]:
    low, high = limits
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _ticks(limits: tuple[float, float], *, whole: bool = False) -> list[float]:
    values = MaxNLocator(5, integer=whole).tick_values(*limits)
    # The locator gives one more on each side; 0.1 + 0.2 must not show as 0.30000000000000004.
    return [float(f"{v:.12g}") for v in values if limits[0] <= v <= limits[1]]


def _svg(label: str, height: float, *shapes: Element) -> Element:
    return element("svg", *shapes, viewBox=f"0 0 {WIDTH} {height}", role="img", aria_label=label)


def _line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Element:
    ends = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
    return element("line", class_=class_, **{name: f"{v:.1f}" for name, v in ends.items()})


def _dot(x: float, y: float, number: int) -> Element:
    fill = f"fill: var(--c{number % COLOURS})"
    return element("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=3, style=fill)


def _text(x: float, y: float, content: str, anchor: str, size: float = 11.0) -> Element:
    return element(
        "text", content, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor, font_size=f"{size:.1f}"
    )


def _short(name: str) -> str:
    return name if len(name) <= 12 else name[:11] + "…"
