"""report.html: a run on one page, which needs no network and reads well on a phone."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from fcnn.models import from_json
from train import files, runs
from train.data import Dataset
from train.report import chart, html, image, kernels
from train.report.calibration import calibration
from train.report.confusion import confusion_matrix
from train.report.html import Element, element

MOST_WORST = 24
MOST_KERNELS = 64
STYLE = Path(__file__).with_name("style.css")


def save_page(folder: Path, data: Dataset, params: Any, logits: np.ndarray) -> None:
    """Write report.html into a run's folder, from its config.json and metrics.jsonl.

    data: the run's data set; its test split is what the run was tested on.
    logits: (N, K), the network's output for that split.
    """
    run = runs.read(folder)
    images, labels = data.test
    logits = logits.astype(np.float64)
    losses, probabilities = example_losses(logits, labels)
    correct = logits.argmax(axis=1) == labels
    name = f"{run.config['recipe']}, seed {run.config['seed']}"
    headline = f"{correct.mean():.2%}"
    files.write(
        folder / "report.html",
        html.page(
            f"{name}: {headline}",
            style(),
            element("h1", name),
            element("p", headline, class_="headline"),
            _sentence(run, correct, data.noun),
            *_curves(run),
            *_confusion(data, logits.argmax(axis=1)),
            *_worst(data, losses, probabilities),
            *_calibration(probabilities, labels),
            *_kernels(run, params, images.shape[1:]),
            *_settings(run),
        ),
    )


def style() -> str:
    """The CSS of every page."""
    return STYLE.read_text(encoding="utf-8")


def example_losses(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each example's cross-entropy (N,), without smoothing, and its probabilities (N, K).

    >>> losses, probabilities = example_losses(np.log([[3.0, 1.0]]), np.array([1]))
    >>> losses.round(4).tolist(), probabilities.round(4).tolist()
    ([1.3863], [[0.75, 0.25]])
    """
    shifted = logits - logits.max(axis=1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return -logs[np.arange(len(labels)), labels], np.exp(logs)


def _sentence(run: runs.Run, correct: np.ndarray, noun: str) -> Element:
    seconds = sum(epoch["seconds"] for epoch in run.epochs)
    return element(
        "p",
        f"{correct.sum():,} of {len(correct):,} {run.split} {noun} are classified correctly, by"
        f" {run.config['parameters']:,} parameters after {len(run.epochs)} epochs of training in"
        f" {seconds:.1f} s.",
    )


def _curves(run: runs.Run) -> list[Element]:
    epochs = [epoch["epoch"] for epoch in run.epochs]

    def drawn(what: str) -> Element:
        series = [
            chart.Series(name, epochs, [epoch[f"{key}_{what}"] for epoch in run.epochs])
            for key, name in (("train", "training"), ("test", run.split))
        ]
        return chart.lines(series, "epoch", what)

    both = element("div", drawn("loss"), drawn("accuracy"), class_="charts")
    note = "Training figures are means over an epoch, with augmentation and dropout."
    return [element("h2", "Learning curves"), both, element("p", note, class_="dim")]


def _confusion(data: Dataset, predictions: np.ndarray) -> list[Element]:
    labels = data.test[1]
    counts = confusion_matrix(labels, predictions, len(data.classes))
    rows = []
    for name, row, hits in zip(data.classes, counts, counts.diagonal(), strict=True):
        share = hits / max(row.sum(), 1)
        meter = element("div", element("i", style=f"width: {share:.2%}"), class_="meter")
        figures = f"{share:.1%} of {row.sum():,}"
        rows.append(
            element("tr", element("td", name), element("td", meter), element("td", figures))
        )
    return [
        element("h2", "Confusion matrix"),
        element("p", "Rows are true classes, columns predicted ones.", class_="dim"),
        chart.matrix(counts, data.classes),
        element("h2", "Accuracy of each class"),
        element("table", *rows, class_="classes"),
    ]


def _worst(data: Dataset, losses: np.ndarray, probabilities: np.ndarray) -> list[Element]:
    images, labels = data.test
    tiles = []
    for index in np.argsort(-losses, kind="stable")[:MOST_WORST]:
        predicted = probabilities[index].argmax()
        true = data.classes[labels[index]]
        caption = element(
            "figcaption",
            f"{true}, predicted {data.classes[predicted]} ({probabilities[index, predicted]:.1%}),"
            f" loss {losses[index]:.2f}",
            class_="right" if predicted == labels[index] else "wrong",
        )
        shown = image.picture(images[index].astype(np.float64) / data.white, f"{index}: {true}")
        tiles.append(element("figure", shown, caption))
    return [
        element("h2", f"Worst-classified {data.noun}"),
        element(
            "p",
            f"The {len(tiles)} with the highest loss: the true class, then the predicted one with"
            " its probability.",
            class_="dim",
        ),
        element("div", *tiles, class_="tiles"),
    ]


def _calibration(probabilities: np.ndarray, labels: np.ndarray) -> list[Element]:
    measured = calibration(probabilities, labels)
    return [
        element("h2", "Calibration"),
        element(
            "p",
            f"Expected calibration error {measured.error:.2%} (15 bins, Guo et al. 2017). Bars are"
            " accuracies of the predictions in each bin of confidence, marks their mean confidence:"
            " a bar above its mark means that the network is too modest, below it too sure.",
        ),
        chart.reliability(measured.confidence, measured.accuracy),
    ]


def _kernels(run: runs.Run, params: Any, shape: tuple[int, ...]) -> list[Element]:
    model = from_json(json.dumps(run.config["model"])).build()
    found = kernels.first_kernel(model, params, shape)
    if found is None:
        return []
    path, kernel = found
    *size, channels, count = kernel.shape
    note = f"{count} of {'×'.join(map(str, size))} over {channels} channel{'s' * (channels > 1)}"
    if channels not in (1, 3) and len(size) > 1:
        note += ", whose mean is shown"
    if count > MOST_KERNELS:
        note += f"; the first {MOST_KERNELS} are shown"
    scale = "Lines" if len(size) == 1 else "Gray is 0"
    tiles = [
        image.picture(one, f"kernel {number}")
        for number, one in enumerate(kernels.images(kernel)[:MOST_KERNELS])
    ]
    return [
        element("h2", "First-layer kernels"),
        element("p", f"{path}: {note}. {scale}, one scale for all.", class_="dim"),
        element("div", *tiles, class_="tiles small"),
    ]


def _settings(run: runs.Run) -> list[Element]:
    config = run.config
    settings = {"recipe": config["recipe"], **config["settings"], "seed": config["seed"]}
    parts = {
        "Settings": settings | {"model": config["model"]},
        "Versions": config["versions"],
        "Hardware": config["hardware"],
    }
    made = []
    for title, values in parts.items():
        rows = [
            element("tr", element("th", key.replace("_", " ")), element("td", _shown(value)))
            for key, value in values.items()
        ]
        made += [element("h2", title), element("table", *rows)]
    return made


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', ' ')} {_shown(v)}" for key, v in value.items())
    if isinstance(value, list):
        return " ".join(map(_shown, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
