"""A folder is what its manifest says, or what is wrong is named."""

import json
import os

import pytest

from train import manifest
from train.errors import DataError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "arrays").mkdir()
    (tmp_path / "arrays" / "numbers").write_bytes(bytes(range(40)))
    (tmp_path / "empty").write_bytes(b"")
    assert not manifest.is_complete(tmp_path)
    manifest.write(tmp_path)
    assert manifest.is_complete(tmp_path)
    return tmp_path


def test_it_lists_sizes_and_checksums(folder):
    manifest.verify(folder)
    listed = json.loads((folder / "manifest.json").read_bytes())["files"]
    assert listed == {
        "arrays/numbers": {
            "bytes": 40,
            # that of sha256sum for the bytes 0 to 39
            "sha256": "5faa4eec3611556812c2d74b437c8c49add3f910f10063d801441f7d75cd5e3b",
        },
        "empty": {
            "bytes": 0,
            "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        },
    }


@pytest.mark.parametrize("bit", range(8))
def test_any_flipped_bit_is_found_and_named(folder, bit):
    path = folder / "arrays" / "numbers"
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(_flip(whole, place, bit))
        with pytest.raises(DataError, match=r"numbers: its bytes are not those that were written"):
            manifest.verify(folder)
    path.write_bytes(whole)
    manifest.verify(folder)


def test_any_flipped_bit_of_the_manifest_itself_is_found(folder):
    path = folder / "manifest.json"
    whole = path.read_bytes()
    before = json.loads(whole)
    harmless = 0
    for place in range(0, len(whole), 3):
        for bit in range(8):
            flipped = _flip(whole, place, bit)
            path.write_bytes(flipped)
            try:
                manifest.verify(folder)
                harmless += 1
                # White space became other white space: it says the same.
                assert json.loads(flipped) == before
            except DataError:
                pass
    assert harmless < len(whole)


def test_what_is_missing_or_short_is_named(folder):
    path = folder / "arrays" / "numbers"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"numbers: expected 40 bytes, found 39"):
        manifest.verify(folder)
    path.unlink()
    with pytest.raises(DataError, match=r"numbers: cannot be read: No such file"):
        manifest.verify(folder)
    for text in ("", "{}", "[]", '{"files": {}}', '{"files": 3}'):
        (folder / "manifest.json").write_text(text)
        with pytest.raises(DataError, match=r"manifest.json: "):
            manifest.verify(folder)
    os.remove(folder / "manifest.json")
    with pytest.raises(DataError, match=r"manifest.json: expected a list of files, but: FileNotFo"):
        manifest.verify(folder)


def _flip(content, place, bit):
    changed = bytearray(content)
    changed[place] ^= 1 << bit
    return bytes(changed)
