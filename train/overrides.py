"""`--set PATH=VALUE`: a setting by its path, as config.json has it.

It becomes the option that it means before options are parsed, so there is one parser for both.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, get_origin, get_type_hints

from train.errors import UserError
from train.spelling import closest

FLAGS = {"true": True, "false": False}


def paths(cls: type) -> dict[str, Any]:
    """Every setting of a recipe by its path, with its type; those of a config as "model.widths".

    >>> from train.recipes import RECIPES
    >>> list(paths(RECIPES["uci_har"]))[-3:]
    ['model.stride', 'model.window', 'data_dir']
    """
    found: dict[str, Any] = {}
    hints = get_type_hints(cls, include_extras=True)
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            found |= {f"{field.name}.{path}": inner for path, inner in paths(hint).items()}
        else:
            found[field.name] = hint
    return found


def option(path: str) -> str:
    """
    >>> option("model.num_classes")
    '--model.num-classes'
    """
    return "--" + path.replace("_", "-")


def spelled(options: Sequence[str], cls: type) -> list[str]:
    """The options, with each --set as the option of this recipe that it means.

    Tuples are written with commas, and flags as true and false.

    Raises UserError for a path that is none of its settings, or what is not PATH=VALUE.

    >>> from train.recipes import RECIPES
    >>> spelled(["--set", "model.widths=16,32", "--set=validate=true"], RECIPES["mnist"])
    ['--model.widths', '16', '32', '--validate']
    """
    known = paths(cls)
    words: list[str] = []
    for word, path, value in assignments(options):
        if path is None:
            words.append(word)
            continue
        path = path.replace("-", "_")
        if path not in known:
            near = ", ".join(closest(path, known)) or ", ".join(known)
            raise UserError(f"--set {word}: no setting {path}; the closest are {near}")
        if known[path] is bool:
            if value not in FLAGS:
                raise UserError(f"--set {word}: {path} is true or false, got {value!r}")
            parent, dot, name = path.rpartition(".")
            words.append(option(path if FLAGS[value] else f"{parent}{dot}no_{name}"))
        elif get_origin(known[path]) is tuple:
            words += [option(path), *filter(None, value.replace(",", " ").split())]
        else:
            words.append(f"{option(path)}={value}")
    return words


def assignments(options: Sequence[str]) -> Iterator[tuple[str, str | None, str]]:
    """(word, None, "") for each word of the options; ("path=value", path, value) for each --set.

    Raises UserError for what is not PATH=VALUE.
    """
    words = iter(options)
    for word in words:
        if word != "--set" and not word.startswith("--set="):
            yield word, None, ""
            continue
        given = word.removeprefix("--set=") if word != "--set" else next(words, "")
        path, equals, value = given.partition("=")
        if not path or not equals:
            raise UserError(f"--set expects PATH=VALUE, as in learning_rate=0.01, got {given!r}")
        yield given, path, value
