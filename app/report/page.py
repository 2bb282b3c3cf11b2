"""The report of a run: `index.html`, which needs nothing beside it, and the same pictures as PNG files."""

from base64 import b64encode
from collections.abc import Sequence
from html import escape
from importlib import resources
from pathlib import Path
from string import Template

from app.errors import FleetError
from app.report import tables
from app.report.measures import Run, take_apart
from app.report.theme import DARK, LIGHT
from app.report.timeline import Record, encode, read
from app.runtime import atomic

INDEX, TIMELINE = "index.html", "timeline.jsonl"
_CAPTIONS = {
    "scaling": "Work in each queue, and the replicas that the policy asked for and that were ready.",
    "throughput": "Documents that passed through each queue, and documents settled, a second.",
    "nodes": "Pods that took work on each node of the cluster.",
    "latency": "How long documents waited for a worker, and how long work took; p50 to p99 over all queues.",
}
_DARK = "-dark"


def write_report(directory: Path, timeline: Sequence[Record] | Path) -> Path:
    """Write the report of a run: index.html, {scaling,throughput,latency}[-dark].png and timeline.jsonl.

    Where the run was on a cluster there is nodes[-dark].png as well.

    Each file is replaced whole, index.html last: whoever opens it sees the old report or the new one.

    Args:
        directory: where; made if it is missing.
        timeline: the records of the run, or the `timeline.jsonl` that holds them.

    Returns:
        The path of index.html.

    Raises:
        FleetError: the timeline cannot be read, or the directory cannot be written.
    """
    records = read(timeline) if isinstance(timeline, Path) else timeline
    run = take_apart(records)
    # matplotlib takes a second or two to import; only the end of a run needs it.
    from app.report import plot_nodes, plots  # noqa: PLC0415

    pictures = {
        name + suffix: draw(run, theme)
        for name, draw in (
            ("scaling", plots.scaling),
            *([("nodes", plot_nodes.nodes)] if run.nodes else []),
            ("throughput", plots.throughput),
            ("latency", plots.latency),
        )
        for suffix, theme in (("", LIGHT), (_DARK, DARK))
    }
    index = directory / INDEX
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if not (isinstance(timeline, Path) and timeline.resolve() == (directory / TIMELINE).resolve()):
            atomic.write(directory / TIMELINE, encode(records))
        for name, picture in pictures.items():
            atomic.write(directory / f"{name}.png", picture)
        atomic.write(index, _page(run, pictures).encode())
    except OSError as error:
        reason = error.strerror or str(error)
        raise FleetError(f"The report cannot be written to {directory}: {reason}.") from error
    return index


def _page(run: Run, pictures: dict[str, bytes]) -> str:
    template = resources.files("app.report").joinpath("templates/report.html").read_text(encoding="utf-8")
    return Template(template).substitute(
        title=tables.title(run),
        subtitle=tables.subtitle(run),
        tiles=tables.tiles(run),
        pictures="\n".join(
            _figure(name, caption, pictures) for name, caption in _CAPTIONS.items() if name in pictures
        ),
        queues=tables.queues(run),
        nodes=f"<h2>By node</h2>\n{tables.nodes(run)}\n" if run.nodes else "",
        failures=tables.failures(run),
        events=tables.events(run),
        method=tables.method(run),
    )


def _figure(name: str, caption: str, pictures: dict[str, bytes]) -> str:
    light, dark = (_data_address(pictures[name + suffix]) for suffix in ("", _DARK))
    words = escape(caption)
    return (
        f'<figure><picture><source media="(prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img src="{light}" alt="{words}"></picture><figcaption>{words}</figcaption></figure>'
    )


def _data_address(picture: bytes) -> str:
    return "data:image/png;base64," + b64encode(picture).decode()
