"""Network policies and read-only file systems on a real cluster."""

import pytest

from tests.support.release import Release
from tests.support.waiting import wait_for

pytestmark = pytest.mark.steady

STRANGER = {
    "metadata": {"name": "stranger"},
    "spec": {
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65_534,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationGracePeriodSeconds": 1,
        "containers": [
            {
                "name": "stranger",
                "image": "busybox:1.36",
                "imagePullPolicy": "IfNotPresent",
                "command": ["sleep", "3600"],
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            }
        ],
    },
}


def reaches(release: Release, host: str, port: int) -> bool:
    """Return whether the stranger's pod can connect."""
    said = release.execute("stranger", "sh", "-c", f"nc -w 5 {host} {port} </dev/null; echo code=$?")
    return "code=0" in said


def test_a_stranger_reaches_neither_redis_nor_the_store(release: Release) -> None:
    release.install()
    release.core.create_namespaced_pod(release.namespace, STRANGER)
    release.kube.wait("condition=Ready", "pod/stranger", f"--namespace={release.namespace}", seconds=120)
    targets = [("fleet-redis", 6379), ("fleet-store", 7070)]
    assert [reaches(release, *target) for target in targets] == [False, False]
    # Without the policies the same pod can connect.
    release.kube.run("delete", "networkpolicies", "--all", f"--namespace={release.namespace}")
    wait_for(lambda: all(reaches(release, *target) for target in targets), "connections", seconds=60)


@pytest.mark.parametrize(
    ("command", "may"),
    [
        (("ZCARD", "fleet:open:pdf"), True),
        (("HLEN", "fleet:running:pdf"), True),
        (("LLEN", "pdf"), False),
        (("LPUSH", "pdf", "x"), False),
        (("DEL", "pdf"), False),
        (("LRANGE", "pdf", "0", "-1"), False),
        (("HGETALL", "fleet:doc:x"), False),
        (("LLEN", "other"), False),
        (("EVAL", "return redis.call('lpush', KEYS[1], 'x')", "1", "pdf"), False),
        (("CONFIG", "GET", "*"), False),
        (("FLUSHALL",), False),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_the_user_that_measures_may_do_nothing_else(
    installed: Release, command: tuple[str, ...], may: bool
) -> None:
    (redis,) = installed.pods("redis")
    password = installed.secret("redis")["keda-password"]
    said = installed.execute(
        redis, "redis-cli", "--no-auth-warning", "--user", "keda", "--pass", password, *command
    )
    assert ("NOPERM" in said or "can't run this command" in said or "permission" in said) is not may, said


def test_nobody_gets_in_without_a_password(installed: Release) -> None:
    (redis,) = installed.pods("redis")
    assert "NOAUTH" in installed.execute(redis, "redis-cli", "LLEN", "pdf")
    said = installed.execute(
        redis, "redis-cli", "--no-auth-warning", "--user", "fleet", "--pass", "x", "LLEN", "pdf"
    )
    assert "WRONGPASS" in said
