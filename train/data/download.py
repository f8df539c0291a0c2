"""Downloading a file into the cache, checked against its published size and checksum."""

import hashlib
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

from train import files
from train.errors import DataError

TIMEOUT = 30.0  # seconds without a byte
# What the other side or the way to it can do wrong; any other OSError is our own disk's.
NETWORK = (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError, ssl.SSLError)


class Published(NamedTuple):
    """A file as it was published, and the SHA-256 of what it holds when unpacked."""

    name: str
    size: int
    sha256: str
    content_sha256: str


def cache_folder() -> Path:
    """Where downloads are kept: $XDG_CACHE_HOME/fcnn, by default ~/.cache/fcnn."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The specification says to ignore a relative path.
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "fcnn"


def fetch(
    file: Published,
    mirrors: Sequence[str],
    folder: Path,
    report: Callable[[str], None],
    *,
    timeout: float = TIMEOUT,
) -> Path:
    """The path of `file` in `folder`, downloaded from the first mirror that has it, if need be.

    A file appears under its name only when it is whole and its checksum is right; one that was
    damaged since is downloaded again. Each download is told to `report`, a line of text.

    Raises DataError, naming each mirror and what was wrong with it, when none gives the file.
    """
    path = folder / file.name
    if path.is_file() and path.stat().st_size == file.size and _sha256(path) == file.sha256:
        return path
    failures = []
    for mirror in mirrors:
        url = mirror + file.name
        report(f"downloading {url} ({file.size / 1e6:.1f} MB) to {folder}")
        try:
            _download(url, file, path, timeout)
            return path
        except NETWORK as error:
            failures.append(f"{url}: {getattr(error, 'reason', None) or error}")
        except DataError as error:
            failures.append(str(error))
        except OSError as error:
            raise DataError(f"{path}: cannot be written: {error.strerror or error}") from None
    raise DataError(
        f"{file.name} could not be downloaded (--data-dir reads files you have):"
        f" {'; '.join(failures)}"
    )


def _download(url: str, file: Published, path: Path, timeout: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    digest, count = hashlib.sha256(), 0
    with (
        urllib.request.urlopen(url, timeout=timeout) as response,
        files.atomic(path) as target,
    ):
        # One byte more than expected is enough to know that the rest is not wanted.
        while count <= file.size and (block := response.read(min(2**16, file.size + 1 - count))):
            digest.update(block)
            count += len(block)
            target.write(block)
        if count != file.size:
            came = f"{count} bytes" if count < file.size else "more"
            raise DataError(f"{url}: expected {file.size} bytes, got {came}")
        if digest.hexdigest() != file.sha256:
            raise DataError(f"{url}: expected SHA-256 {file.sha256}, got {digest.hexdigest()}")


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
