"""The report of a run: a self-contained `index.html`, and its pictures as SVG files."""

from collections.abc import Callable, Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from app.errors import FleetError
from app.report import plot_nodes, plots, tables, theme
from app.report.figure import svg
from app.report.measures import Run, take_apart, window_seconds
from app.report.timeline import Record, encode, read
from app.runtime import atomic

INDEX, TIMELINE = "index.html", "timeline.jsonl"
_PICTURES: dict[str, tuple[Callable[[Run], Figure], str]] = {
    "scaling": (plots.scaling, "Work in each queue, and its desired and ready replicas."),
    "throughput": (
        plots.throughput,
        "Documents per second that passed through each queue, and that were settled.",
    ),
    "nodes": (plot_nodes.nodes, "Ready pods on each node of the cluster."),
    "latency": (
        plots.latency,
        "How long documents waited for a worker, and how long work took; p50 to p99 over all queues.",
    ),
}
_templates = Environment(
    loader=PackageLoader("app.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)


def write_report(directory: Path, timeline: Sequence[Record] | Path) -> Path:
    """Write the report of a run: index.html, {scaling,throughput,latency[,nodes]}.svg and timeline.jsonl.

    Only a run on a cluster has nodes.svg. Every file is replaced atomically, index.html last, so that a reader
    sees the old report or the new one.

    Import this module late: matplotlib takes a second or two.

    Args:
        directory: the report's folder; created if it is missing.
        timeline: the records of the run, or the `timeline.jsonl` that holds them.

    Returns:
        The path of index.html.

    Raises:
        FleetError: the timeline cannot be read, or the directory cannot be written.
    """
    records = read(timeline) if isinstance(timeline, Path) else timeline
    run = take_apart(records)
    pictures = {
        name: svg(name, draw, run) for name, (draw, _) in _PICTURES.items() if name != "nodes" or run.nodes
    }
    index = directory / INDEX
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if not (isinstance(timeline, Path) and timeline.resolve() == (directory / TIMELINE).resolve()):
            atomic.write(directory / TIMELINE, encode(records))
        for name, picture in pictures.items():
            # A file of its own needs the variables: they join matplotlib's own <style>.
            atomic.write(
                directory / f"{name}.svg", picture.replace("</style>", theme.CSS + "</style>", 1).encode()
            )
        page = _templates.get_template("report.html").render(
            css=theme.CSS,
            run=run,
            pictures={_PICTURES[name][1]: picture for name, picture in pictures.items()},
            tables=tables,
            window=window_seconds(run.seconds),
        )
        atomic.write(index, page.encode())
    except OSError as error:
        reason = error.strerror or str(error)
        raise FleetError(f"The report cannot be written to {directory}: {reason}.") from error
    return index
