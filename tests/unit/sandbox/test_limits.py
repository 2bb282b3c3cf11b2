from hypothesis import assume, given
from hypothesis import strategies as st

from app.config import GRACE_RESERVE_SECONDS, Settings
from app.documents.limits import Limits
from app.sandbox.limits import limits_of


def test_the_defaults_are_said_once() -> None:
    limits, default = limits_of(Settings()), Limits()
    assert limits == default


@given(wall=st.floats(0.1, 1_000), soft=st.floats(0.1, 1_000), more=st.floats(0.1, 1_000))
def test_no_document_and_no_page_outlasts_the_worker(wall: float, soft: float, more: float) -> None:
    grace = soft + more + GRACE_RESERVE_SECONDS
    assume(grace - GRACE_RESERVE_SECONDS > soft)
    limits = limits_of(Settings(sandbox_wall_seconds=wall, soft_limit_seconds=soft, grace_seconds=grace))
    assert 0 < limits.wall_seconds <= min(wall, soft)
    assert soft + limits.wall_seconds <= grace - GRACE_RESERVE_SECONDS + 1e-6
