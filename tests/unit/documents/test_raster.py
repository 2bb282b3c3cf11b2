import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.documents.pdf import PageError
from app.documents.raster import POINTS_PER_INCH, check_box, fit, resolution

sides = st.floats(min_value=0.01, max_value=57_600, allow_nan=False)


@given(sides, sides, st.integers(min_value=16, max_value=4_096))
def test_the_longest_side_fits_exactly_and_no_side_vanishes(
    width: float, height: float, longest: int
) -> None:
    size = fit(width, height, longest=longest)
    assert max(size) == longest
    assert min(size) >= 1
    assert (size[0] >= size[1]) or width < height


@given(sides, sides)
def test_proportions_are_kept(width: float, height: float) -> None:
    across, down = fit(width, height, longest=1_000)
    assert abs(across / 1_000 - width / max(width, height)) <= 0.001
    assert abs(down / 1_000 - height / max(width, height)) <= 0.001


@given(sides, sides, st.integers(min_value=1_000, max_value=100_000_000))
def test_the_resolution_is_the_wanted_one_or_meets_the_limit_on_pixels(
    width: float, height: float, pixels: int
) -> None:
    dpi = resolution(width, height, dpi=200, pixels=pixels)
    drawn = width * height * (dpi / POINTS_PER_INCH) ** 2
    assert dpi <= 200
    assert drawn <= pixels * 1.000001
    assert dpi == 200 or math.isclose(drawn, pixels, rel_tol=1e-6)


@given(sides, sides)
def test_sound_boxes_pass(width: float, height: float) -> None:
    check_box(width, height, longest=57_600)


bad = st.sampled_from([0.0, -1.0, math.nan, math.inf, -math.inf, 2147483648.0])


@given(bad, sides, st.booleans())
def test_senseless_boxes_are_refused(wrong: float, right: float, swapped: bool) -> None:
    box = (right, wrong) if swapped else (wrong, right)
    with pytest.raises(PageError, match="page box"):
        check_box(*box, longest=57_600)
