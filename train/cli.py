"""The command line: `python -m train [recipe] [--options]`, each option a field of the recipe, or
`python -m train command …` for what is done with runs. `--set path=value` is another spelling of an
option.

Exit codes: 0 done, 1 failed, 2 wrong option, word, path or file, 130 Ctrl-C, 143 SIGTERM. Whatever
is wrong is one line on stderr.
"""

import argparse
import contextlib
import dataclasses
import inspect
import io
import re
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import tyro

from train import runs
from train.commands import COMMANDS, Command, ProfileRecipe
from train.errors import UserError
from train.log import Terminal
from train.overrides import assignments, option, spelled
from train.recipe import Recipe
from train.recipes import RECIPES
from train.settings import differences, to_record
from train.spelling import did_you_mean

PROGRAM = "python -m train"
DEFAULT = "digits"
INTERRUPTED = "interrupted; steps after the last checkpoint are lost"
SET = (
    "--set PATH=VALUE, as often as needed, sets what an option below does, by its name in"
    " config.json: --set learning_rate=0.01 --set model.widths=16,32 --set validate=true"
)

T = TypeVar("T")


def main(args: Sequence[str]) -> int:
    """Run the command line; returns the exit code."""
    try:
        chosen = parse(args)
        if not isinstance(chosen, Recipe):
            chosen.run(Terminal())
            return 0
        return _train(chosen)
    except UserError as error:
        return _fail(error, 2)
    except OSError as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        return _fail(INTERRUPTED, 130)


def _train(recipe: Recipe) -> int:
    # After --help: these imports take a second.
    from train import processes
    from train.checkpoint import SaveError
    from train.loop import train
    from train.run import StoppedError
    from train.training import DivergedError

    processes.start(recipe)
    try:
        train(recipe, Terminal(live=recipe.progress, silent=not processes.first()))
        return 0
    # What all processes of a run end with:
    except DivergedError as error:
        return _fail(error, 1)
    except StoppedError as error:
        return _fail(error, error.exit_code)
    except UserError as error:
        return _fail(error, 2)
    # What one of them ends with alone, without waiting for the others as Python's own end would:
    except (SaveError, OSError) as error:
        return processes.leave(_fail(error, 1))
    except KeyboardInterrupt:
        return processes.leave(_fail(INTERRUPTED, 130))
    except Exception as error:
        if not processes.several():
            raise
        if processes.is_broken_connection(error):
            return processes.leave(_fail("another process has ended: see its own line", 1))
        traceback.print_exc()
        return processes.leave(1)


def parse(args: Sequence[str]) -> Recipe | Command:
    """What the arguments ask for. Prints help and exits where they ask for that.

    Raises UserError for a word or an option that is not known, or a value that does not fit.
    """
    named = bool(args) and not args[0].startswith("-")
    name, options = (args[0], args[1:]) if named else (DEFAULT, args)
    if name == "profile" and options and options[0] in RECIPES:
        recipe = options[0]
        return ProfileRecipe(_settings(RECIPES[recipe], f"profile {recipe}", options[1:]))
    if name in COMMANDS:
        return _settings(COMMANDS[name], name, options)
    if name not in RECIPES:
        raise UserError(
            f"no recipe or command {name!r}{did_you_mean(name, [*RECIPES, *COMMANDS])};"
            f" recipes: {', '.join(RECIPES)}; commands: {', '.join(COMMANDS)}"
        )
    run, runs_dir = _resumed(options)
    if run:
        given = name if named else None
        return _resume(runs.find(run, runs_dir, given), options, given)
    return _settings(RECIPES[name], name, options, description=None if named else _listing())


