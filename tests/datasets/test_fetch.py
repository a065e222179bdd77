import contextlib
import functools
import hashlib
import io
import shutil
import stat
import sys
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pooch
import pytest

from sk_ssimae.datasets import (
    _archive,
    _download,
    fetch_nanotwice,
    fetch_woven_textures,
    load_nanotwice,
)


def answer(request, server):
    """Answer a request as the server is set."""
    server.n_requests += 1
    if request.path != "/data.zip":
        request.send_error(404)
        return
    if server.drips_from == "header":
        write_while(request, b"H", lambda: not server.drip.wait(0.02))
    request.send_response(200)
    if not server.is_endless:
        request.send_header("Content-Length", str(len(server.content)))
    request.end_headers()
    if server.drip:
        write_while(request, b"H", lambda: not server.drip.wait(0.02))
    write_while(request, bytes(2**16), lambda: server.is_endless)
    is_cut = server.n_requests <= server.interruptions
    write_while(request, server.content[: len(server.content) // (1 + is_cut)], iter([1]).__next__)


def write_while(request, content, condition):
    """Write again and again until the condition ends, or the client has gone."""
    with contextlib.suppress(OSError, StopIteration):
        while condition():
            request.wfile.write(content)
            request.wfile.flush()


class Server:
    """Local server with an archive, which counts its requests."""

    def __init__(self):
        self.content = b""
        self.interruptions = 0
        self.n_requests = 0
        self.is_endless = False
        self.drip = None  # Event that ends an answer of single bytes.
        self.drips_from = "content"
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                answer(self, outer)

            def log_message(self, *arguments):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/data.zip"

    @property
    def known_hash(self):
        return hashlib.sha256(self.content).hexdigest()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # Between attempts.
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    if server.drip:
        server.drip.set()
    server.http.shutdown()
    server.http.server_close()
    thread.join()


def zipped(tree, prefix=""):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(tree.rglob("*")):
            if path.is_file():
                archive.write(path, prefix + path.relative_to(tree).as_posix())
    return buffer.getvalue()


@pytest.fixture
def fetch(server, tmp_path, nanotwice):
    server.content = zipped(nanotwice, prefix="dfg05er_Data/")
    return functools.partial(
        fetch_nanotwice, data_home=tmp_path / "home", url=server.url, n_retries=0
    )


def is_untouched(home):
    return not home.exists() or list(home.iterdir()) == []


@pytest.mark.parametrize("prefix", ["", "dfg05er_Data/", "a/b/"])
def test_fetch_downloads_once(fetch, server, nanotwice, prefix, tmp_path):
    server.content = zipped(nanotwice, prefix)
    fetched, there = fetch(known_hash=server.known_hash), load_nanotwice(nanotwice)
    assert [path.name for path in fetched.data] == [path.name for path in there.data]
    for mask, same in zip(fetched.target, there.target, strict=True):
        np.testing.assert_array_equal(mask, same)
    # Only the data are left, where a manual download belongs.
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["nanotwice"]
    assert load_nanotwice(tmp_path / "home" / "nanotwice").data == fetched.data
    X, _ = fetch(return_X_y=True)
    assert fetched.data == X
    assert fetch(download_if_missing=False).data == fetched.data
    assert server.n_requests == 1


def test_fetch_textures(server, tmp_path, textures):
    server.content = zipped(textures, prefix="textures/")
    fetch = functools.partial(fetch_woven_textures, data_home=tmp_path / "home", url=server.url)
    assert len(fetch().good) == 1
    assert len(fetch(2).good) == 2
    assert server.n_requests == 1
    with pytest.raises(ValueError, match="texture must be 1 or 2, got 3"):
        fetch(3)


def test_folders_added_by_macos_are_ignored(fetch, server, tmp_path, nanotwice):
    for folder in ("Normal", "Anomalous/images", "Anomalous/gt"):
        path = tmp_path / "mac/__MACOSX/x" / folder / "._0.png"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"")
    nanotwice.rename(tmp_path / "mac/x")
    server.content = zipped(tmp_path / "mac")
    assert len(fetch().data) == 4


def test_data_home(fetch, tmp_path, monkeypatch):
    monkeypatch.setenv("SK_SSIMAE_DATA", str(tmp_path / "of_variable"))
    assert tmp_path / "of_variable/nanotwice" in fetch(data_home=None).good[0].parents
    monkeypatch.delenv("SK_SSIMAE_DATA")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert tmp_path / "sk_ssimae_data/nanotwice" in fetch(data_home=None).good[0].parents


def test_interrupted_download(fetch, server, tmp_path):
    server.interruptions = 2
    with pytest.raises(
        OSError, match=r"data\.zip could not be downloaded: .*unpack it into '.*nan"
    ):
        fetch()
    assert is_untouched(tmp_path / "home")
    assert len(fetch(n_retries=2).data) == 4
    assert server.n_requests == 3  # The second attempt of the second call succeeded.


def is_soon_alone(n_threads):
    """Tell whether no more threads than before are left after a while."""
    end = time.monotonic() + 5
    while threading.active_count() > n_threads and time.monotonic() < end:
        threading.Event().wait(0.02)
    return threading.active_count() <= n_threads


@pytest.mark.parametrize("part", ["header", "content"])
def test_single_bytes_do_not_keep_it_waiting(fetch, server, tmp_path, monkeypatch, part):
    monkeypatch.setattr(_download, "_MAX_SECONDS", 0.5)
    server.drip, server.drips_from = threading.Event(), part
    start, n_threads = time.monotonic(), threading.active_count()
    with pytest.raises(OSError, match=r"could not be downloaded: It took more than 0.5 seconds\. "):
        fetch(n_retries=3)
    assert time.monotonic() - start < 3
    assert server.n_requests == 1
    assert is_untouched(tmp_path / "home")
    server.drip.set()
    assert is_soon_alone(n_threads)


def test_a_download_without_end(fetch, server, tmp_path, monkeypatch):
    monkeypatch.setattr(_download, "_MAX_BYTES", 10**6)
    server.is_endless = True
    n_threads = threading.active_count()
    with pytest.raises(OSError, match=r"downloaded: It has more than 1000000 bytes\. Try again"):
        fetch(n_retries=3)
    assert server.n_requests == 1
    assert is_untouched(tmp_path / "home")
    assert is_soon_alone(n_threads)


def test_a_deadline_ends_a_download_that_continues(tmp_path):
    with (
        _download._LimitedFile(tmp_path / "a", time.monotonic() - 1) as file,
        pytest.raises(OSError, match="It took more than 3600 seconds"),
    ):
        file.write(b"a")


def test_a_larger_download_than_declared(fetch, server, monkeypatch):
    monkeypatch.setattr(_download, "_MAX_BYTES", len(server.content) - 1)
    with pytest.raises(OSError, match=r"It has more than \d+ bytes"):
        fetch()
    monkeypatch.setattr(_download, "_MAX_BYTES", len(server.content))
    assert len(fetch().data) == 4


def test_missing_file(fetch, server, tmp_path):
    with pytest.raises(OSError, match=r"could not be downloaded: 404 .*[^.]\. Try again"):
        fetch(url=server.url + ".old", n_retries=1)
    assert server.n_requests == 2
    assert is_untouched(tmp_path / "home")


def test_hashes(fetch, server, tmp_path, caplog, monkeypatch):
    with pytest.raises(OSError, match="does not match the known hash: expected " + 64 * "0"):
        fetch(known_hash=64 * "0")
    assert is_untouched(tmp_path / "home")
    monkeypatch.setattr(pooch.get_logger(), "handlers", [caplog.handler])
    fetch()
    assert f"Pass known_hash='{server.known_hash}'" in caplog.text
    shutil.rmtree(tmp_path / "home")
    fetch(known_hash="md5:" + hashlib.md5(server.content).hexdigest())


def test_progress(fetch, capfd):
    fetch(progress=True)
    assert "100%" in capfd.readouterr().err


def test_missing_and_incomplete_data(fetch, server, tmp_path):
    message = (
        r"data_home: the folder '.*nanotwice' does not exist\. .* contains Normal, Anomalous/images"
    )
    with pytest.raises(OSError, match=message):
        fetch(download_if_missing=False)
    (tmp_path / "home/nanotwice/Normal").mkdir(parents=True)
    with pytest.raises(
        OSError, match=r"nanotwice' must contain .*gt, but is incomplete\. Complete"
    ):
        fetch()
    assert server.n_requests == 0


@pytest.mark.parametrize("package", ["pooch", "tqdm"])
def test_missing_packages(fetch, server, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    message = rf'Downloading needs {package}. Run pip install "\.\[data\]"'
    with pytest.raises(ImportError, match=message):
        fetch(progress=True)
    if package == "tqdm":
        fetch()
        monkeypatch.setitem(sys.modules, "pooch", None)
        fetch()  # Data on disk need no package.


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"url": "file:///x.zip"}, "url must begin with http:// or https://, got 'file:///x.zip'"),
        ({"known_hash": "crc:12"}, "known_hash must be None, a SHA-256 .* got 'crc:12'"),
        ({"known_hash": "ab"}, "known_hash must be None, a SHA-256 .* got 'ab'"),
        ({"known_hash": "md5:" + 64 * "0"}, "known_hash must be None, a SHA-256"),
        ({"known_hash": 3}, "known_hash must be None, a SHA-256 .* got 3"),
        ({"url": None}, "url must begin with .* got None"),
        ({"n_retries": -1}, "n_retries must be an integer of at least 0, got -1"),
    ],
)
def test_wrong_parameters(fetch, params, message):
    with pytest.raises(ValueError, match=message):
        fetch(**params)


