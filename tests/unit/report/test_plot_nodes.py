from xml.etree import ElementTree as ET

import pytest

from app.report.figure import svg
from app.report.measures import take_apart
from app.report.plot_nodes import _titles, nodes
from app.report.timeline import QueueSample, Sample


@pytest.mark.parametrize(
    ("names", "titles"),
    [
        (["a", "b"], ["a", "b"]),
        (["ip-1.eu.internal", "ip-2.eu.internal"], ["ip-1", "ip-2"]),
        (["a.x", "a.y"], ["a.x", "a.y"]),
        (["a-very-long-name-of-a-node-1", "b"], ["a-very-l\N{HORIZONTAL ELLIPSIS}a-node-1", "b"]),
    ],
)
def test_titles_tell_nodes_apart(names: list[str], titles: list[str]) -> None:
    assert _titles(names, 18) == titles


@pytest.mark.parametrize("count", [1, 5, 11, 25])  # in one column, in two, in three, and more than are drawn
def test_any_number_of_nodes_fits_on_a_small_picture(count: int) -> None:
    queue = QueueSample(waiting=0, running=0, replicas=1, ready=0, done=0)
    samples = [
        Sample(
            t=float(t),
            queues={"pdf": queue, "ocr": queue},
            # Pods come and go on every node all the time.
            nodes={f"node-{node}": {"pdf": t * node % 7, "ocr": t % 3} for node in range(count)},
        )
        for t in range(300)
    ]
    picture = svg("nodes", nodes, take_apart(samples))
    root = ET.fromstring(picture)
    assert 100 < float(root.get("height", "").removesuffix("pt")) < 1_000
    assert len(picture) < 300_000
