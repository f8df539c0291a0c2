"""Downloads, from a server on this machine: whole and right, or an error that names the mirror."""

import contextlib
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from train.data.download import Published, cache_folder, fetch
from train.errors import DataError

CONTENT = bytes(range(256)) * 1000
FILE = Published("a.gz", len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), "")


class Handler(BaseHTTPRequestHandler):
    """/good/ sends the content, the other folders what their names say."""

    asked: list[str]

    def do_GET(self):
        type(self).asked.append(self.path)
        body = {
            "good": CONTENT,
            "truncated": CONTENT[:-1],
            "longer": CONTENT + b"x",
            "changed": b"\xff" + CONTENT[1:],
            "cut-off": CONTENT[:100],
        }.get(self.path.split("/")[1])
        if body is None:
            self.send_error(404)
            return
        self.send_response(200)
        # A connection that breaks: less comes than was announced.
        announced = len(CONTENT) if "cut-off" in self.path else len(body)
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
        ("truncated", f"truncated/a.gz: expected {len(CONTENT)} bytes, got {len(CONTENT) - 1}"),
        ("cut-off", f"cut-off/a.gz: expected {len(CONTENT)} bytes, got 100"),
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
