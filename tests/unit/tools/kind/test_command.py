"""`tools.kind.command`: calls of other programs, their failures and their environment."""

import signal
import sys
from pathlib import Path

import pytest

from tools.kind.command import CommandError, call, environment, output, show, until


def test_a_failure_has_the_command_line_and_the_end_of_the_output() -> None:
    code = "import sys; print('out'); [print(f'line {n}', file=sys.stderr) for n in range(50)]; sys.exit(3)"
    with pytest.raises(CommandError) as raised:
        output(sys.executable, "-c", code)
    first, *rest = raised.value.message.splitlines()
    assert first.startswith(f"`{sys.executable} -c ")
    assert first.endswith("` ended with 3:")
    assert rest == [f"  line {n}" for n in range(30, 50)]
    assert raised.value.output.startswith("line 0\n")


def test_show_prints_the_command_line_first(capsys: pytest.CaptureFixture[str]) -> None:
    show(sys.executable, "-c", "print('quiet off a terminal')")
    assert capsys.readouterr().out == f"  $ {sys.executable} -c 'print('\"'\"'quiet off a terminal'\"'\"')'\n"
    with pytest.raises(CommandError, match="why it failed"):
        show(sys.executable, "-c", "import sys; sys.exit('why it failed')")


def test_show_stops_a_program_on_a_condition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.kind.command.POLL_SECONDS", 0.05)
    waits = tmp_path / "waits"
    code = f"import signal; print('it waits', flush=True); open({str(waits)!r}, 'w').close(); signal.pause()"
    with pytest.raises(CommandError, match="it waits"):
        show(sys.executable, "-c", code, stop=waits.exists)


def test_no_variable_selects_another_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    selecting = ["KUBECONFIG", "HELM_KUBECONTEXT", "HELM_KUBETOKEN", "HELM_NAMESPACE", "KIND_CLUSTER_NAME"]
    for name in selecting:
        monkeypatch.setenv(name, "other")
    monkeypatch.setenv("DOCKER_HOST", "unix:///kept.sock")
    found = environment()
    assert not set(selecting) & set(found)
    assert found["DOCKER_HOST"] == "unix:///kept.sock"
    assert found["DOCKER_BUILDKIT"] == "1"


def test_call_returns_the_exit_code() -> None:
    code = "import os, sys; sys.exit(int(os.environ['CODE']))"
    assert call(sys.executable, "-c", code, extra={"CODE": "4"}) == 4


def test_call_stops_a_program_on_a_condition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.kind.command.POLL_SECONDS", 0.05)
    code = call(sys.executable, "-c", "import signal; signal.pause()", stop=lambda: True)
    assert code == -signal.SIGTERM


def test_until_polls_a_condition(tmp_path: Path) -> None:
    assert until(tmp_path.exists, seconds=0)
    assert not until(lambda: False, seconds=0)
