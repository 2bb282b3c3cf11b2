"""Required programs: minimum versions, and what to do if one is missing or too old."""

import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tools.kind.command import ClusterError, CommandError, output

Version = tuple[int, ...]


@dataclass(frozen=True)
class Tool:
    """A program, its minimum version with the reason, and where to get newer ones."""

    name: str
    minimum: Version
    why: str
    source: str
    version: Callable[[], str]
    """Returns the version as the program prints it."""


def _docker() -> str:
    try:
        return output("docker", "version", "--format", "{{.Server.Version}}")
    except CommandError as error:
        if "permission denied" in error.output.lower():
            raise ClusterError(
                "You may not use docker: add yourself to its group (sudo usermod -aG docker $USER), then log in again."
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
        lambda: output("kubectl", "version", "--client"),
    ),
    Tool(
        "helm",
        (3, 14),
        "what the chart's templates call",
        "https://helm.sh/docs/intro/install/",
        lambda: output("helm", "version", "--short"),
    ),
)
"""All required programs."""


def parse_version(text: str) -> Version:
    """Return the numbers of the first version in `text`.

    Raises:
        ValueError: There is none.
    """
    found = re.search(r"(?<![\d.])v?(\d+)\.(\d+)(?:\.(\d+))?", text)
    if not found:
        raise ValueError(f"{text!r} holds no version")
    return tuple(int(number) for number in found.groups() if number is not None)


def check(names: Iterable[str] | None = None) -> None:
    """Check that programs (default: all) are installed and new enough, and that docker runs.

    Raises:
        ClusterError: A check failed; with a line for each program.
    """
    wanted = set(names) if names is not None else {tool.name for tool in TOOLS}
    problems = [problem for tool in TOOLS if tool.name in wanted and (problem := _problem(tool))]
    if problems:
        raise ClusterError("\n".join(problems))


def _problem(tool: Tool) -> str:
    minimum = ".".join(map(str, tool.minimum))
    if shutil.which(tool.name) is None:
        return f"{tool.name} is not installed: get {minimum} or newer from {tool.source}"
    answer = ""
    try:
        answer = tool.version()
        version = parse_version(answer)
    except ClusterError as error:
        return error.message
    except ValueError:
        return f"{tool.name} does not print its version ({answer.strip()!r}): get {minimum} or newer from {tool.source}"
    if version < tool.minimum:
        is_now = ".".join(map(str, version))
        return f"{tool.name} {is_now} is too old ({tool.why}): get {minimum} or newer from {tool.source}"
    return ""
