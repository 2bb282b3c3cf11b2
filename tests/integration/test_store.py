"""The contract of `ObjectStore`, for three kinds of store: a folder, memory and a real S3 protocol server."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import obstore
import pytest
from moto.server import ThreadedMotoServer
from obstore.store import LocalStore

from app.config import Settings
from app.errors import SettingsError, StorageError, StorageFullError
from app.storage.store import ObjectStore


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    given = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
    }
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    import boto3

    boto3.client("s3").create_bucket(Bucket="documents")
    yield "s3://documents/prefix"
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})
    server.stop()


@pytest.fixture(params=["file", "memory", "s3"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    match request.param:
        case "file":
            url = f"file://{tmp_path / 'a folder'}"
        case "memory":
            url = "memory://"
        case _:
            url = request.getfixturevalue("s3_url")
    return ObjectStore(url, timeout_seconds=5.0)


def test_the_settings_name_the_store(tmp_path: Path) -> None:
    url = f"file://{tmp_path}"
    assert ObjectStore.of(Settings(store_url=url)).url == url
    with pytest.raises(SettingsError, match="FLEET_STORE_URL"):
        ObjectStore.of(Settings())


def test_what_is_put_is_got(any_store: ObjectStore) -> None:
    any_store.put("a/b", b"one")
    any_store.put("a/b", b"two")
    any_store.put("a/empty", b"")
    assert any_store.get("a/b") == b"two"
    assert any_store.get("a/empty") == b""


@pytest.mark.parametrize("key", ["a/b", "plain.txt", "a b/c", "ä/€", "100%/x#1y", "deep/er/and/deep.er/_-."])
def test_a_folder_is_laid_out_as_obstore_does(tmp_path: Path, key: str) -> None:
    ours = ObjectStore(f"file://{tmp_path}", timeout_seconds=5.0)
    theirs = LocalStore(tmp_path)
    ours.put(key, b"ours")
    assert bytes(obstore.get(theirs, key).bytes()) == b"ours"
    obstore.put(theirs, key, b"theirs")
    assert ours.get(key) == b"theirs"
    assert ours.keys() == [key]


@pytest.mark.parametrize("key", ["../out", "a/../../out", "/etc/out", "a//b", "./a", ".."])
def test_a_key_does_not_leave_the_folder(tmp_path: Path, key: str) -> None:
    (tmp_path / "folder").mkdir()
    store = ObjectStore(f"file://{tmp_path / 'folder'}", timeout_seconds=5.0)
    with suppress(StorageError):
        store.put(key, b"x")
    assert {path.name for path in tmp_path.iterdir()} == {"folder"}
    assert not Path("/etc/out").exists()


def test_what_a_killed_writer_left_is_not_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ObjectStore(f"file://{tmp_path}", timeout_seconds=5.0)
    store.put("a/whole", b"x")
    with monkeypatch.context() as killed:
        killed.setattr(os, "replace", lambda *_: None)
        store.put("a/part", b"x")
    assert len(list((tmp_path / "a").iterdir())) == 2
    assert store.keys() == ["a/whole"]


def test_a_folder_is_no_object(tmp_path: Path) -> None:
    store = ObjectStore(f"file://{tmp_path}", timeout_seconds=5.0)
    store.put("a/b", b"x")
    for key in ("a", "a/b/c"):
        with pytest.raises(FileNotFoundError):
            store.get(key)


def test_keys_are_listed_below_a_prefix(any_store: ObjectStore) -> None:
    for key in ("list/x", "list/y/z", "other"):
        any_store.put(key, b"")
    assert any_store.keys("list") == ["list/x", "list/y/z"]


def test_a_prefix_is_a_folder(any_store: ObjectStore) -> None:
    assert any_store.keys("prefix/a") == []
    for key in ("prefix/a/x", "prefix/ab/x"):
        any_store.put(key, b"")
    assert any_store.keys("prefix/a") == ["prefix/a/x"]


def test_keys_are_listed_by_the_time_at_which_they_were_stored(any_store: ObjectStore) -> None:
    any_store.put("dated/x", b"")
    any_store.put("undated", b"")
    now = time.time()
    assert list(any_store.keys_before("dated", now - 60)) == []
    assert list(any_store.keys_before("dated", now + 60)) == ["dated/x"]


def test_a_missing_key_is_a_file_not_found(any_store: ObjectStore) -> None:
    with pytest.raises(FileNotFoundError, match="nothing/here"):
        any_store.get("nothing/here")


def test_deleting_is_final_and_may_be_repeated(any_store: ObjectStore) -> None:
    any_store.put("gone", b"x")
    any_store.delete("gone")
    any_store.delete("gone")
    with pytest.raises(FileNotFoundError):
        any_store.get("gone")


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "50%25 #1?"
    ObjectStore(folder.as_uri(), timeout_seconds=1.0).put("a", b"x")
    assert [path.name for path in folder.iterdir()] == ["a"]


@pytest.mark.parametrize(
    "url",
    [
        "http://host/x",
        "documents",
        "",
        "s3:///nobucket",
        "file://host/x",
        "file:x",
        "file:///x#1",
        "file:///x?",
    ],
)
def test_an_address_that_cannot_work_is_refused_with_a_sentence(url: str) -> None:
    with pytest.raises(SettingsError, match="FLEET_STORE_URL"):
        ObjectStore(url, timeout_seconds=1.0)


@pytest.mark.usefixtures("s3_url")
def test_a_server_that_is_not_there_is_a_storage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StorageError):
        ObjectStore("s3://documents", timeout_seconds=0.2).put("k", b"x")


def test_a_full_disk_is_told_apart(tmp_path: Path) -> None:
    # RLIMIT_FSIZE refuses to write as a full disk does.
    script = (
        "import resource, signal, sys\n"
        "from app.errors import StorageFullError\n"
        "from app.storage.store import ObjectStore\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n"
        "    ObjectStore(sys.argv[1], timeout_seconds=1.0).put('k', b'x' * 5000)\n"
        "except StorageFullError as error:\n"
        "    print(error.code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, f"file://{tmp_path}"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == StorageFullError.code
    assert not list(tmp_path.rglob("k"))


def test_a_reader_never_sees_half_an_object(tmp_path: Path) -> None:
    store = ObjectStore(f"file://{tmp_path}", timeout_seconds=1.0)
    store.put("k", b"a" * 500_000)
    seen: set[bytes] = set()
    stop = threading.Event()

    def poll() -> None:
        while not stop.is_set():
            seen.add(store.get("k")[:1] + b"%d" % len(store.get("k")))

    reader = threading.Thread(target=poll)
    reader.start()
    for letter in (b"b", b"a") * 20:
        store.put("k", letter * 500_000)
    stop.set()
    reader.join()
    assert seen <= {b"a500000", b"b500000"}
