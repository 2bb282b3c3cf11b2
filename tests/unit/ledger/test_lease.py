import redis

from app.ledger.lease import Lease
from tests.support.waiting import wait_for


def test_one_process_holds_the_lease_until_it_gives_it_up(client: redis.Redis) -> None:
    first, second = Lease(client, "lease", 20.0), Lease(client, "lease", 20.0)
    assert first.hold()
    assert not second.hold()
    assert first.hold()
    second.release()
    assert not second.hold()
    first.release()
    assert second.hold()
    first.release()
    assert not first.hold()


def test_a_renewal_extends_the_lease(client: redis.Redis) -> None:
    lease = Lease(client, "lease", 20.0)
    lease.hold()
    client.pexpire("lease", 1_000)
    lease.hold()
    assert 19_000 < client.pttl("lease") <= 20_000


def test_a_lease_that_expired_is_taken_again_by_whoever_comes_first(client: redis.Redis) -> None:
    first, second = Lease(client, "lease", 0.05), Lease(client, "lease", 20.0)
    assert first.hold()
    wait_for(second.hold, "the end of the first one's lease")
    assert not first.hold()
    assert not first.held


def test_a_server_without_memory_grants_and_renews_a_lease(client: redis.Redis) -> None:
    lease = Lease(client, "lease", 20.0)
    client.config_set("maxmemory", 1)
    try:
        assert lease.hold()
        assert lease.hold()
        lease.release()
    finally:
        client.config_set("maxmemory", 0)
    assert not client.exists("lease")
