"""Only a `counted` test's processes measure, whatever ran before; and none of them is sent what it may hang of."""

import os
import signal

import coverage
import pytest

from tests.support.command_line import Commands
from tests.support.measuring import VARIABLE


def measured() -> bool:
    return VARIABLE in os.environ


@pytest.mark.no_cover
def test_here_nothing_measures() -> None:
    """The next test's coverage starts anew."""
    assert not measured()


def test_no_process_measures() -> None:
    assert not measured()


@pytest.mark.counted
def test_processes_measure_where_the_whole_run_does() -> None:
    assert measured() == (coverage.Coverage.current() is not None)


@pytest.mark.counted
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_measures_is_sent_no_signal_that_ends_it(
    commands: Commands, number: signal.Signals
) -> None:
    if not measured():
        pytest.skip("this run measures no coverage")
    with commands.start("--version") as running:
        with pytest.raises(AssertionError, match=f"sent {number.name}: it must not be `counted`"):
            running.send(number)
        assert running.wait() == 0, running.errors