def test_data_home_must_be_a_path(fetch):
    with pytest.raises(TypeError, match="data_home must be the path of a folder, got 3"):
        fetch(data_home=3)


def test_another_process_finishes_first(fetch, monkeypatch, tmp_path, nanotwice):
    unpack = _download.unpack

    def unpack_late(archive, folder):
        unpack(archive, folder)
        nanotwice.rename(tmp_path / "home" / "nanotwice")

    monkeypatch.setattr(_download, "unpack", unpack_late)
    assert len(fetch().data) == 4
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["nanotwice"]


def test_another_process_leaves_an_incomplete_folder(fetch, monkeypatch, tmp_path):
    unpack = _download.unpack

    def unpack_late(archive, folder):
        unpack(archive, folder)
        (tmp_path / "home/nanotwice/other").mkdir(parents=True)

    monkeypatch.setattr(_download, "unpack", unpack_late)
    with pytest.raises(OSError, match="nanotwice"):
        fetch()


def archive_of(*members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members:
            archive.writestr(member, content)
    return buffer.getvalue()


def link(name, kind=stat.S_IFLNK):
    member = zipfile.ZipInfo(name)
    member.create_system = 3  # Unix
    member.external_attr = (kind | 0o777) << 16
    return member


OUTSIDE = "would lie outside the folder. Do not trust this archive"
SPECIAL = "is a link or another special file. Do not trust this archive"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (archive_of(("../evil.txt", "x")), rf"'\.\./evil\.txt' {OUTSIDE}"),
        (archive_of(("Normal/a.tif", "x"), ("a/../../evil.txt", "x")), OUTSIDE),
        (archive_of(("/evil.txt", "x")), OUTSIDE),
        (archive_of(("..\\evil.txt", "x")), OUTSIDE),
        (archive_of(("C:\\evil.txt", "x")), OUTSIDE),
        (archive_of((link("Normal"), "/tmp")), rf"'Normal' {SPECIAL}"),
        (archive_of((link("pipe", stat.S_IFIFO), "")), rf"'pipe' {SPECIAL}"),
        (archive_of(("x/", ""), ("x/a.txt", "x")), "must contain the folders Normal, .* does not"),
        (
            b"<html>not an archive</html>",
            r"cannot be unpacked as a zip archive: .*[^.]\. Download it again",
        ),
        (archive_of(("a.txt", 99 * "x"))[:-30], "cannot be unpacked as a zip archive"),
    ],
    ids=lambda value: (
        "" if isinstance(value, bytes) else value
    ),  # The bytes of an archive change with the time.
)
def test_bad_archives(fetch, server, tmp_path, content, message):
    server.content = content
    with pytest.raises(OSError, match=message):
        fetch()
    assert is_untouched(tmp_path / "home")
    assert not list(tmp_path.glob("*.txt"))


