"""`tools.kind.demo`: the flood's Job."""

import json

import pytest

from tests.unit.tools.kind.conftest import Machine
from tools.kind.command import ClusterError
from tools.kind.demo import outcome, start_flood, with_documents
from tools.kind.kind import KindCluster


def job(**container: object) -> dict[str, object]:
    return {
        "kind": "Job",
        "spec": {"template": {"spec": {"containers": [{"name": "producer", **container}]}}},
    }


@pytest.mark.parametrize("part", ["command", "args"])
def test_the_job_sends_the_desired_number_of_documents(part: str) -> None:
    given = job(**{part: ["fleet", "flood", "--documents", "1000", "--seed", "7"]})
    changed = with_documents(given, 20)
    words = changed["spec"]["template"]["spec"]["containers"][0][part]
    assert words == ["fleet", "flood", "--documents", "20", "--seed", "7"]
    assert given == job(**{part: ["fleet", "flood", "--documents", "1000", "--seed", "7"]})


def test_a_command_without_a_number_is_refused() -> None:
    with pytest.raises(ClusterError, match="no --documents"):
        with_documents(job(command=["fleet", "flood"]), 20)


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([], ""),
        ([{"type": "Suspended", "status": "False"}], ""),
        ([{"type": "Failed", "status": "False"}], ""),
        (
            [{"type": "SuccessCriteriaMet", "status": "True"}, {"type": "Complete", "status": "True"}],
            "Complete",
        ),
        ([{"type": "FailureTarget", "status": "True"}, {"type": "Failed", "status": "True"}], "Failed"),
    ],
)
def test_the_outcome_of_a_job(this_machine: Machine, conditions: list[dict[str, str]], expected: str) -> None:
    this_machine.put("kubectl", answer=f"echo '{json.dumps({'status': {'conditions': conditions}})}'")
    assert outcome(KindCluster(this_machine.name).kube, "flood") == expected


def test_a_flood_is_a_job_made_from_the_cronjob(this_machine: Machine) -> None:
    cronjobs = json.dumps({"items": [{"metadata": {"name": "fleet-flood"}}]})
    made = json.dumps(job(command=["fleet", "flood", "--documents", "1000"]))
    this_machine.put(
        "kubectl",
        answer=f"""case "$*" in
          *"get cronjobs"*) echo '{cronjobs}' ;;
          *dry-run*) echo '{made}' ;;
          *"--filename=-"*) read -r line; echo "stdin $line" >> "$NOTES" ;;
        esac""",
    )
    name = start_flood(KindCluster(this_machine.name).kube, 30)
    assert name.startswith("fleet-flood-")
    assert [
        call
        for call in this_machine.calls("kubectl")
        if f" create job {name} --from=cronjob/fleet-flood " in call
    ]
    assert '"--documents", "30"' in this_machine.calls("stdin")[0]


def test_a_fleet_without_a_producer_cannot_be_flooded(this_machine: Machine) -> None:
    this_machine.put("kubectl", answer="""echo '{"items": []}'""")
    with pytest.raises(ClusterError, match=r"producer\.enabled=false"):
        start_flood(KindCluster(this_machine.name).kube, 30)
