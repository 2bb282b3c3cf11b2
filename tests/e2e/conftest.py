"""The cluster, and a release of the chart in a namespace of its own for each test.

Run by `make e2e`. Without docker or a cluster the tests skip and say why; in CI (the variable CI) they fail.
"""

import fcntl
import os
import re
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.release import Release
from tools.kind import required
from tools.kind.command import ClusterError, output
from tools.kind.image import DEV
from tools.kind.kind import DEFAULT, ROOT, KindCluster

TEST_SECONDS = 1_200
"""Time limit of a test that hangs; each wait in a test has a shorter one."""
ARTIFACTS = ROOT / "build" / "e2e"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("cluster")
    group.addoption("--keep-cluster", action="store_true", help="keep the namespaces of tests that failed")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(TEST_SECONDS))
            # Tests of one file share a process, and so the fixtures that they only read.
            item.add_marker(pytest.mark.xdist_group("alone" if is_alone(item) else item.path.stem))
    # Tests that need the cluster for themselves run last, so that no other waits for them.
    items.sort(key=is_alone)


def is_alone(item: pytest.Item) -> bool:
    """Return whether a test changes the cluster itself, so that no other may run beside it."""
    return item.get_closest_marker("alone") is not None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Run a test, its fixtures included, beside others or alone, as its marker says."""
    if Path(__file__).parent not in item.path.parents:
        return (yield)
    with turn(alone=is_alone(item)):
        return (yield)


@contextmanager
def turn(*, alone: bool) -> Iterator[None]:
    """Wait until this process may use the cluster: with others, or once no other does."""
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    with (ARTIFACTS / "turn").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Record for the fixtures whether a test failed; they then write down the state of its namespace."""
    report = yield
    if report.when == "call":
        item.stash[FAILED] = report.failed
    return report


FAILED = pytest.StashKey[bool]()


@pytest.fixture(scope="session")
def cluster() -> KindCluster:
    """The kind cluster with KEDA, as `make cluster` makes it."""
    made = KindCluster(os.environ.get("KIND_CLUSTER", DEFAULT))
    try:
        required.check()
        made.require()
    except ClusterError as error:
        if os.environ.get("CI"):
            pytest.fail(error.message)
        pytest.skip(error.message)
    return made


@pytest.fixture(scope="session")
def image() -> str:
    """The name of this source's image, which `make e2e` has loaded onto the nodes."""
    digest = output("docker", "image", "inspect", "--format", "{{.Id}}", DEV).strip()
    return f"{DEV.partition(':')[0]}:{digest.removeprefix('sha256:')[:12]}"


@pytest.fixture
def new_release(
    cluster: KindCluster, image: str, request: pytest.FixtureRequest
) -> Iterator[Callable[[], Release]]:
    """Makes releases, each in a namespace of its own; writes down the state of those of a failed test."""
    made: list[Release] = []
    folder = ARTIFACTS / re.sub(r"\W+", "-", request.node.name.removeprefix("test_"))[:80]

    def make() -> Release:
        short = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_"))[:40].strip("-")
        release = Release(cluster, image, f"e2e-{short}-{uuid.uuid4().hex[:4]}", folder)
        release.make_namespace()
        made.append(release)
        return release

    yield make
    failed = request.node.stash.get(FAILED, True)
    keep = failed and request.config.getoption("--keep-cluster")
    for release in made:
        if failed:
            release.dump()
        release.close(keep=keep)


@pytest.fixture
def release(new_release: Callable[[], Release]) -> Release:
    """A release in a namespace of its own; the test installs the chart."""
    return new_release()


@pytest.fixture(scope="module")
def installed(cluster: KindCluster, image: str) -> Iterator[Release]:
    """An installed release that tests only read."""
    release = Release(cluster, image, f"e2e-shared-{uuid.uuid4().hex[:4]}", ARTIFACTS / "shared")
    release.make_namespace()
    try:
        yield release.install()
    finally:
        release.close(keep=False)


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """The first hundred synthetic documents: 92 with text, 3 scans, 1 image, 2 encrypted, 2 malformed."""
    from app.producer.corpus import make_set

    folder: Path = tmp_path_factory.mktemp("set")
    return [made.path.read_bytes() for made in make_set(folder, documents=100, seed=7)]
