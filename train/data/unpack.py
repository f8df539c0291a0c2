"""Unpacking an archive that may be damaged, or made to do harm.

Nothing is written outside of the folder, nothing but plain files and folders is made, and no more
than the given bytes and files. An archive that asks for anything else is refused whole.
"""

import gzip
import io
import os
import re
import shutil
import stat
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from train.data.reading import MOST_BYTES, refusing
from train.errors import DataError

MOST_FILES = 10_000


def unpack(
    archive: Path, folder: Path, *, most_bytes: int = MOST_BYTES, most_files: int = MOST_FILES
) -> None:
    """Unpack a tar (plain or gzipped) or zip file into a new folder that appears when it is whole.

    Modes, owners and times of the members are not taken over.

    Raises DataError naming the archive, and the member if it is one: for a file that is no archive
    or is damaged; a member that is a link, a device or encrypted, or whose name is absolute, goes
    up ("..") or stands twice; for more than most_files members or most_bytes in all.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
        inside = Path(temporary) / "inside"
        inside.mkdir()
        with refusing(
            archive, "a whole tar or zip file", tarfile.TarError, zipfile.BadZipFile, zlib.error,
            EOFError, ValueError, NotImplementedError, RuntimeError, struct.error, OverflowError,
        ):  # fmt: skip
            left = most_bytes
            for count, (name, content) in enumerate(_members(archive, most_bytes), 1):
                if count > most_files:
                    raise DataError(f"{archive}: expected {most_files} members at most, got more")
                path = inside / _safe(archive, name)
                if content is None:
                    path.mkdir(parents=True, exist_ok=True)
                else:
                    left -= _write(archive, name, path, content, left)
        if folder.is_dir():
            shutil.rmtree(folder)
        os.replace(inside, folder)


def _members(archive: Path, most_bytes: int) -> Iterator[tuple[str, IO[bytes] | None]]:
    """(name, content) of each member, in order; the content of a folder is None."""
    with open(archive, "rb") as file:
        magic = file.read(4)
        file.seek(0)
        if magic == b"PK\x03\x04":
            yield from _zip_members(archive, file)
        elif magic[:2] == b"\x1f\x8b":
            with gzip.GzipFile(fileobj=file) as content:
                yield from _tar_members(archive, content, most_bytes)
        else:
            yield from _tar_members(archive, file, most_bytes)


def _zip_members(archive: Path, file: IO[bytes]) -> Iterator[tuple[str, IO[bytes] | None]]:
    with zipfile.ZipFile(file) as members:
        for member in members.infolist():
            # The upper half holds the mode, if the archive was made on a system that has modes.
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise DataError(f"{archive}: {member.filename!r} is no plain file: refused")
            if not member.filename:  # is_dir() fails on it
                raise DataError(f"{archive}: a member has no name: refused")
            if member.is_dir():
                yield member.filename, None
            else:
                with members.open(member) as content:
                    yield member.filename, content


def _tar_members(
    archive: Path, file: IO[bytes] | gzip.GzipFile, most_bytes: int
) -> Iterator[tuple[str, IO[bytes] | None]]:
    # As a stream, so that it is read once and never further than the limit. Headers take 512 bytes
    # a member and long names some more, which the same again has room for.
    limited = _Limited(archive, file, 2 * most_bytes + 2**20)
    with tarfile.open(fileobj=limited, mode="r|") as members:
        for member in members:
            if member.isdir():
                yield member.name, None
            elif member.type in (tarfile.REGTYPE, tarfile.AREGTYPE):
                content = members.extractfile(member)
                assert content is not None, "tarfile gives a file for every regular member"
                yield member.name, content
            else:
                raise DataError(f"{archive}: {member.name!r} is no plain file: refused")
    # gzip's checksum stands behind the last byte, which tarfile has no need to read.
    while limited.read(2**16):
        pass


class _Limited(io.BufferedIOBase):
    """A file to read from that refuses to go on after so many bytes: a bomb's headers count too."""

    def __init__(self, archive: Path, file: IO[bytes] | gzip.GzipFile, most: int) -> None:
        self.archive, self.file, self.left = archive, file, most

    def read(self, size: int | None = -1, /) -> bytes:
        block = self.file.read(-1 if size is None else size)
        self.left -= len(block)
        if self.left < 0:
            raise DataError(f"{self.archive}: unpacks to more than is allowed: refused")
        return block


def _safe(archive: Path, name: str) -> str:
    """The member's name as a path below the folder."""
    parts = name.rstrip("/").split("/")
    # A backslash or a colon would mean a folder or a drive on Windows.
    if ".." in parts or "" in parts or re.search(r"[\\:\x00-\x1f]", name):
        raise DataError(f"{archive}: {name!r} is no path below the folder: refused")
    return os.path.join(*parts)


def _write(archive: Path, name: str, path: Path, content: IO[bytes], most: int) -> int:
    """Write one file of `most` bytes at most; returns its size."""
    if path.exists():
        raise DataError(f"{archive}: {name!r} stands in it twice: refused")
    path.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with open(path, "xb") as target:
        while block := content.read(2**20):
            size += len(block)
            if size > most:
                raise DataError(f"{archive}: unpacks to more than is allowed: refused")
            target.write(block)
    return size
