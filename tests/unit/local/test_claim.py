import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from app.config import Settings
from app.errors import FleetError
from app.local.claim import ServerClaim, claimed

KEY = "fleet:local-fleet"


def test_only_one_run_at_a_time_can_claim_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "report"
    with claimed(folder, otherwise="busy"):
        assert list(folder.iterdir()) == []
        with pytest.raises(FleetError, match=r"^busy$"), claimed(folder, otherwise="busy"):
            pytest.fail("claimed twice")
    with claimed(folder, otherwise="busy"):
        pass


def test_a_folder_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with (
        pytest.raises(FleetError, match=r"file/x cannot be written: Not a directory\."),
        claimed(tmp_path / "file" / "x", otherwise=""),
    ):
        pytest.fail("claimed")


def test_only_one_run_at_a_time_can_claim_a_server(redis_url: str, client: redis.Redis) -> None:
    config = Settings(redis_url=redis_url)
    claim = ServerClaim(client, config)
    claim.hold()
    claim.hold()
    assert client.get(KEY) == f"pid {os.getpid()} on {socket.gethostname()}"
    assert 0 < client.pttl(KEY) <= 30_000
    claim.release()
    assert not client.exists(KEY)


@pytest.mark.parametrize(
    "holder", ["pid 1 on another-machine", f"pid {os.getppid()} on {socket.gethostname()}", "x"]
)
def test_a_claim_of_another_run_is_respected(redis_url: str, client: redis.Redis, holder: str) -> None:
    client.set(KEY, holder)
    claim = ServerClaim(client, Settings(redis_url=redis_url))
    with pytest.raises(FleetError, match="Another local fleet"):
        claim.hold()
    claim.release()
    assert client.get(KEY) == holder


def test_the_claim_of_a_killed_run_on_this_machine_is_void(redis_url: str, client: redis.Redis) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    client.set(KEY, f"pid {gone.pid} on {socket.gethostname()}")
    ServerClaim(client, Settings(redis_url=redis_url)).hold()
    assert client.get(KEY) == f"pid {os.getpid()} on {socket.gethostname()}"


def test_a_lost_claim_is_acquired_again_or_refused(
    redis_url: str, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.local.claim.HOLD_SECONDS", 0.0)  # every call renews
    claim = ServerClaim(client, Settings(redis_url=redis_url))
    monkeypatch.setattr(claim._lock, "timeout", 30.0)
    claim.hold()
    client.delete(KEY)  # the server was away for longer, or lost its data
    claim.hold()
    assert client.get(KEY) == f"pid {os.getpid()} on {socket.gethostname()}"
    client.set(KEY, "pid 1 on another-machine")
    with pytest.raises(FleetError, match=r"Another local fleet \(pid 1 on another-machine\)"):
        claim.hold()
    claim.release()
    assert client.get(KEY) == "pid 1 on another-machine"


def test_a_claim_is_renewed(redis_url: str, client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    claim = ServerClaim(client, Settings(redis_url=redis_url))
    claim.hold()
    client.pexpire(KEY, 1_000)
    claim.hold()
    assert client.pttl(KEY) <= 1_000  # not yet due
    monkeypatch.setattr("app.local.claim.HOLD_SECONDS", 0.0)
    claim.hold()
    assert client.pttl(KEY) > 1_000
