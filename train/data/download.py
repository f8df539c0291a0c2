"""Downloading a file into the cache: resumed where it broke off, checked against its checksum."""

import hashlib
import http.client
import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from train.errors import DataError

TIMEOUT = 30.0  # seconds without a byte
PROGRESS = 5.0  # seconds between two lines of progress
# What the other side or the way to it can do wrong; any other OSError is our own disk's.
NETWORK = (
    urllib.error.URLError,
    http.client.HTTPException,
    TimeoutError,
    ConnectionError,
    ssl.SSLError,
)


class Published(NamedTuple):
    """A file as it was published.

    content_sha256: SHA-256 of what it holds when unpacked; None where nobody has published that.
    """

    name: str
    size: int
    sha256: str
    content_sha256: str | None = None


class _WrongFileError(DataError):
    """What was downloaded is not the published file, and no more bytes would make it so."""


def cache_folder() -> Path:
    """Where downloads are kept: $XDG_CACHE_HOME/fcnn, by default ~/.cache/fcnn."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The specification says to ignore a relative path.
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "fcnn"


def check_published(path: Path, file: Published) -> None:
    """Raise DataError if the file at `path` does not have the published size and checksum."""
    size = path.stat().st_size
    if size != file.size:
        raise DataError(f"{path}: expected {file.size} bytes, got {size}")
    with open(path, "rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if found != file.sha256:
        raise DataError(f"{path}: expected SHA-256 {file.sha256}, got {found}")


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
    damaged since is downloaded again. A download that breaks off leaves its part, hidden, and the
    next call goes on from there. Each download and its progress is told to `report`, a line of
    text. Two processes do not download into one folder at once: the second waits.

    Raises DataError, naming each mirror and what was wrong with it, when none gives the file.
    """
    path = folder / file.name
    if _is_there(path, file):
        return path
    failures = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            if _is_there(path, file):  # the process that was waited for has downloaded it
                return path
            for mirror in mirrors:
                url = mirror + file.name
                report(f"downloading {url} ({file.size / 1e6:.1f} MB) to {folder}")
                try:
                    _download(url, file, path, report, timeout)
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


def _is_there(path: Path, file: Published) -> bool:
    if path.is_file():
        with suppress(DataError):
            check_published(path, file)
            return True
    return False


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process is in here for the same folder, where the system can tell."""
    if os.name != "posix":
        yield
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a network file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)  # and with it the lock


def _download(
    url: str, file: Published, path: Path, report: Callable[[str], None], timeout: float
) -> None:
    part = path.with_name(f".{file.name}.part")
    resumed = part.is_file()
    try:
        _complete(url, file, part, report, timeout)
    except _WrongFileError:
        part.unlink()
        if not resumed:
            raise
        # The part may have been what was wrong, so once more without it.
        try:
            _complete(url, file, part, report, timeout)
        except _WrongFileError:
            part.unlink()
            raise
    os.replace(part, path)


def _complete(
    url: str, file: Published, part: Path, report: Callable[[str], None], timeout: float
) -> None:
    """Append to `part` what is missing of the file, and check the whole."""
    done = part.stat().st_size if part.is_file() else 0
    if done < file.size:
        request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})
        with urllib.request.urlopen(request, timeout=timeout) as response:
            if response.status != http.client.PARTIAL_CONTENT:
                done = 0  # the server sends the file from its beginning
            with open(part, "r+b" if done else "wb") as target:
                target.seek(done)
                done = _copy(response, target, done, file.size, report)
                target.flush()
                os.fsync(target.fileno())
    if done < file.size:
        raise DataError(f"{url}: expected {file.size} bytes, got {done}")
    if done > file.size:
        raise _WrongFileError(f"{url}: expected {file.size} bytes, got more")
    with open(part, "rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if found != file.sha256:
        raise _WrongFileError(f"{url}: expected SHA-256 {file.sha256}, got {found}")


def _copy(response, target, done: int, size: int, report: Callable[[str], None]) -> int:
    """Write what comes; returns the size of the file then. Stops one byte after `size`."""
    told = time.monotonic()
    # One byte more than expected is enough to know that the rest is not wanted.
    while done <= size and (block := response.read(min(2**16, size + 1 - done))):
        target.write(block)
        done += len(block)
        if time.monotonic() - told >= PROGRESS:
            told = time.monotonic()
            report(f"downloaded {done / 1e6:.1f} of {size / 1e6:.1f} MB")
    return done