def test_long_names_are_cut_in_errors(tmp_path):
    (tmp_path / "a.zip").write_bytes(archive_of(("../" + "x" * 60_000, "")))
    with pytest.raises(OSError, match=OUTSIDE) as raised:
        _archive.unpack(tmp_path / "a.zip", tmp_path)
    assert len(str(raised.value)) < 1000


def test_damaged_member(tmp_path):
    content = bytearray(archive_of(("a.txt", bytes(range(256)))))
    content[60:70] = bytes(10)
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(OSError, match="cannot be unpacked as a zip archive"):
        _archive.unpack(tmp_path / "a.zip", tmp_path)


def test_too_much_to_unpack(tmp_path, monkeypatch):
    path, folder = tmp_path / "a.zip", tmp_path / "unpacked"
    folder.mkdir()
    path.write_bytes(archive_of(*((f"{n}.txt", bytes(100_000)) for n in range(3))))
    assert path.stat().st_size < 2000
    with pytest.raises(
        OSError, match=r"at most .* 299999 bytes unpacked, got 3 files and 300000 bytes"
    ):
        _archive.unpack(path, folder, max_bytes=299_999)
    monkeypatch.setattr(_archive, "_MAX_FILES", 2)
    with pytest.raises(OSError, match="must have at most 2 files"):
        _archive.unpack(path, folder)
    assert list(folder.iterdir()) == []
    monkeypatch.undo()
    _archive.unpack(path, folder, max_bytes=300_000)
    assert sorted(file.stat().st_size for file in folder.iterdir()) == [100_000] * 3
