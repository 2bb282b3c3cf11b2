"""A fleet whose Redis speaks TLS: every connection of every process checks the server's certificate."""

import signal
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest
import redis

from tests.support.command_line import Commands
from tests.support.tls import TlsEnd, certificates
from tests.support.waiting import wait_for


@pytest.fixture
def variables(redis_url: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    ca, server = certificates(tmp_path)
    end = TlsEnd(server, urlsplit(redis_url).path)
    yield {
        "FLEET_REDIS_URL": f"rediss://127.0.0.1:{end.port}/0",
        "FLEET_REDIS_CA_FILE": str(ca),
        "FLEET_STORE_URL": f"file://{tmp_path / 'store'}",
        "FLEET_RECONCILE_SECONDS": "0.5",
    }
    end.close()


def test_the_whole_fleet_works_over_tls(
    commands: Commands, variables: dict[str, str], client: redis.Redis
) -> None:
    with (
        commands.start("beat", **variables) as beat,
        commands.start("worker", "pdf", "ocr", "default", **variables) as worker,
    ):
        code, (line,), errors = commands.run("flood", "--documents", "5", "--wait", "--json", **variables)
        assert code == 0, errors
        assert msgspec.json.decode(line)["settled"] == 5
        assert commands.run("check", **variables)[0] == 0
        wait_for(lambda: client.exists("fleet:beat::lock"), beat.errors)
        for running in (worker, beat):
            running.send(signal.SIGTERM)
            assert running.wait(30.0) == 0, running.errors


def test_a_server_that_nobody_vouches_for_is_not_trusted(
    commands: Commands, variables: dict[str, str], client: redis.Redis
) -> None:
    del variables["FLEET_REDIS_CA_FILE"]
    code, lines, errors = commands.run("flood", "--documents", "1", **variables)
    assert (code, lines) == (1, [])
    assert "CERTIFICATE_VERIFY_FAILED" in errors
    assert not client.keys()
    with commands.start("worker", "pdf", **variables) as worker:
        wait_for(lambda: "CERTIFICATE_VERIFY_FAILED" in worker.errors, "the worker's refusal")
        worker.process.kill()
        worker.process.wait()
    assert not client.keys()


def test_a_file_of_certificates_that_is_not_there_is_named(
    commands: Commands, variables: dict[str, str]
) -> None:
    variables["FLEET_REDIS_CA_FILE"] = "/nowhere/ca.pem"
    code, lines, errors = commands.run("status", **variables)
    assert (code, lines) == (2, [])
    assert "FLEET_REDIS_CA_FILE='/nowhere/ca.pem' cannot be read" in errors
