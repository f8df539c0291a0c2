"""Downloads, from a server on this machine: whole and right, or an error that names the mirror."""

import contextlib
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from train.data import download
from train.data.download import Published, cache_folder, fetch
from train.errors import DataError

CONTENT = bytes(range(256)) * 1000
FILE = Published("a.gz", len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), "")


class Handler(BaseHTTPRequestHandler):
    """/good/ sends the content, or the rest of it; /whole/ knows no ranges; the other folders send
    what their names say."""

    asked: list[str]

    def do_GET(self):
        start = self.headers.get("Range")
        type(self).asked.append(self.path if start is None else f"{self.path} {start}")
        kind = self.path.split("/")[1]
        body = {
            "good": CONTENT,
            "whole": CONTENT,
            "truncated": CONTENT[:-1],
            "longer": CONTENT + b"x",
            "changed": b"\xff" + CONTENT[1:],
            "cut-off": CONTENT[:100],
        }.get(kind)
        if body is None:
            self.send_error(404)
            return
        # A connection that breaks: less comes than was announced.
        announced = len(CONTENT) if kind == "cut-off" else len(body)
        if start is not None and kind != "whole":
            first = int(start.removeprefix("bytes=").removesuffix("-"))
            body, announced = body[first:], announced - first
            self.send_response(206)
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(announced))
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # the client may have heard enough
            self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    Handler.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{http.server_address[1]}/"
        http.shutdown()
        thread.join()


def test_a_good_file_is_kept_and_not_asked_for_again(server, tmp_path):
    told = []
    for _ in range(2):
        path = fetch(FILE, [server + "good/"], tmp_path / "new", told.append)
        assert path.read_bytes() == CONTENT
    assert Handler.asked == ["/good/a.gz"]
    assert len(told) == 1
    assert "/good/a.gz (0.3 MB)" in told[0]


def test_a_damaged_file_in_the_cache_is_downloaded_again(server, tmp_path):
    (tmp_path / "a.gz").write_bytes(b"\xff" + CONTENT[1:])
    path = fetch(FILE, [server + "good/"], tmp_path, print)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("longer", f"longer/a.gz: expected {len(CONTENT)} bytes, got more"),
        ("changed", f"changed/a.gz: expected SHA-256 {FILE.sha256}, got "),
        ("missing", "missing/a.gz: Not Found"),
    ],
)
def test_a_bad_download_leaves_nothing_and_the_next_mirror_is_tried(
    server, tmp_path, kind, expected
):
    with pytest.raises(DataError, match=expected):
        fetch(FILE, [f"{server}{kind}/"], tmp_path, print)
    assert list(tmp_path.iterdir()) == []
    path = fetch(FILE, [f"{server}{kind}/", f"{server}good/"], tmp_path, print)
    assert path.read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("kind", "came"), [("cut-off", 100), ("truncated", len(CONTENT) - 1)])
def test_what_breaks_off_is_resumed(server, tmp_path, kind, came):
    with pytest.raises(DataError, match=f"{kind}/a.gz: expected {len(CONTENT)} bytes, got {came}"):
        fetch(FILE, [f"{server}{kind}/"], tmp_path, print)
    (part,) = tmp_path.iterdir()
    assert part.name == ".a.gz.part"
    assert part.read_bytes() == CONTENT[:came]
    path = fetch(FILE, [f"{server}missing/", f"{server}good/"], tmp_path, print)
    assert path.read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [path]
    # Every request from then on asks for the rest alone.
    expected = [f"/{kind}/a.gz", f"/missing/a.gz bytes={came}-", f"/good/a.gz bytes={came}-"]
    assert Handler.asked == expected


def test_a_server_without_ranges_sends_all_of_it_again(server, tmp_path):
    (tmp_path / ".a.gz.part").write_bytes(b"\xff" * 5000)
    path = fetch(FILE, [server + "whole/"], tmp_path, print)
    assert path.read_bytes() == CONTENT
    assert Handler.asked == ["/whole/a.gz bytes=5000-"]


def test_a_wrong_part_is_thrown_away_and_the_file_asked_for_once_more(server, tmp_path):
    (tmp_path / ".a.gz.part").write_bytes(b"<html>please log in</html>")
    path = fetch(FILE, [server + "good/"], tmp_path, print)
    assert path.read_bytes() == CONTENT
    assert Handler.asked == ["/good/a.gz bytes=26-", "/good/a.gz"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_whole_part_needs_no_server(tmp_path):
    (tmp_path / ".a.gz.part").write_bytes(CONTENT)
    path = fetch(FILE, ["http://127.0.0.1:9/"], tmp_path, print)
    assert path.read_bytes() == CONTENT


def test_progress_is_told(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "PROGRESS", 0.0)
    told = []
    fetch(FILE, [server + "good/"], tmp_path, told.append)
    # 256,000 bytes, in blocks of 64 KiB or less.
    assert told[-1] == "downloaded 0.3 of 0.3 MB"
    assert len(told) >= 1 + 4


def test_the_second_process_waits_for_the_first(server, tmp_path):
    """Threads stand for processes: a lock belongs to an opened folder, and each opens its own."""
    paths = []
    with download._alone(tmp_path):
        waiting = threading.Thread(
            target=lambda: paths.append(fetch(FILE, [server + "good/"], tmp_path, print))
        )
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()
        assert Handler.asked == []
        (tmp_path / "a.gz").write_bytes(CONTENT)
    waiting.join(30)
    assert paths == [tmp_path / "a.gz"]
    assert Handler.asked == []  # it was there by then


def test_no_server(tmp_path):
    with pytest.raises(DataError, match=r"a.gz could not be downloaded \(--data-dir .*refused"):
        fetch(FILE, ["http://127.0.0.1:9/"], tmp_path, print)


def test_a_folder_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file/a.gz: cannot be written: (File exists|Not a dir)"):
        fetch(FILE, [server + "good/"], tmp_path / "file", print)


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "fcnn"
    monkeypatch.setenv("HOME", str(tmp_path))
    for ignored in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert cache_folder() == tmp_path / ".cache" / "fcnn"
