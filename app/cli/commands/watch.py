"""`fleet watch`."""

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.errors import FleetError

if TYPE_CHECKING:
    from app.cli.views.watch import WatchView
    from app.cluster.record import WatchRecorder
    from app.cluster.watcher import Watcher

CLUSTER_EXTRA = {"kubernetes", "urllib3", "websocket"}
"""What a fleet that is watched from elsewhere does not carry itself."""


def watch(
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", help="Where the fleet is.", show_default=False)
    ],
    context: Annotated[
        str | None, typer.Option(help="Of the kubeconfig.", show_default="its current one")
    ] = None,
    release: Annotated[
        str | None, typer.Option(help="The Helm release.", show_default="the only one there")
    ] = None,
    record: Annotated[
        Path | None, typer.Option(help="Write what is seen to this file, for `fleet report`.")
    ] = None,
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="End when all is settled and no worker is left.")
    ] = False,
) -> None:
    """Watch a fleet on Kubernetes: replicas, pods by node, queues and what happens. Nothing is changed there.

    Example: fleet watch --namespace pdf-fleet --record run/timeline.jsonl --until-idle
    """
    from contextlib import ExitStack

    from app.cli.views.watch import WatchView
    from app.report.timeline import Timeline

    try:
        from app.cluster.cluster import Cluster
    except ModuleNotFoundError as error:
        if error.name not in CLUSTER_EXTRA:
            raise
        raise FleetError(f"{error.name} is not installed: pip install 'pdf-fleet[cluster]'.") from None
    from app.cluster.record import WatchRecorder, watch_meta
    from app.cluster.watcher import Watcher

    cluster = Cluster(namespace, context=context, release=release)
    title = f"release {cluster.release}, namespace {cluster.namespace}, context {cluster.context}"
    with ExitStack() as stack:
        watcher = stack.enter_context(Watcher(cluster))
        recorder = None
        if record is not None:
            command = shlex.join(["fleet", *sys.argv[1:]])
            timeline = stack.enter_context(Timeline(record, watch_meta(watcher, command)))
            recorder = WatchRecorder(timeline)
        try:
            with WatchView(title) as view:
                _show(watcher, view, recorder, until_idle=until_idle)
        except BrokenPipeError:
            # Whoever read it has gone, and Python flushes once more at the end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        finally:
            if recorder is not None:
                recorder.finish()
    if record is not None:
        typer.echo(f"Recorded in {record}: fleet report {shlex.quote(str(record))} --output DIR", err=True)


def _show(
    watcher: "Watcher", view: "WatchView", recorder: "WatchRecorder | None", *, until_idle: bool
) -> None:
    for look in watcher.snapshots():
        if recorder is not None:
            recorder.record(look)
        view.update(look)
        if until_idle and look.idle:
            return
