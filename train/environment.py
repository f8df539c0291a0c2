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
    "pillow",
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
        "cores": cores(),
        "backend": jax.default_backend(),
        "device": devices[0].device_kind,
        "devices": len(devices),
        "processes": jax.process_count(),
    }


def cores() -> int:
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory() -> list[int]:
    """The bytes of the machine's memory, and of a device's, as far as they are known."""
    found = []
    if hasattr(os, "sysconf"):  # not on Windows
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    return found if limit is None else [*found, limit]


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
