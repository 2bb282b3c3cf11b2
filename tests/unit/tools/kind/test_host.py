"""`tools.kind.host`: whether four nodes fit on the machine."""

from pathlib import Path

import pytest

from tests.unit.tools.kind.conftest import Machine
from tools.kind.command import ClusterError
from tools.kind.host import WATCHES, available_bytes, check_room

GIB = 1024**3


def docker(this_machine: Machine, *, memory: int, folder: str = "/nowhere") -> None:
    this_machine.put("docker", answer=f"echo '{memory} {folder}'")


def test_available_memory_counts(this_machine: Machine, tmp_path: Path) -> None:
    meminfo, none = tmp_path / "meminfo", tmp_path / "none"
    docker(this_machine, memory=16 * GIB)
    meminfo.write_text(f"MemTotal: 16777216 kB\nMemAvailable: {2 * 1024**2} kB\n")
    assert available_bytes(meminfo) == 2 * GIB
    with pytest.raises(ClusterError, match=r"docker has 2\.0 GiB of memory free .* need 3"):
        check_room(meminfo, none)
    meminfo.write_text(f"MemAvailable: {4 * 1024**2} kB\n")
    check_room(meminfo, none)


def test_dockers_total_memory_counts_if_the_system_reports_none(
    this_machine: Machine, tmp_path: Path
) -> None:
    none = tmp_path / "none"
    docker(this_machine, memory=2 * GIB)
    with pytest.raises(ClusterError, match=r"docker has 2\.0 GiB"):
        check_room(none, none)
    docker(this_machine, memory=4 * GIB)
    check_room(none, none)


def test_a_full_disk_is_an_error(
    this_machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker(this_machine, memory=16 * GIB, folder=str(tmp_path))
    monkeypatch.setattr("tools.kind.host.DISK_BYTES", 1 << 60)
    with pytest.raises(ClusterError, match="docker system prune"):
        check_room(tmp_path / "none", tmp_path / "none")


def test_few_inotify_instances_are_a_note_and_no_refusal(
    this_machine: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    docker(this_machine, memory=16 * GIB)
    instances = tmp_path / "instances"
    instances.write_text("128\n")
    check_room(tmp_path / "none", instances)
    assert f"sysctl fs.inotify.max_user_instances={WATCHES}" in capsys.readouterr().out
    instances.write_text(f"{WATCHES}\n")
    check_room(tmp_path / "none", instances)
    assert capsys.readouterr().out == ""
