"""The programs that the cluster needs: the lowest versions, and what to do where one is missing or too old."""

import json
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tools.kind.command import ClusterError, CommandError, output

Version = tuple[int, ...]


@dataclass(frozen=True)
class Tool:
    """A program, the lowest version that will do, and where newer ones are."""

    name: str
    minimum: Version
    why: str
    source: str
    asked: Callable[[], str]
    """Returns the version as the program says it."""


def _docker() -> str:
    try:
        return output("docker", "version", "--format", "{{.Server.Version}}")
    except CommandError as error:
        if "permission denied" in error.output.lower():
            raise ClusterError(
                "You may not use docker: add yourself to its group (sudo usermod -aG docker $USER), then log in anew."
            ) from None
        reason = error.output.splitlines()[-1] if error.output else "it does not answer"
        raise ClusterError(
            f"docker does not run ({reason}): start Docker Desktop, or the service: sudo systemctl start docker."
        ) from None


TOOLS = (
    Tool("docker", (20, 10), "BuildKit", "https://docs.docker.com/get-docker/", _docker),
    Tool(
        "kind",
        (0, 29),
        "its nodes run Kubernetes 1.33 or newer, which KEDA needs",
        "https://kind.sigs.k8s.io/docs/user/quick-start/#installation",
        lambda: output("kind", "version"),
    ),
    Tool(
        "kubectl",
        (1, 31),
        "`kubectl wait --for=create`",
        "https://kubernetes.io/docs/tasks/tools/#kubectl",
        lambda: str(
            json.loads(output("kubectl", "version", "--client", "--output=json"))["clientVersion"][
                "gitVersion"
            ]
        ),
    ),
    Tool(
        "helm",
        (3, 14),
        "what the chart's templates call",
        "https://helm.sh/docs/intro/install/",
        lambda: output("helm", "version", "--short"),
    ),
)
"""The one table of what must be there."""


def parse_version(text: str) -> Version:
    """Return the numbers of the first version in `text`.

    Raises:
        ValueError: there is none.
    """
    found = re.search(r"(?<![\d.])v?(\d+)\.(\d+)(?:\.(\d+))?", text)
    if not found:
        raise ValueError(f"{text!r} holds no version")
    return tuple(int(number) for number in found.groups() if number is not None)


def check(names: Iterable[str] | None = None) -> None:
    """Make sure that the programs (default: all) are there, new enough, and that docker runs.

    Raises:
        ClusterError: with a line for each that will not do.
    """
    wanted = set(names) if names is not None else {tool.name for tool in TOOLS}
    problems = [problem for tool in TOOLS if tool.name in wanted and (problem := _problem(tool))]
    if problems:
        raise ClusterError("\n".join(problems))


def _problem(tool: Tool) -> str:
    least = ".".join(map(str, tool.minimum))
    if shutil.which(tool.name) is None:
        return f"{tool.name} is not installed: get {least} or newer from {tool.source}"
    said = ""
    try:
        said = tool.asked()
        version = parse_version(said)
    except ClusterError as error:
        return error.message
    except ValueError:
        return f"{tool.name} does not say its version ({said.strip()!r}): get {least} or newer from {tool.source}"
    if version < tool.minimum:
        is_now = ".".join(map(str, version))
        return f"{tool.name} {is_now} is too old ({tool.why}): get {least} or newer from {tool.source}"
    return ""
