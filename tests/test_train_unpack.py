"""Unpacking: what is in the archive and nothing else, and hostile archives refused whole."""

import gzip
import io
import os
import tarfile
import zipfile

import pytest

from train.data.unpack import unpack
from train.errors import DataError

CONTENT = {"set/a.bin": bytes(range(256)) * 5, "set/deep/b.txt": b"b", "c.txt": b""}


def tar(members, pack=bytes):
    """A tar file of (TarInfo or name, content) pairs."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return pack(packed.getvalue())


def zipped(members):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return packed.getvalue()


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def tree(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def refused(tmp_path, content, expected, **limits):
    """The archive is refused with this text, and leaves nothing anywhere."""
    room = tmp_path / "room"
    room.mkdir(exist_ok=True)
    archive = tmp_path / "archive"
    archive.write_bytes(content)
    with pytest.raises(DataError, match=expected) as caught:
        unpack(archive, room / "out", **limits)
    assert str(archive) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert os.listdir(room) == []
    assert sorted(os.listdir(tmp_path)) == ["archive", "room"]


@pytest.mark.parametrize(
    "content",
    [tar(CONTENT.items()), tar(CONTENT.items(), gzip.compress), zipped(CONTENT.items())],
    ids=["tar", "tar.gz", "zip"],
)
def test_unpacks_files_and_folders_in_place_of_an_older_folder(tmp_path, content):
    (tmp_path / "archive").write_bytes(content)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("old")
    unpack(tmp_path / "archive", tmp_path / "out")
    assert tree(tmp_path / "out") == CONTENT
    assert sorted(os.listdir(tmp_path)) == ["archive", "out"]


def test_long_names_and_modes(tmp_path):
    name = "/".join(["folder" * 8] * 5) + "/file"
    info = tarfile.TarInfo(name)
    info.mode = 0o4777
    (tmp_path / "archive").write_bytes(tar([(info, b"content")]))
    unpack(tmp_path / "archive", tmp_path / "out")
    path = tmp_path / "out" / name
    assert path.read_bytes() == b"content"
    assert path.stat().st_mode & 0o7111 == 0  # neither set-user-id nor executable


UNSAFE = ["../evil", "a/../../evil", "/etc/evil", "a//b", "..", "a\\..\\..\\evil", "c:evil", "a\nb"]


@pytest.mark.parametrize("name", UNSAFE)
@pytest.mark.parametrize("pack", [tar, zipped])
def test_names_that_leave_the_folder_are_refused(tmp_path, pack, name):
    refused(tmp_path, pack([("good", b"1"), (name, b"2")]), "no path below the folder: refused")


@pytest.mark.parametrize(
    "member",
    [
        special("link", tarfile.SYMTYPE, "/etc/passwd"),
        special("link", tarfile.SYMTYPE, "good"),
        special("link", tarfile.LNKTYPE, "good"),
        special("pipe", tarfile.FIFOTYPE),
        special("disk", tarfile.BLKTYPE),
        special("terminal", tarfile.CHRTYPE),
        special("sparse", tarfile.GNUTYPE_SPARSE),
        special("unknown", b"Z"),
    ],
    ids=lambda info: f"{info.name}-{info.linkname}",
)
def test_links_and_devices_are_refused(tmp_path, member):
    content = tar([("good", b"1"), (member, b"")])
    refused(tmp_path, content, "is no plain file: refused|expected a whole tar")


def test_a_link_in_a_zip_is_refused(tmp_path):
    info = zipfile.ZipInfo("link")
    info.external_attr = 0o120777 << 16
    refused(tmp_path, zipped([(info, b"/etc/passwd")]), "'link' is no plain file: refused")


def test_a_name_twice_and_a_file_that_is_also_a_folder(tmp_path):
    refused(tmp_path, tar([("a", b"1"), ("a", b"2")]), "'a' stands in it twice: refused")
    refused(tmp_path, tar([("a", b"1"), ("a/b", b"2")]), "cannot be read|expected a whole")


@pytest.mark.parametrize("pack", [tar, lambda m: tar(m, gzip.compress), zipped])
def test_bombs_stop_at_the_limits(tmp_path, pack):
    bomb = pack([("bomb", bytes(100_001))])
    refused(tmp_path, bomb, "more than is allowed: refused", most_bytes=100_000)
    many = pack([(str(i), b"") for i in range(11)])
    refused(tmp_path, many, "10 members at most, got more", most_files=10)
    exact = pack([("a", bytes(60_000)), ("b", bytes(40_000))])
    (tmp_path / "exact").write_bytes(exact)
    unpack(tmp_path / "exact", tmp_path / "out", most_bytes=100_000, most_files=2)
    assert {name: len(body) for name, body in tree(tmp_path / "out").items()} == {
        "a": 60_000,
        "b": 40_000,
    }


def test_a_bomb_in_a_header_stops_at_the_limit(tmp_path):
    """A name of 30 MB, of which gzip makes 30 KB."""
    header = tarfile.TarInfo("././@LongLink")
    header.type = tarfile.GNUTYPE_LONGNAME
    bomb = tar([(header, b"a" * 30_000_000), ("a", b"")], gzip.compress)
    assert len(bomb) < 100_000
    refused(tmp_path, bomb, "more than is allowed: refused", most_bytes=1_000_000)


def test_damage_is_refused(tmp_path):
    whole = tar(CONTENT.items(), gzip.compress)
    refused(tmp_path, b"", "expected a whole tar or zip file")
    refused(tmp_path, b"<html>not found</html>" * 100, "expected a whole tar or zip file")
    refused(tmp_path, whole[:-20], "expected a whole tar or zip file")
    flipped = whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:]
    refused(tmp_path, flipped, "expected a whole tar or zip file, but: CRC check failed")
    refused(tmp_path, zipped(CONTENT.items())[:-5], "expected a whole tar or zip file")
    room = tmp_path / "room"
    with pytest.raises(DataError, match="nothing: cannot be read: No such file"):
        unpack(tmp_path / "nothing", room / "out")


def test_an_encrypted_zip_is_refused(tmp_path):
    content = bytearray(zipped([("secret", b"1")]))
    content[6] |= 1  # the flag, in the local header
    content[content.index(b"PK\x01\x02") + 8] |= 1  # and in the directory
    refused(tmp_path, bytes(content), "expected a whole tar or zip file, but: .*encrypted")
