"""`fleet watch`."""

import shlex
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from app.cli.views import show
from app.cli.views.watch import WatchView
from app.cluster.cluster import Cluster
from app.cluster.record import WatchRecorder, watch_meta
from app.cluster.watcher import Watcher
from app.report.timeline import Timeline


def watch(
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", metavar="NAME", help="Watch the fleet in this namespace.")
    ],
    context: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Use this kubeconfig context (default: the current one)."),
    ] = None,
    release: Annotated[
        str | None, typer.Option(metavar="NAME", help="Watch this Helm release (default: the only one).")
    ] = None,
    record: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Record the run to this file for `fleet report`.")
    ] = None,
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="Exit once all work is settled and no worker is left.")
    ] = False,
) -> None:
    """Watch a fleet on Kubernetes: replicas, pods, queues and events.

    Watching changes nothing in the cluster. Start it before you submit documents: --until-idle first waits for work to
    appear.

    Example: fleet watch -n pdf-fleet --record timeline.jsonl --until-idle
    """
    cluster = Cluster(namespace, context=context, release=release)
    title = f"release {cluster.release}, namespace {cluster.namespace}, context {cluster.context}"
    with ExitStack() as stack:
        watcher = stack.enter_context(Watcher(cluster))
        recorder = None
        if record is not None:
            command = shlex.join(["fleet", *sys.argv[1:]])
            timeline = stack.enter_context(Timeline(record, watch_meta(watcher, command)))
            recorder = WatchRecorder(timeline)
            stack.callback(recorder.finish)
        with show.until_reader_leaves(), WatchView(title) as view:
            for snapshot in watcher.snapshots():
                if recorder is not None:
                    recorder.record(snapshot)
                view.update(snapshot)
                if until_idle and snapshot.idle:
                    break
    if record is not None:
        typer.echo(f"Recorded in {record}: fleet report {shlex.quote(str(record))} --output FOLDER", err=True)
