"""`tools.kind.required`: required programs, and the errors if one is missing or too old."""

import pytest

from tests.unit.tools.kind.conftest import Machine
from tools.kind.command import ClusterError
from tools.kind.required import TOOLS, check, parse_version

ALL = ("docker", "kind", "kubectl", "helm")


@pytest.mark.parametrize(
    ("printed", "version"),
    [
        ("20.10.24+dfsg1", (20, 10, 24)),
        ("kind v0.32.0 go1.26.8 linux/amd64", (0, 32, 0)),
        ("v1.34.4", (1, 34, 4)),
        ("v3.14.0+g3fc9f4b", (3, 14, 0)),
        ("v4.2.4", (4, 2, 4)),
        ("29.0", (29, 0)),
        ("28.0.0-rc.1\n", (28, 0, 0)),
    ],
)
def test_versions_as_the_programs_print_them(printed: str, version: tuple[int, ...]) -> None:
    assert parse_version(printed) == version


@pytest.mark.parametrize("printed", ["", "unknown", "devel"])
def test_no_version_is_no_version(printed: str) -> None:
    with pytest.raises(ValueError, match="no version"):
        parse_version(printed)


def test_the_table_names_every_program_with_its_source() -> None:
    assert tuple(tool.name for tool in TOOLS) == ALL
    assert all(tool.source.startswith("https://") and tool.why for tool in TOOLS)


class TestCheck:
    def test_complete_programs_pass(self, this_machine: Machine) -> None:
        this_machine.put(*ALL)
        check()

    def test_only_the_named_programs_are_required(self, this_machine: Machine) -> None:
        this_machine.put("docker", "kind")
        check({"docker", "kind"})
        with pytest.raises(ClusterError, match=r"^helm is not installed: get 3\.14 or newer from https://"):
            check({"docker", "helm"})

    @pytest.mark.parametrize(
        ("name", "says", "expected"),
        [
            ("docker", "echo 19.03.15", "docker 19.3.15 is too old"),
            ("kind", "echo kind v0.28.0 go1.24", "kind 0.28.0 is too old"),
            (
                "kubectl",
                """echo '{"clientVersion": {"gitVersion": "v1.30.9"}}'""",
                "kubectl 1.30.9 is too old",
            ),
            ("helm", "echo v3.13.3+gc8b9489", "helm 3.13.3 is too old"),
            ("helm", "echo nothing useful", "helm does not print its version"),
            ("kind", "echo broken >&2; exit 3", "`kind version` ended with 3:\n  broken"),
        ],
    )
    def test_unsuitable_programs_are_named(
        self, this_machine: Machine, name: str, says: str, expected: str
    ) -> None:
        this_machine.put(*ALL)
        this_machine.put(name, answer=says)
        with pytest.raises(ClusterError) as raised:
            check()
        assert raised.value.message.startswith(expected)

    @pytest.mark.parametrize(
        ("says", "expected"),
        [
            ("Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", "start Docker Desktop"),
            ("permission denied while trying to connect to the Docker daemon socket", "usermod -aG docker"),
        ],
    )
    def test_docker_does_not_answer(self, this_machine: Machine, says: str, expected: str) -> None:
        this_machine.put(*ALL)
        this_machine.put("docker", answer=f"echo '{says}' >&2; exit 1")
        with pytest.raises(ClusterError, match=expected):
            check()
