"""`python -m train [recipe] [--options]`: the checks that need no import, then the command line."""

import sys
from importlib.util import find_spec

# What is imported, and the package that brings it.
NEEDED = {
    "jax": "jax",
    "optax": "optax",
    "tyro": "tyro",
    "rich": "rich",
    "matplotlib": "matplotlib",
    "PIL": "pillow",
    "safetensors": "safetensors",
    "sklearn": "scikit-learn",
}


def missing() -> list[str]:
    """The packages that training needs and this Python does not have."""
    return [package for module, package in NEEDED.items() if find_spec(module) is None]


def main() -> int:
    if packages := missing():
        print(
            f"python -m train: not installed: {', '.join(packages)};"
            ' run: python -m pip install -e ".[train]"',
            file=sys.stderr,
        )
        return 2
    from train.cli import main

    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
