"""The commands as processes, on machines that lack something: they exit with a sentence and leave nothing half done."""

import re

import pytest

from tests.unit.tools.kind.conftest import Machine
from tools.kind.kind import KindCluster

COMMANDS = ("up", "deploy", "demo", "e2e", "down")
ALL = ("docker", "kind", "kubectl", "helm")


@pytest.mark.parametrize("command", COMMANDS)
def test_without_any_program_each_is_named_and_nothing_done(machine: Machine, command: str) -> None:
    run = machine.run(command)
    assert run.returncode == 1
    named = re.findall(
        r"^(\w+) is not installed: get [\d.]+ or newer from https://\S+$", run.stderr, re.MULTILINE
    )
    wanted = {"up": ALL[:3], "down": ALL[:2]}.get(command, ALL)
    assert tuple(named) == wanted
    assert run.stderr.count("\n") == len(wanted)
    assert not machine.calls()


@pytest.mark.parametrize("command", ["deploy", "demo"])
def test_a_missing_cluster_is_an_error(machine: Machine, command: str) -> None:
    machine.put(*ALL)
    run = machine.run(command)
    assert run.returncode == 1
    assert run.stderr == f"There is no kind cluster {machine.name}: run `make cluster` first.\n"


def test_a_cluster_that_cannot_be_created_is_removed(machine: Machine) -> None:
    machine.put(*ALL)
    run = machine.run("up")
    assert run.returncode == 1
    assert "no more watches" in run.stderr
    assert "Traceback" not in run.stderr
    *_, create, delete = machine.calls("kind")
    assert create.startswith(f"kind create cluster --name {machine.name} --config ")
    assert f"--kubeconfig {KindCluster(machine.name).kubeconfig} " in create
    assert delete.startswith(f"kind delete cluster --name {machine.name}")


def test_too_little_memory_is_an_error_before_anything_is_created(machine: Machine) -> None:
    machine.put(*ALL)
    machine.put("docker", answer='[ "$1" = version ] && echo 28.2.2 || echo "2147483648 /nowhere"')
    run = machine.run("up")
    assert run.returncode == 1
    assert run.stderr.startswith("docker has 2.0 GiB of memory free and four nodes with a fleet need 3")
    assert not [call for call in machine.calls("kind") if "create" in call]


def test_without_keda_nothing_is_built_or_installed(machine: Machine) -> None:
    machine.put(*ALL)
    run = machine.run("deploy", EXISTS="1")
    assert run.returncode == 1
    assert run.stderr == "KEDA is not installed, so nothing would scale: run `make cluster` first.\n"
    assert not machine.calls("docker build")
    assert not machine.calls("helm upgrade")


def test_nodes_that_were_stopped_are_started_and_awaited(machine: Machine) -> None:
    machine.put(*ALL)
    machine.put(
        "docker",
        answer="""case "$1" in
          version) echo 28.2.2 ;;
          inspect) echo "true /$CLUSTER-control-plane"; echo "false /$CLUSTER-worker2" ;;
          exec) if [ -e "$HOME/asked" ]; then echo 9999-01-01T00:00:00.000000Z; else : > "$HOME/asked"; exit 1; fi ;;
        esac""",
    )
    run = machine.run("deploy", EXISTS="1")
    assert f"Starting stopped nodes: {machine.name}-worker2 ..." in run.stdout
    start, *asked = [call for call in machine.calls("docker") if " start " in call or " exec " in call]
    assert start.startswith(f"docker start {machine.name}-worker2 ")
    assert len(asked) == 2
    assert all(f" get lease {machine.name}-worker2 " in call for call in asked)


def test_without_a_storage_class_nothing_is_built_or_installed(machine: Machine) -> None:
    machine.put(*ALL)
    run = machine.run("deploy", EXISTS="1", KEDA="1")
    assert run.returncode == 1
    assert run.stderr.startswith("The cluster has no default storage class, so no volume can be bound")
    assert not machine.calls("docker build")
    assert not machine.calls("helm upgrade")


