"""`fleet process` and `fleet demo` if the server, the store, the disk or the settings fail them."""

import os
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from app.local.server import EmbeddedServer
from tests.support.command_line import Commands, Running, index_of
from tests.support.documents import slow_document
from tests.support.synthetic import GOOD, document, folder_of
from tests.support.waiting import wait_for


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("FLEET_MAX_PAGES", "many", "FLEET_MAX_PAGES='many' cannot be used"),
        ("FLEET_MAX_PAGE", "7", "There is no setting FLEET_MAX_PAGE"),
        ("FLEET_GRACE_SECONDS", "16", "must be less than FLEET_GRACE_SECONDS - 15 (1 s)"),
        ("FLEET_STORE_URL", "memory://", "FLEET_STORE_URL=memory:// lives in one process"),
        ("FLEET_STORE_URL", "ftp://there", "FLEET_STORE_URL='ftp://there' cannot be used"),
        ("FLEET_REDIS_URL", "http://there", "FLEET_REDIS_URL='http://there' cannot be used"),
    ],
)
def test_a_setting_that_cannot_work_is_named(
    commands: Commands, tmp_path: Path, variable: str, value: str, sentence: str
) -> None:
    given = folder_of(tmp_path / "in", GOOD)
    code, lines, errors = commands.run_here("process", given, "-o", tmp_path / "out", **{variable: value})
    assert (code, lines) == (2, [])
    assert errors.startswith("Error: ")
    assert sentence in errors
    assert len(errors.splitlines()) == 1


def test_a_server_that_is_not_there(commands: Commands, tmp_path: Path) -> None:
    given = folder_of(tmp_path / "in", GOOD)
    with commands.start(
        "process", given, "-o", tmp_path / "out", FLEET_REDIS_URL="redis://:secret@127.0.0.1:1/0"
    ) as running:
        assert running.wait(10.0) == 1
    assert "No Redis server answers at redis://:***@127.0.0.1:1/0" in running.errors
    assert "secret" not in running.errors


def begun(commands: Commands, tmp_path: Path, server: EmbeddedServer, **variables: str) -> Running:
    given = folder_of(tmp_path / "in", *range(3))
    for number in range(2):
        (given / f"slow {number}.pdf").write_bytes(slow_document(40_000))
    running = commands.start(
        *("process", given, "-o", tmp_path / "out", "--json"),
        FLEET_REDIS_URL=server.url,
        FLEET_SERVER_TIMEOUT_SECONDS="2",
        **variables,
    )
    wait_for(lambda: len(running.lines) == 3 or running.process.poll() is not None, "the quick documents")
    assert running.process.poll() is None, running.errors
    return running


def test_a_server_that_dies_and_stays_away(
    commands: Commands, tmp_path: Path, server: EmbeddedServer
) -> None:
    with begun(commands, tmp_path, server) as running:
        server.stop()
        assert running.wait(30.0) == 1
        assert "went away and has not come back for 2 s" in running.errors
        assert [line["state"] for line in index_of(tmp_path / "out")] == ["succeeded"] * 3


def test_a_server_that_comes_back_and_a_second_fleet_on_it(
    commands: Commands, tmp_path: Path, server: EmbeddedServer
) -> None:
    with begun(commands, tmp_path, server) as running:
        code, _, errors = commands.run(
            "process", tmp_path / "in" / "0000.pdf", "-o", tmp_path / "other", FLEET_REDIS_URL=server.url
        )
        assert code == 1
        assert f"Another local fleet (pid {running.process.pid} on " in errors
        server.stop()
        server.start()
        assert running.wait() == 0, running.errors
    assert [line["state"] for line in index_of(tmp_path / "out")] == ["succeeded"] * 5
    # The killed run no longer holds its claim on the server.
    with begun(commands, tmp_path / "again", server) as killed:
        killed.send(signal.SIGKILL)
        killed.wait()
    code, _, errors = commands.run(
        "process", tmp_path / "in" / "0000.pdf", "-o", tmp_path / "other", FLEET_REDIS_URL=server.url
    )
    assert code == 0, errors


def test_documents_in_s3(commands: Commands, tmp_path: Path) -> None:
    store = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    store.start()
    try:
        host, port = store.get_host_and_port()
        aws = {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        address = f"http://{host}:{port}/bucket"
        urllib.request.urlopen(urllib.request.Request(address, method="PUT")).close()
        given = folder_of(tmp_path / "in", GOOD, GOOD + 1)
        code, _, errors = commands.run(
            "process", given, "-o", tmp_path / "out", FLEET_STORE_URL="s3://bucket/some", **aws
        )
        assert code == 0, errors
        assert [line["state"] for line in index_of(tmp_path / "out")] == ["succeeded"] * 2
        code, _, errors = commands.run(
            "process", given, "-o", tmp_path / "out", FLEET_STORE_URL="s3://no-such-bucket", **aws
        )
        assert code == 1
        assert "s3://no-such-bucket could not write" in errors
    finally:
        store.stop()


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """Mount a disk of a few megabytes; skip if that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    options = ["-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if os.getuid() != 0 or subprocess.run(["mount", *options], capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_no_room_for_the_run(commands: Commands, tmp_path: Path) -> None:
    given = folder_of(tmp_path / "in", *range(3))
    (given / "large.pdf").write_bytes(document(GOOD) + b"\n" * 3_000_000)
    with small_disk(commands.place / "disk", 2) as disk:
        code, _, errors = commands.run("process", given, "-o", tmp_path / "out", TMPDIR=str(disk))
        assert code == 1
        assert f"No room is left in file://{disk}/pdf-fleet-" in errors
        assert not list(disk.iterdir())


def test_no_room_for_the_results(commands: Commands, tmp_path: Path) -> None:
    given = folder_of(tmp_path / "in", *range(3))
    with small_disk(commands.place / "disk", 2) as disk:
        output = disk / "out"
        output.mkdir()
        (disk / "filler").write_bytes(bytes(2 * 2**20 - 24_576))
        code, _, errors = commands.run("process", given, "-o", output)
        assert code == 1
        assert f"Error: {output}" in errors
        assert "cannot be written: No space left on device." in errors


def test_no_room_for_the_report(commands: Commands) -> None:
    with small_disk(commands.place / "disk", 1) as disk:
        (disk / "filler").write_bytes(bytes(2**20 - 4_096))
        code, _, errors = commands.run("demo", "--documents", 12, "--report", disk / "report")
        assert code == 1
        assert f"{disk / 'report'}" in errors
        assert "No space left on device" in errors
