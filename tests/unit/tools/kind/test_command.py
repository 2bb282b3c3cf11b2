"""`tools.kind.command`: other programs, their failures, and what they are not told."""

import signal
import sys
from pathlib import Path

import pytest

from tools.kind.command import CommandError, environment, follow, output, show, until


def test_a_failure_has_the_command_line_and_the_end_of_what_was_said() -> None:
    code = "import sys; print('out'); [print(f'line {n}', file=sys.stderr) for n in range(50)]; sys.exit(3)"
    with pytest.raises(CommandError) as raised:
        output(sys.executable, "-c", code)
    first, *rest = raised.value.message.splitlines()
    assert first.startswith(f"`{sys.executable} -c ")
    assert first.endswith("` ended with 3:")
    assert rest == [f"  line {n}" for n in range(30, 50)]
    assert raised.value.output.startswith("line 0\n")


def test_what_is_shown_is_said_first(capsys: pytest.CaptureFixture[str]) -> None:
    show(sys.executable, "-c", "print('quiet off a terminal')")
    assert capsys.readouterr().out == f"  $ {sys.executable} -c 'print('\"'\"'quiet off a terminal'\"'\"')'\n"
    with pytest.raises(CommandError, match="why it failed"):
        show(sys.executable, "-c", "import sys; sys.exit('why it failed')")


def test_what_is_shown_is_ended_when_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.kind.command.ASK_SECONDS", 0.05)
    waits = tmp_path / "waits"
    code = f"import signal; print('it waits', flush=True); open({str(waits)!r}, 'w').close(); signal.pause()"
    with pytest.raises(CommandError, match="it waits"):
        show(sys.executable, "-c", code, stop=waits.exists)


def test_nothing_in_the_environment_leads_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    leading = ["KUBECONFIG", "HELM_KUBECONTEXT", "HELM_KUBETOKEN", "HELM_NAMESPACE", "KIND_CLUSTER_NAME"]
    for name in leading:
        monkeypatch.setenv(name, "elsewhere")
    monkeypatch.setenv("DOCKER_HOST", "unix:///kept.sock")
    found = environment()
    assert not set(leading) & set(found)
    assert found["DOCKER_HOST"] == "unix:///kept.sock"
    assert found["DOCKER_BUILDKIT"] == "1"


def test_a_program_is_followed_to_its_end() -> None:
    assert (
        follow(sys.executable, "-c", "import os, sys; sys.exit(int(os.environ['CODE']))", extra={"CODE": "4"})
        == 4
    )


def test_a_program_is_ended_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.kind.command.ASK_SECONDS", 0.05)
    code = follow(sys.executable, "-c", "import signal; signal.pause()", stop=lambda: True)
    assert code == -signal.SIGTERM


def test_a_condition_is_awaited(tmp_path: Path) -> None:
    assert until(tmp_path.exists, seconds=0)
    assert not until(lambda: False, seconds=0)
