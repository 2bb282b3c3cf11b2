import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.cli.views.trend import BARS, EMPTY_BAR, MOST_VALUES, History, Rate


def test_a_rate_is_of_the_last_seconds_only() -> None:
    rate = Rate()
    assert rate.per_second == 0.0
    rate.add(0.0, 0)
    assert rate.per_second == 0.0
    for second in range(1, 11):
        rate.add(float(second), second * 10)
    assert rate.per_second == pytest.approx(10.0)
    for second in range(11, 15):
        rate.add(float(second), 100)
    assert rate.per_second == 0.0


def test_few_values_have_a_character_each() -> None:
    history = History()
    for value in (0, 1, 2, 4):
        history.add(value)
    assert history.bars(6) == f"{EMPTY_BAR}{BARS[2]}{BARS[3]}{BARS[-1]}  "


def test_a_zero_is_an_empty_bar() -> None:
    history = History()
    assert history.bars(3) == "   "
    history.add(0)
    assert history.bars(3) == f"{EMPTY_BAR}  "


@given(st.lists(st.integers(min_value=0, max_value=10_000), max_size=300), st.integers(1, 60))
def test_the_whole_course_is_shown(values: list[int], width: int) -> None:
    history = History()
    for value in values:
        history.add(value)
    bars = history.bars(width)
    assert len(bars) == width
    assert set(bars.rstrip()) <= {EMPTY_BAR, *BARS}
    assert (BARS[-1] in bars) == any(values), "the peak is never thinned away"


def test_a_long_run_is_thinned_out_by_its_maxima() -> None:
    history = History()
    for number in range(3 * MOST_VALUES):
        history.add(9 if number == 5_000 else 0)
    assert len(history._values) <= MOST_VALUES
    assert history.bars(40).count(BARS[-1]) == 1
