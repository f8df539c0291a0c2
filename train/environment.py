"""Where a run happened: versions and hardware, for its config.json."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version

import jax

PACKAGES = (
    "fcnn",
    "jax",
    "jaxlib",
    "optax",
    "numpy",
    "scikit-learn",
    "safetensors",
    "orbax-checkpoint",
)


def versions() -> dict[str, str]:
    """Python and the packages that decide what a run computes."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # fcnn run from a checkout that is not installed
            found[package] = "not installed"
    return found


def hardware() -> dict[str, str | int]:
    """The machine and the devices that JAX uses on it."""
    devices = jax.devices()
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count() or 0,
        "backend": jax.default_backend(),
        "device": devices[0].device_kind,
        "devices": len(devices),
        "processes": jax.process_count(),
    }


def _processor() -> str:
    """Its model where Linux tells, else what Python knows."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
