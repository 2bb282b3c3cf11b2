"""Figures of a flood from its recording."""

import pytest

from app.report.timeline import DocumentRecord, QueueSample, Record, Sample, Stage
from bench.kind import flood_of


def sample(t: float, pdf: tuple[int, int], ocr: tuple[int, int] = (0, 0)) -> Sample:
    """Return a sample: replicas and ready pods of the queues."""
    queues = {
        name: QueueSample(waiting=0, running=0, replicas=replicas, ready=ready, done=0)
        for name, (replicas, ready) in {"pdf": pdf, "ocr": ocr}.items()
    }
    return Sample(t=t, queues=queues)


def test_a_flood_is_measured_from_the_moment_its_documents_were_opened() -> None:
    scan = [
        Stage(queue="pdf", opened=10.0, started=12.0, finished=13.0),
        Stage(queue="ocr", opened=13.0, started=14.0, finished=17.0),
    ]
    records: list[Record] = [
        sample(9.0, (5, 5)),  # before the flood
        sample(11.0, (1, 0)),
        DocumentRecord(id="a", state="succeeded", opened=10.0, started=11.5, finished=13.5),
        DocumentRecord(id="b", state="succeeded", opened=10.0, started=12.0, finished=17.0, stages=scan),
        DocumentRecord(id="c", state="failed", opened=10.0),
        sample(13.0, (2, 2), (1, 1)),
        sample(18.0, (0, 1)),
        sample(20.0, (0, 0)),
    ]
    flood = flood_of(records)
    assert (flood.documents, flood.first, flood.seconds, flood.gone) == (3, 3.5, 7.0, 10.0)
    assert (flood.pods, flood.ready) == ({"pdf": 2, "ocr": 1}, {"pdf": 3.0, "ocr": 3.0})
    # 1 pod for 2 s, 3 for 5 s, 1 for 2 s; 2 s, 1 s and 3 s of work.
    assert (flood.pod_seconds, flood.work) == (19.0, 6.0)
    assert flood.useful == pytest.approx(6 / 19)