def _resumed(options: Sequence[str]) -> tuple[str, Path]:
    """--resume and --runs-dir, which say whose options the others are."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--resume", nargs="?")
    parser.add_argument("--runs-dir", "--runs_dir", nargs="?")
    words = [
        word if path is None else f"{option(path)}={value}"
        for word, path, value in assignments(options)
    ]
    found, _ = parser.parse_known_args(words)
    return found.resume or "", Path(found.runs_dir or Recipe.runs_dir)


def _resume(folder: Path, options: Sequence[str], name: str | None) -> Recipe:
    """The recipe of the run in `folder`, with the options that a resumed run may change.

    name: of the recipe, None where none was given.
    """
    before = runs.recipe(runs.read(folder))
    recipe = dataclasses.replace(
        _settings(type(before), before.name, options, default=before),
        resume=str(folder),
        runs_dir=folder.parent,
    )
    others = differences(recipe, to_record(before))
    if name not in (None, before.name):
        others = [f"it is a run of {before.name}, not of {name}"]
    if others:
        raise UserError(f"--resume {folder}: {'; '.join(others)}")
    return recipe


def _settings(
    cls: type[T],
    name: str,
    options: Sequence[str],
    *,
    description: str | None = None,
    default: T | None = None,
) -> T:
    """The options as an instance of cls, whose docstring is the help unless one is given.

    What no option says is as in `default`.
    """
    text = description or _doc(cls)
    if issubclass(cls, Recipe):
        options = spelled(options, cls)
        text += f"\n\n{SET}"
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            made, unknown = tyro.cli(
                cls,
                args=options,
                default=tyro.MISSING_NONPROP if default is None else default,
                prog=f"{PROGRAM} {name}",
                description=text,
                return_unknown_args=True,
            )
    except SystemExit as stop:
        if not stop.code:
            raise  # --help
        # A mistyped option leaves its value to the next argument: that is not what is wrong.
        wrong = [word for word in options if word.startswith("--") and not _known(word, cls)]
        found = _unknown(wrong[0], name, cls) if wrong else _one_line(errors.getvalue())
        raise UserError(found) from None
    if unknown:
        raise UserError(_unknown(unknown[0], name, cls))
    return made


def _doc(cls: type) -> str:
    return inspect.getdoc(cls) or ""


def _listing() -> str:
    """The help of the program as a whole, above the options of the default recipe."""

    def lines(words: Mapping[str, type]) -> list[str]:
        return [f"  {name:<15}{_doc(cls).splitlines()[0]}" for name, cls in words.items()]

    return "\n".join(
        [
            f"Train a recipe: {PROGRAM} [RECIPE] [OPTIONS].",
            "",
            *lines(RECIPES),
            "",
            f"Or do something with runs: {PROGRAM} COMMAND …",
            "",
            *lines(COMMANDS),
            "",
            f"Without a word it is the recipe {DEFAULT}, whose options are below;"
            f" {PROGRAM} WORD --help shows another's.",
        ]
    )


def _one_line(box: str) -> str:
    """The sentence in the box that tyro draws around an error: after its title, up to a rule."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", box)
    sections: list[list[str]] = [[]]
    for line in plain.splitlines():
        row = line.strip("│ ")
        if row.startswith("╭") or (row and not row.strip("─-╰╯")):  # "-" where there is no UTF-8
            sections.append([])
        else:
            sections[-1].append(row)
    return " ".join(" ".join(sections[1]).split())


def _unknown(word: str, name: str, cls: type) -> str:
    if not word.startswith("-"):
        what = "recipe" if cls in RECIPES.values() else "command"
        return f"unexpected argument {word!r}; the {what} is {name}"
    option = word.partition("=")[0]
    hint = did_you_mean(option, _options(cls))
    return f"no option {option}{hint}; see {PROGRAM} {name} --help"


def _known(word: str, cls: type) -> bool:
    return word.partition("=")[0].replace("_", "-") in _options(cls)


def _options(cls: type) -> list[str]:
    """The options of a recipe or a command as its help spells them."""
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
        tyro.cli(cls, args=["--help"])
    return sorted(set(re.findall(r"--[a-z][a-z0-9.-]*[a-z0-9]", shown.getvalue())))


def _fail(error: object, code: int) -> int:
    text = " ".join(str(error).split())
    print(f"{PROGRAM}: {text}", file=sys.stderr)
    return code
