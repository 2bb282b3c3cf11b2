"""Stand-ins for docker, kind, kubectl and helm: real programs that record their calls."""

import os
import stat
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.kind.kind import ROOT, KindCluster

NOTE = 'echo "$(basename "$0") $* [KUBECONFIG=$KUBECONFIG]" >> "$NOTES"'
ANSWERS = {
    "docker": """
case "$1 $2" in
  "version --format") echo 28.2.2 ;;
  "info --format") echo "17179869184 /nowhere" ;;
  "image inspect") echo sha256:0123456789abcdef ;;
  "inspect --format") echo "true /$CLUSTER-control-plane" ;;
esac""",
    "kind": """
case "$1 $2" in
  "version ") echo "kind v0.32.0 go1.26.8 linux/amd64" ;;
  "get clusters") if [ -n "$EXISTS" ]; then echo "$CLUSTER"; else echo "No kind clusters found." >&2; fi ;;
  "get nodes") echo "$CLUSTER-control-plane $CLUSTER-worker $CLUSTER-worker2 $CLUSTER-worker3" ;;
  "get kubeconfig") echo "kubeconfig of $CLUSTER" ;;
  "create cluster") echo "ERROR: failed to create cluster: no more watches" >&2; exit 1 ;;
esac""",
    "kubectl": """
case "$*" in
  *"version --client"*) echo '{"clientVersion": {"gitVersion": "v1.34.4"}}' ;;
  *customresourcedefinition*) [ -n "$KEDA" ] || exit 1; echo '{"items": []}' ;;
  *"get deployment"*) exit 1 ;;
  *storageclasses*) echo '{"items": []}' ;;
  *--output=json*) echo '{"items": []}' ;;
esac""",
    "helm": """
case "$1" in
  version) echo v4.2.4 ;;
  status) [ -n "$STATUS" ] || { echo "Error: release: not found" >&2; exit 1; }
     echo "{\\"info\\": {\\"status\\": \\"$STATUS\\"}}" ;;
esac""",
}


class Machine:
    """A machine with only the programs added to it; commands run there as processes."""

    def __init__(self, folder: Path) -> None:
        self.programs = folder / "bin"
        self.programs.mkdir()
        self.notes = folder / "notes"
        self.notes.touch()
        self.name = f"test-{uuid.uuid4().hex[:8]}"
        self.environment = {
            "PATH": str(self.programs),
            "HOME": str(folder),
            "KUBECONFIG": str(folder / "precious"),
            "HELM_KUBECONTEXT": "production",
            "NOTES": str(self.notes),
            "CLUSTER": self.name,
        }
        for program in ("sh", "basename"):
            (self.programs / program).symlink_to(f"/bin/{program}")

    def put(self, *names: str, answer: str | None = None) -> None:
        """Add programs that answer as working ones do, or run the shell lines of `answer`."""
        for name in names:
            path = self.programs / name
            path.write_text(f"#!/bin/sh\n{NOTE}\n{ANSWERS[name] if answer is None else answer}\n")
            path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def run(self, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        """Run `python -m tools.kind` on the machine."""
        return subprocess.run(
            [sys.executable, "-m", "tools.kind", "--name", self.name, *arguments],
            cwd=ROOT,
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            check=False,
        )

    def calls(self, program: str = "") -> list[str]:
        """Return the command lines so far, of one program or all."""
        return [line for line in self.notes.read_text().splitlines() if line.startswith(program)]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    KindCluster(made.name).kubeconfig.unlink(missing_ok=True)


@pytest.fixture
def this_machine(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """The same machine, for code in this process."""
    for name, value in machine.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("KUBECONFIG")
    assert os.environ["PATH"] == str(machine.programs)
    return machine