def test_a_failed_installation_is_uninstalled_with_its_claims(machine: Machine) -> None:
    machine.put(*ALL)
    machine.put(
        "kubectl",
        answer="""case "$*" in
  *"version --client"*) echo '{"clientVersion": {"gitVersion": "v1.34.4"}}' ;;
  *storageclasses*)
     echo '{"items": [{"metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}}]}' ;;
  *"get persistentvolumeclaims"*)
     new=; [ -e "$HOME/tried" ] && new=', {"metadata": {"name": "new"}, "spec": {}, "status": {"phase": "Bound"}}'
     echo '{"items": [{"metadata": {"name": "old"}, "spec": {}, "status": {"phase": "Bound"}}'"$new"']}' ;;
  *"get pods"*) echo '{"items": [{"metadata": {"name": "redis-0"}, "status": {"containerStatuses": [
     {"name": "redis", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}]}}]}' ;;
  *--output=json*) echo '{"items": []}' ;;
esac""",
    )
    machine.put(
        "helm",
        answer="""case "$1" in
  version) echo v4.2.4 ;;
  status) echo "Error: release: not found" >&2; exit 1 ;;
  upgrade) : > "$HOME/tried"; echo "Error: context deadline exceeded"; exit 1 ;;
esac""",
    )
    run = machine.run("deploy", EXISTS="1")
    assert run.returncode == 1
    assert run.stderr.endswith("Pod redis-0, container redis: ImagePullBackOff: no such image\n")
    assert machine.calls("helm uninstall")
    (deleted,) = [call for call in machine.calls("kubectl") if " delete " in call]
    assert " delete persistentvolumeclaims new --namespace=pdf-fleet " in deleted


def test_the_demo_requires_a_fleet(machine: Machine) -> None:
    machine.put(*ALL)
    run = machine.run("demo", EXISTS="1", KEDA="1")
    assert run.stderr == f"There is no fleet in the cluster kind-{machine.name}: run `make deploy` first.\n"


def test_an_interrupted_installation_is_explained(machine: Machine) -> None:
    machine.put(*ALL)
    run = machine.run("demo", EXISTS="1", KEDA="1", STATUS="pending-upgrade")
    assert run.returncode == 1
    assert "is pending-upgrade: another helm is running, or one was interrupted" in run.stderr
    assert "helm rollback fleet --namespace=pdf-fleet" in run.stderr


@pytest.mark.parametrize("documents", ["0", "-5"])
def test_a_demo_needs_documents(machine: Machine, documents: str) -> None:
    machine.put(*ALL)
    run = machine.run("--documents", documents, "demo", EXISTS="1")
    assert run.returncode == 1
    assert f"DOCUMENTS={documents} cannot be sent" in run.stderr


def test_no_call_uses_another_cluster(machine: Machine) -> None:
    """Every call of kubectl and helm names file and context, whatever the user's environment has."""
    machine.put(*ALL)
    machine.run("demo", EXISTS="1", KEDA="1", STATUS="failed")
    own, context = KindCluster(machine.name).kubeconfig, f"kind-{machine.name}"
    calls = [call for call in machine.calls("kubectl") if "--client" not in call]
    assert len(calls) >= 3
    assert all(f"--kubeconfig={own} --context={context} " in call for call in calls)
    calls = [call for call in machine.calls("helm") if " version " not in call]
    assert calls
    assert all(f"--kubeconfig={own} --kube-context={context} " in call for call in calls)
    assert all(call.endswith("[KUBECONFIG=]") for call in machine.calls())
    assert own.stat().st_mode & 0o777 == 0o600


def test_down_without_a_cluster_is_no_error(machine: Machine) -> None:
    machine.put("docker", "kind")
    run = machine.run("down")
    assert run.returncode == 0
    assert run.stdout == f"There is no kind cluster {machine.name}; nothing to do.\n"


def test_down_removes_the_cluster_named_and_its_kubeconfig(machine: Machine) -> None:
    machine.put("docker", "kind")
    kubeconfig = KindCluster(machine.name).kubeconfig
    kubeconfig.parent.mkdir(exist_ok=True)
    kubeconfig.touch()
    assert machine.run("down", EXISTS="1").returncode == 0
    assert machine.calls("kind delete")[0].startswith(f"kind delete cluster --name {machine.name}")
    assert not kubeconfig.exists()


def test_a_missing_manifest_is_an_error(machine: Machine) -> None:
    machine.put(*ALL)
    run = machine.run("up", KEDA_MANIFEST="/nowhere/keda.yaml")
    assert run.returncode == 1
    assert run.stderr == (
        "/nowhere/keda.yaml does not exist: set KEDA_MANIFEST to keda's manifest, or unset it.\n"
    )
    assert not machine.calls("kind create")
