"""report.html: read back with a parser, and compared with what it must show."""

import base64
import io
import re
from html.parser import HTMLParser

import jax
import numpy as np
import pytest
import run_folder
from PIL import Image

import fcnn
from train.report import chart, html, image, kernels, save_page
from train.report.calibration import calibration
from train.report.page import example_losses

VOID = {"meta", "img"}


class Parsed(HTMLParser):
    """Elements as (tag, attributes, text inside), and whether they nest."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open = [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append([tag, dict(attrs), ""])
        if tag not in VOID:
            self.open.append(self.elements[-1])

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        for element in self.open:
            element[2] += data

    def all(self, tag, **attributes):
        wanted = {k.rstrip("_"): v for k, v in attributes.items()}
        return [e for e in self.elements if e[0] == tag and wanted.items() <= e[1].items()]

    def texts(self, tag, **attributes):
        return [e[2] for e in self.all(tag, **attributes)]


def page_of(made):
    save_page(made.folder, made.data, made.params, made.logits)
    return Parsed((made.folder / "report.html").read_text(encoding="utf-8"))


def pixels(element):
    head, _, body = element[1]["src"].partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(body))))


def test_the_page_shows_the_runs_figures(tmp_path):
    made = run_folder.make(tmp_path / "run")
    page = page_of(made)
    labels = made.data.test[1]
    losses, probabilities = example_losses(made.logits.astype(np.float64), labels)
    predictions = made.logits.argmax(1)
    hits = (predictions == labels).sum()
    assert page.texts("p", class_="headline") == [f"{hits / 6:.2%}"]
    assert any(p.startswith(f"{hits} of 6 test images are") for p in page.texts("p"))
    # The worst first, each with its own picture.
    order = np.argsort(-losses)
    captions = [
        f"{made.data.classes[labels[i]]}, predicted {made.data.classes[predictions[i]]}"
        f" ({probabilities[i].max():.1%}), loss {losses[i]:.2f}"
        for i in order
    ]
    assert page.texts("figcaption") == captions
    pictures = page.all("img")
    for i, picture in zip(order, pictures, strict=False):
        expected = np.round(made.data.test[0][i, ..., 0] * (255 / 16))
        np.testing.assert_array_equal(pixels(picture), expected)
    # Kernels behind them: 0 is gray, the largest magnitude black or white.
    kernel = np.asarray(made.params["stage1"]["0"]["kernel"])
    assert len(pictures) == 6 + kernel.shape[-1]
    scale = np.abs(kernel).max()
    for i, picture in enumerate(pictures[6:]):
        shown = pixels(picture) / 255 * 2 - 1
        np.testing.assert_allclose(shown, kernel[:, :, 0, i] / scale, atol=1 / 255)
    # Per-class accuracy, and the confusion matrix's tooltips: every pair that occurs, once.
    hints = [text for text in page.texts("title") if text.startswith("true ")]
    assert len(hints) == len(set(zip(labels, predictions, strict=True)))
    rows = [row for row in page.texts("tr") if re.search(r"% of \d+$", row)]
    for i, name in enumerate(made.data.classes):
        share = (predictions[labels == i] == i).mean()
        assert f"{name}{share:.1%} of 2" in rows
        for j, other in enumerate(made.data.classes):
            count = ((labels == i) & (predictions == j)).sum()
            assert (f"true {name}, predicted {other}: {count}" in hints) == (count > 0)
    error = calibration(probabilities, labels).error
    assert any(f"Expected calibration error {error:.2%}" in p for p in page.texts("p"))
    settings = page.texts("tr")
    for line in ("learning rate0.003", "seed0", "validateno", "shift1", "seedsnone"):
        assert line in settings
    assert f"jax{jax.__version__}" in settings


def test_the_page_stands_alone_and_fits_a_phone(tmp_path):
    page = page_of(run_folder.make(tmp_path / "run"))
    assert page.all("meta", name="viewport")[0][1]["content"].startswith("width=device-width")
    assert not [e for e in page.elements if e[0] in ("script", "link", "iframe", "object")]
    for _, attributes, _ in page.elements:
        for name in ("src", "href", "srcset", "data", "action", "xlink:href"):
            assert attributes.get(name, "data:").startswith("data:")
    (style,) = page.texts("style")
    assert "url(" not in style
    assert "@import" not in style
    assert "prefers-color-scheme: dark" in style
    assert {e[1]["viewbox"].split()[2] for e in page.all("svg")} == {"360"}


def test_everything_is_escaped(tmp_path):
    names = ("<script>alert(1)</script>", "a & b", '"><img src=x onerror=alert(1)>')
    made = run_folder.make(tmp_path / "run", classes=names)
    page = page_of(made)
    assert page.all("script") == []
    assert [e for e in page.elements if "onerror" in e[1]] == []
    titles = " ".join(page.texts("title"))
    for name in names:
        assert f"true {name}, predicted " in titles
        assert any(caption.startswith(f"{name}, predicted") for caption in page.texts("figcaption"))


def test_a_run_on_waveforms_shows_lines(tmp_path):
    made = run_folder.make(tmp_path / "run", size=(16,), channels=2)
    page = page_of(made)
    assert page.all("img") == []
    thumbs = page.all("svg", class_="thumb")
    assert len(thumbs) == 6 + 4  # test examples and kernels, a line a channel
    waves = page.all("polyline", class_="wave")
    assert len(waves) == 2 * 10
    points = [tuple(map(float, p.split(","))) for p in waves[0][1]["points"].split()]
    assert len(points) == 16
    assert points[0][0] < points[-1][0]
    assert any("Lines, one scale for all" in p for p in page.texts("p"))


def test_a_long_waveform_is_drawn_as_its_extremes():
    values = np.zeros((16000, 1))
    values[7777] = 1.0
    (line,) = Parsed(html.to_text(chart.waveform(values, "x"))).all("polyline")
    points = [tuple(map(float, p.split(","))) for p in line[1]["points"].split()]
    assert len(points) == 2 * chart.STRETCHES
    top = min(points, key=lambda point: point[1])
    # Within a stretch of where it is: 1 to 95 across the drawing.
    assert top[0] == pytest.approx(1 + 94 * 7777 / 15999, abs=94 / chart.STRETCHES + 0.1)
    assert top[1] == 1


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_pictures_are_gray_rgb_or_the_mean(channels):
    values = np.random.default_rng(0).uniform(size=(5, 4, channels))
    shown = pixels(Parsed(html.to_text(image.picture(values, "x"))).elements[0])
    wanted = {1: values[..., 0], 2: values.mean(-1), 3: values}[channels]
    np.testing.assert_array_equal(shown, np.round(255 * wanted))


def test_the_first_kernel_is_the_first_that_runs():
    model = fcnn.sequential(b=fcnn.Dense(4), a=fcnn.Conv(5), _=fcnn.flatten, c=fcnn.Dense(2))
    params, _ = model.init(jax.random.key(0), (1, 4, 4, 3))
    path, kernel = kernels.first_kernel(model, dict(sorted(params.items())), (4, 4, 3)) or ("", 0)
    assert path == "a/kernel"
    np.testing.assert_array_equal(kernel, params["a"]["kernel"])

    twice = fcnn.repeat(fcnn.Conv(3), 2)
    stacked, _ = twice.init(jax.random.key(0), (1, 4, 4, 3))
    path, kernel = kernels.first_kernel(twice, stacked, (4, 4, 3)) or ("", 0)
    assert path == "kernel"
    np.testing.assert_array_equal(kernel, stacked["kernel"][0])

    dense = fcnn.sequential(fcnn.flatten, fcnn.Dense(2))
    params, _ = dense.init(jax.random.key(0), (1, 4, 4, 3))
    assert kernels.first_kernel(dense, params, (4, 4, 3)) is None


def test_lines_are_where_their_values_are_and_gaps_stay_gaps():
    y = [0.0, 1.0, float("nan"), 0.5, 0.25]
    figure = chart.lines([chart.Series("a & b", [1, 2, 3, 4, 5], y)], "epoch", "loss")
    page = Parsed(html.to_text(figure))
    drawn = [line[1]["points"] for line in page.all("polyline")]
    across = np.linspace(chart.LEFT, chart.RIGHT, 5)
    down = chart.BOTTOM - np.array(y) * (chart.BOTTOM - chart.TOP)
    points = [f"{x:.1f},{v:.1f}" for x, v in zip(across, down, strict=True)]
    assert drawn == [" ".join(points[:2]), " ".join(points[3:])]
    assert page.texts("li") == ["a & b"]
    assert [text for text in page.texts("text") if text in "12345"] == [*"12345", "1"]
    # One epoch is a dot in the middle.
    one = chart.lines([chart.Series("a", [1], [2.0])], "epoch", "loss")
    (dot,) = Parsed(html.to_text(one)).all("circle")
    assert float(dot[1]["cx"]) == (chart.LEFT + chart.RIGHT) / 2


def test_calibration_equals_a_loop():
    rng = np.random.default_rng(1)
    logits = 2 * rng.normal(size=(200, 4))
    labels = rng.integers(0, 4, 200)
    _, probabilities = example_losses(logits, labels)
    got = calibration(probabilities, labels)
    assert len(got.counts) == 15
    assert got.counts.sum() == 200
    error = 0.0
    for m in range(15):
        members = [
            (p.max(), p.argmax() == label)
            for p, label in zip(probabilities, labels, strict=True)
            if m / 15 < p.max() <= (m + 1) / 15
        ]
        assert got.counts[m] == len(members)
        if not members:
            assert np.isnan(got.confidence[m])
            continue
        sure, right = np.mean([c for c, _ in members]), np.mean([h for _, h in members])
        np.testing.assert_allclose((got.confidence[m], got.accuracy[m]), (sure, right))
        error += len(members) / 200 * abs(sure - right)
    np.testing.assert_allclose(got.error, error)


def test_losses_of_large_logits_are_finite():
    losses, probabilities = example_losses(np.array([[1000.0, 0.0], [0.0, 1.0]]), np.array([1, 1]))
    np.testing.assert_allclose(losses, [1000.0, np.log1p(np.exp(-1))])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
