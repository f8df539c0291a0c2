"""The package as a whole: what it exports, and what it keeps away from."""

import ast
import importlib.metadata
import pathlib

import pytest

import fcnn

ROOT = pathlib.Path(fcnn.__file__).parent
ALLOWED = {"jax", "jaxlib", "numpy", "optax", "chex", "fcnn"}
PURE = {
    "__future__", "collections", "contextlib", "dataclasses", "fractions", "functools",
    "importlib", "itertools", "json", "math", "operator", "platform", "re", "sys",
    "types", "typing", "zlib",
}  # fmt: skip


def test_every_public_name_exists():
    assert sorted(fcnn.__all__) == list(fcnn.__all__)
    for name in fcnn.__all__:
        assert getattr(fcnn, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Conv2D'"):
        fcnn.Conv2D  # noqa: B018


def test_the_version_is_the_installed_one():
    assert fcnn.__version__ == importlib.metadata.version("fcnn")


@pytest.mark.parametrize(
    "path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT.parent))
)
def test_the_core_is_pure(path):
    """No file, clock, terminal or network; nothing but JAX and friends; never train/."""
    syntax = ast.parse(path.read_text())
    imported = set()
    for node in ast.walk(syntax):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            imported.add(node.module.split(".")[0])
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"print", "open", "eval", "exec", "input"}, node.lineno
        elif isinstance(node, ast.Global):
            raise AssertionError(f"global state in line {node.lineno}")
    assert imported <= ALLOWED | PURE


FLOORS = [
    ("ops", "geometry", "initializers", "augment"),
    ("layer", "layers"),
    (
        "compose", "blocks", "summarize", "receptive", "tree", "features", "surgery", "training",
        "models",
    ),
]  # fmt: skip


def test_every_floor_imports_only_downwards():
    floor_of = {name: i for i, names in enumerate(FLOORS) for name in names}
    files = [path for path in ROOT.rglob("*.py") if path.parent != ROOT or path.stem != "__init__"]
    for path in files:
        own = path.relative_to(ROOT).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ImportFrom) or not node.module.startswith("fcnn"):
                continue
            parts = node.module.split(".")
            targets = [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]
            for target in targets:
                # A name of the package itself (fcnn.Conv) is no floor of its own.
                assert floor_of.get(target, 99) <= floor_of[own], f"{path} imports {target}"
