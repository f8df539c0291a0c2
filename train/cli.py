"""The command line: `python -m train [recipe] [--options]`, each option a field of the recipe.

Exit codes: 0 done, 1 failed, 2 wrong option, recipe, path or data file, 130 Ctrl-C, 143 SIGTERM.
Whatever is wrong is one line on stderr.
"""

import argparse
import contextlib
import dataclasses
import difflib
import io
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import tyro

from train.errors import UserError
from train.folder import find, read
from train.log import Terminal
from train.recipe import Recipe
from train.recipes import RECIPES
from train.settings import differences, to_record

PROGRAM = "python -m train"
DEFAULT = "digits"


def main(args: Sequence[str]) -> int:
    """Run the command line; returns the exit code."""
    try:
        recipe = parse(args)
        # After --help: these imports take a second.
        from train.checkpoint import SaveError
        from train.loop import train
        from train.run import StoppedError
        from train.training import DivergedError

        try:
            train(recipe, Terminal(live=recipe.progress))
        except (DivergedError, SaveError, OSError) as error:
            return _fail(error, 1)
        except StoppedError as error:
            return _fail(error, error.exit_code)
    except UserError as error:
        return _fail(error, 2)
    except KeyboardInterrupt:
        return _fail("interrupted; steps after the last checkpoint are lost", 130)
    return 0


def parse(args: Sequence[str]) -> Recipe:
    """The recipe that the arguments ask for. Prints help and exits where they ask for that.

    Raises UserError for a recipe or an option that is not known, or a value that does not fit.
    """
    named = bool(args) and not args[0].startswith("-")
    name, options = (args[0], args[1:]) if named else (DEFAULT, args)
    if name not in RECIPES:
        raise UserError(
            f"no recipe {name!r}{_did_you_mean(name, RECIPES)}; recipes: {', '.join(RECIPES)}"
        )
    run, runs_dir = _resumed(options)
    if not run:
        return _parse(name, options, listing=not named)
    folder = find(run, runs_dir, name if named else None)
    before = read(folder)
    recipe = dataclasses.replace(
        _parse(before.name, options, default=before), resume=str(folder), runs_dir=folder.parent
    )
    others = differences(recipe, to_record(before))
    if named and name != before.name:
        others = [f"it is a run of {before.name}, not of {name}"]
    if others:
        raise UserError(f"--resume {folder}: {'; '.join(others)}")
    return recipe


def _resumed(options: Sequence[str]) -> tuple[str, Path]:
    """--resume and --runs-dir, which say whose options the others are."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--resume", nargs="?")
    parser.add_argument("--runs-dir", "--runs_dir", nargs="?")
    found, _ = parser.parse_known_args(options)
    return found.resume or "", Path(found.runs_dir or Recipe.runs_dir)


def _parse(
    name: str, options: Sequence[str], *, listing: bool = False, default: Recipe | None = None
) -> Recipe:
    cls = RECIPES[name]
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            recipe, unknown = tyro.cli(
                cls,
                args=options,
                default=tyro.MISSING_NONPROP if default is None else default,
                prog=f"{PROGRAM} {name}",
                description=_description(cls, listing=listing),
                return_unknown_args=True,
            )
    except SystemExit as stop:
        if not stop.code:
            raise  # --help
        raise UserError(_one_line(errors.getvalue())) from None
    if unknown:
        raise UserError(_unknown(unknown[0], name))
    return recipe


def _description(cls: type[Recipe], *, listing: bool) -> str:
    text = (cls.__doc__ or "").strip()
    if listing:
        lines = [f"  {name:<15}{(each.__doc__ or '').strip()}" for name, each in RECIPES.items()]
        text = "\n".join(
            [
                f"Train a recipe: {PROGRAM} [RECIPE] [OPTIONS].",
                "",
                *lines,
                "",
                f"Without one it is {DEFAULT}, whose options are below; {PROGRAM} RECIPE --help"
                " shows another's.",
            ]
        )
    return text


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


def _unknown(word: str, name: str) -> str:
    if not word.startswith("-"):
        return f"unexpected argument {word!r}; the recipe is {name}"
    option = word.partition("=")[0]
    hint = _did_you_mean(option, _options(name))
    return f"no option {option}{hint}; see {PROGRAM} {name} --help"


def _options(name: str) -> list[str]:
    """The options of a recipe as its help spells them."""
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
        tyro.cli(RECIPES[name], args=["--help"])
    return sorted(set(re.findall(r"--[a-z][a-z0-9.-]*", shown.getvalue())))


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f", did you mean {close[0]}?" if close else ""


def _fail(error: object, code: int) -> int:
    text = " ".join(str(error).split())
    print(f"{PROGRAM}: {text}", file=sys.stderr)
    return code
