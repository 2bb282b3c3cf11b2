"""The benchmarks run and write their figures; no test asserts a speed."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.errors import FleetError
from bench import bare
from bench.results import RESULTS, TABLE, Result, load, table

ROOT = Path(__file__).resolve().parents[2]
FIGURES = ("flood", "ledger", "sandbox")
"""The quick figures; only `make bench` runs the others, which would take a fifth of the whole suite's time."""


def bench(*arguments: str, cache: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FLEET_")}
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=ROOT,
        env={**environment, "XDG_CACHE_HOME": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of documents for all figures."""
    return tmp_path_factory.mktemp("cache")


@pytest.mark.slow
@pytest.mark.parametrize("figure", FIGURES)
def test_a_quick_run_writes_its_figure(figure: str, tmp_path: Path, cache: Path) -> None:
    output = tmp_path / "results"
    ran = bench(figure, "--quick", "--output", str(output), cache=cache)
    assert ran.returncode == 0, ran.stderr
    (result,) = load(output)
    assert isinstance(result, Result)
    assert result.figure == figure
    assert result.series
    for series in result.series:
        assert series.samples
        assert series.low <= series.median <= series.high
        assert all(math.isfinite(sample) for sample in series.samples)
    assert any(series.target is not None for series in result.series)
    written = (output / "table.md").read_text()
    assert written == ran.stdout
    assert f"## {figure}: " in written


def test_the_table_in_the_repository_is_that_of_its_results() -> None:
    assert (RESULTS / TABLE).read_text() == table(load(RESULTS))


def test_a_figure_that_there_is_not_is_named(tmp_path: Path) -> None:
    ran = bench("weight", cache=tmp_path)
    assert ran.returncode == 2
    assert "there is no figure weight" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_plain_process_that_dies_is_not_waited_for(tmp_path: Path) -> None:
    with pytest.raises(FleetError, match="ended with exit code 1"):
        bare.run(bare.Loop.READING, [tmp_path / "nowhere.pdf"], processes=2)
