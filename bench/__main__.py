"""`python -m bench`: run all benchmarks, or the named ones, and write their results."""

import argparse
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from app.errors import FleetError
from bench import flood, ledger, memory, sandbox, start, throughput
from bench.results import RESULTS, Finding, measured, save, table


def parse(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=", ".join(FIGURES))
    parser.add_argument("--documents", type=int, help="documents a run (throughput, flood, memory, ledger)")
    parser.add_argument("--repeats", type=int, help="times that each side is measured")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="run for seconds instead of minutes, to see whether the benchmarks work; the figures mean nothing",
    )
    parser.add_argument("--output", type=Path, help="folder of the results (none with --quick)")
    given = parser.parse_args(argv)
    unknown = [name for name in given.figures if name not in FIGURES]
    if unknown:
        parser.error(f"there is no figure {', '.join(unknown)}: choose from {', '.join(FIGURES)}")
    for name, least in (("documents", 20), ("repeats", 1)):
        value = getattr(given, name)
        if value is not None and value < least:
            parser.error(f"--{name} must be at least {least}")
    return given


def _throughput(given: argparse.Namespace) -> Finding:
    return throughput.measure(
        documents_wanted=given.documents or (30 if given.quick else 300),
        repeats=given.repeats or (1 if given.quick else 12),
    )


def _flood(given: argparse.Namespace) -> Finding:
    return flood.measure(
        documents=given.documents or (2_000 if given.quick else 100_000),
        tasks=100 if given.quick else 5_000,
        repeats=given.repeats or (1 if given.quick else 5),
    )


def _start(given: argparse.Namespace) -> Finding:
    return start.measure(repeats=given.repeats or (1 if given.quick else 9))


def _sandbox(given: argparse.Namespace) -> Finding:
    return sandbox.measure(
        files=2 if given.quick else 100, repeats=given.repeats or (1 if given.quick else 8)
    )


def _memory(given: argparse.Namespace) -> Finding:
    wanted = given.documents or (20 if given.quick else 10_000)
    return memory.measure(documents_wanted=wanted, every=max(5, min(memory.SAMPLE_EVERY, wanted // 20)))


def _ledger(given: argparse.Namespace) -> Finding:
    return ledger.measure(documents=given.documents or (2_000 if given.quick else 1_000_000))


FIGURES: dict[str, tuple[str, Callable[[argparse.Namespace], Finding]]] = {
    "throughput": (throughput.TITLE, _throughput),
    "flood": (flood.TITLE, _flood),
    "start": (start.TITLE, _start),
    "sandbox": (sandbox.TITLE, _sandbox),
    "memory": (memory.TITLE, _memory),
    "ledger": (ledger.TITLE, _ledger),
}


def main(argv: list[str]) -> int:
    """Run the figures that `argv` names; return the exit code."""
    given = parse(argv)
    output = given.output or (None if given.quick else RESULTS)
    command = shlex.join(["python", "-m", "bench", *argv])
    results = []
    for name in given.figures or FIGURES:
        sys.stderr.write(f"{name} ...\n")
        title, measure = FIGURES[name]
        try:
            result = measured(name, title, command, lambda measure=measure: measure(given))  # type: ignore[misc]  # bound now, called now
        except FleetError as error:
            sys.stderr.write(f"{name}: {error.message}\n")
            return error.exit_code
        results.append(result)
        if output is not None:
            save(result, output)
    sys.stdout.write(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
