import os
import signal
from collections.abc import Iterator

import pytest

from app.runtime.signals import ENDING, Stopped, held_back, stop_on_signals
from tests.support.signals import handlers_kept


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    with handlers_kept():
        stop_on_signals()
        yield


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_the_first_signal_stops_and_the_second_does_nothing(number: int, code: int) -> None:
    with pytest.raises(Stopped) as stopped:
        signal.raise_signal(number)
    assert stopped.value.exit_code == code
    for other in ENDING:
        os.kill(os.getpid(), other)


def end_in_order(ended: list[str]) -> None:
    with held_back():
        with held_back():
            signal.raise_signal(signal.SIGTERM)
        ended.append("all")


def test_a_signal_waits_until_all_is_ended() -> None:
    ended: list[str] = []
    with pytest.raises(Stopped):
        end_in_order(ended)
    assert ended == ["all"]


def test_no_exception_of_a_library_takes_it() -> None:
    assert not issubclass(Stopped, Exception)
