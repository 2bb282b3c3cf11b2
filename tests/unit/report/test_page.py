import re
from collections import Counter
from pathlib import Path
from random import Random
from xml.etree import ElementTree as ET

import pytest
from msgspec import structs

from app.errors import FleetError
from app.report import page as report_page
from app.report.page import write_report
from app.report.timeline import (
    ClusterInfo,
    DocumentRecord,
    Event,
    Machine,
    Meta,
    QueueSample,
    Record,
    Sample,
    Stage,
    What,
    encode,
    read,
)
from app.runtime import atomic

PICTURES = {"scaling.svg", "throughput.svg", "latency.svg"}


def a_run(documents: int = 200) -> list[Record]:
    """Two workers that start one after the other; every tenth document is a scan, some are damaged."""
    random = Random(1)
    free, scanner = [1.0, 2.0], 3.0
    stages: list[list[Stage]] = []
    for number in range(documents):
        worker = free.index(min(free))
        started, free[worker] = free[worker], free[worker] + random.uniform(0.01, 0.09)
        passed = [Stage(queue="pdf", opened=0.1, started=started, finished=free[worker])]
        if number % 10 == 3:
            begun = max(scanner, free[worker])
            scanner = begun + random.uniform(0.4, 0.8)
            passed.append(Stage(queue="ocr", opened=free[worker], started=begun, finished=scanner))
        stages.append(passed)
    records: list[Record] = [
        Meta(
            command="fleet demo --documents 200 <&>",
            machine=Machine(cores=2, python="3.11.9", celery="5.7.0", system="Linux"),
            documents=documents,
            seed=7,
            max_replicas=2,
            policies={"pdf": {"max_replicas": 2}},
        ),
        Event(t=0.5, what=What.SCALE, queue="pdf", before=0, after=2, message="200 waiting"),
        Event(t=3.0, what=What.FAULT, queue="pdf", message="kill -9 <script>"),
        Event(t=3.2, what=What.REPLACED, queue="pdf", message="exit status -9"),
    ]
    for step in range(60):
        t = step / 4
        queues = {}
        for queue in ("pdf", "ocr"):
            passages = [stage for passed in stages for stage in passed if stage.queue == queue]
            queues[queue] = QueueSample(
                waiting=sum(stage.opened <= t < stage.started for stage in passages),
                running=sum(stage.started <= t < stage.finished for stage in passages),
                replicas=2 if t > 0.5 else 0,
                ready=min(2, int(t)),
                done=sum(stage.finished <= t for stage in passages),
            )
        records.append(Sample(t=t, queues=queues))
    for number, passed in enumerate(stages):
        damaged = number % 50 == 1
        records.append(
            DocumentRecord(
                id=f"d{number}",
                state="failed" if damaged else "succeeded",
                error="malformed" if damaged else None,
                opened=0.1,
                started=passed[0].started,
                finished=passed[-1].finished,
                queue=passed[-1].queue,
                stages=passed,
            )
        )
    return records


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(tmp_path_factory.mktemp("report"), a_run())


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what depends on no picture: all are blank."""
    monkeypatch.setattr(report_page, "svg", lambda name, _draw, _run: f"<svg>{name}</svg>")


def cells(page: str) -> list[list[str]]:
    """The text of each table row."""
    rows = re.findall(r"<tr>(.*?)</tr>", page)
    return [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row) for row in rows]


def test_everything_stands_in_the_directory(report: Path) -> None:
    assert {path.name for path in report.parent.iterdir()} == PICTURES | {"index.html", "timeline.jsonl"}


@pytest.mark.parametrize("name", sorted(PICTURES))
def test_a_picture_is_small_and_holds_its_words_as_text(report: Path, name: str) -> None:
    picture = (report.parent / name).read_bytes()
    root = ET.fromstring(picture)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    words = {text.text for text in root.iter("{http://www.w3.org/2000/svg}text")}
    assert words & {"queue pdf", "seconds"}
    assert len(picture) < 100_000


@pytest.mark.parametrize("name", sorted(PICTURES))
def test_a_picture_follows_the_readers_colour_scheme(report: Path, name: str) -> None:
    picture = (report.parent / name).read_text(encoding="utf-8")
    style, _, drawing = picture.partition("</style>")
    assert "--paper: #ffffff;" in style
    assert re.search(r"@media \(prefers-color-scheme: dark\) { :root { --paper: #161b22;", style)
    assert "fill: var(--paper, #ffffff)" in drawing
    assert "fill: var(--ink, #24292f)" in drawing
    assert not re.findall(r"(?:fill|stroke): #", drawing)


def test_the_page_needs_nothing_beside_it(report: Path) -> None:
    page = report.read_text(encoding="utf-8")
    namespaces = {'xmlns="http://www.w3.org/2000/svg"', 'xmlns:xlink="http://www.w3.org/1999/xlink"'}
    assert set(re.findall(r'\S*://[^"]*"', page)) <= namespaces
    assert page.count("<svg ") == 3
    assert not re.findall(r'src|href="(?!#)|url\((?!#)', page)
    assert "<script" not in page
    assert "{{" not in page


def test_the_pictures_of_a_page_share_no_id(report: Path) -> None:
    page = report.read_text(encoding="utf-8")
    ids = Counter(re.findall(r' id="([^"]*)"', page))
    assert max(ids.values()) == 1
    assert set(re.findall(r'(?:href="|url\()#([^")]*)', page)) <= ids.keys()


def test_the_words_of_others_are_escaped(report: Path) -> None:
    page = report.read_text(encoding="utf-8")
    assert "fleet demo --documents 200 &lt;&amp;&gt;" in page
    assert "kill -9 &lt;script&gt;" in page


def test_the_numbers_are_those_of_the_timeline(report: Path) -> None:
    page = report.read_text(encoding="utf-8")
    records = read(report.parent / "timeline.jsonl")
    documents = [record for record in records if isinstance(record, DocumentRecord)]
    end = max(document.finished or 0 for document in documents)
    tiles = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page))
    assert tiles == {
        "documents": "200",
        "succeeded": "196",
        "failed": "4",
        "documents/s": f"{200 / (end - 0.1):.1f}",  # the first was sent after 0.1 s
        "workers replaced": "1",
        "settled twice": "0",
    }
    assert f"<h1>200 documents in {end:.1f} s</h1>" in page
    # The policies at the end begin with the queue's name as well: the first row counts.
    rows = {row[0]: row[1:] for row in reversed(cells(page))}
    samples = [record for record in records if isinstance(record, Sample)]
    for queue, count in (("pdf", 200), ("ocr", 20)):
        service = sorted(
            stage.finished - stage.started
            for document in documents
            for stage in document.stages
            if stage.queue == queue
        )
        ranks = [service[-(-len(service) * share // 100) - 1] for share in (50, 95, 99)]
        assert rows[queue][0] == str(count) == str(len(service))
        assert rows[queue][1] == str(max(sample.queues[queue].waiting for sample in samples))
        assert rows[queue][2] == str(max(sample.queues[queue].ready for sample in samples))
        assert rows[queue][4] == " / ".join(f"{value:.3f}" for value in ranks)
    assert rows["malformed"][0] == "4"
    assert rows["3.0"][:2] == ["fault", "pdf"]
    assert rows["0.5"][2] == "0 \N{RIGHTWARDS ARROW} 2"


def test_a_recorded_file_gives_the_same_page(report: Path, tmp_path: Path) -> None:
    again = write_report(tmp_path, report.parent / "timeline.jsonl")
    assert again.read_bytes() == report.read_bytes()
    assert (tmp_path / "timeline.jsonl").read_bytes() == (report.parent / "timeline.jsonl").read_bytes()


@pytest.mark.usefixtures("undrawn")
def test_the_timeline_of_the_directory_itself_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "timeline.jsonl"
    path.write_bytes(encode(a_run(1)) + b'{"kind":"sam')
    before = path.stat()
    write_report(tmp_path, path)
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert path.stat().st_ino == before.st_ino


META_ONLY = a_run(0)[:1]
ONE = [*META_ONLY, DocumentRecord(id="a", state="succeeded", opened=0, started=1, finished=2, queue="pdf")]
LONG: list[Record] = [
    Sample(
        t=hours * 3_600,
        queues={"pdf": QueueSample(waiting=5, running=1, replicas=1, ready=1, done=0)},
    )
    for hours in range(3)
]


SMALL: dict[str, tuple[list[Record], str]] = {
    "nothing": ([], "0 documents in 0.0 s"),
    "meta": (META_ONLY, "0 documents in 0.0 s"),
    "one": (ONE, "1 document in 2.0 s"),
    "long": (LONG, "0 documents in 0.0 s"),
    "no queue": ([Sample(t=t, queues={}, nodes={"a": {}}) for t in (0, 1)], "0 documents in 0.0 s"),
    "unfinished": ([DocumentRecord(id="a", state="queued", opened=0)], "1 document in 0.0 s"),
}


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("name", SMALL)
def test_small_runs_have_a_report_too(tmp_path: Path, name: str) -> None:
    records, title = SMALL[name]
    assert f"<h1>{title}</h1>" in write_report(tmp_path, records).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SMALL)
def test_small_runs_have_pictures_too(tmp_path: Path, name: str) -> None:
    write_report(tmp_path, SMALL[name][0])
    for picture in PICTURES:
        assert ET.parse(tmp_path / picture).getroot().get("viewBox")


@pytest.mark.usefixtures("undrawn")
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FleetError, match=r"The report cannot be written to .*file"):
        write_report(tmp_path / "file" / "report", META_ONLY)


@pytest.mark.usefixtures("undrawn")
def test_a_report_that_fails_leaves_the_old_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = write_report(tmp_path, META_ONLY)
    old, write = index.read_bytes(), atomic.write

    def full(path: Path, data: bytes) -> None:
        if path.name == "latency.svg":
            raise OSError(28, "No space left on device")
        write(path, data)

    monkeypatch.setattr(atomic, "write", full)
    with pytest.raises(FleetError, match="No space left on device"):
        write_report(tmp_path, ONE)
    assert index.read_bytes() == old
    assert not list(tmp_path.glob("*.part"))


def on_cluster(nodes: int = 3) -> list[Record]:
    """The same run, its workers on nodes: the first two have one each, the others none."""
    records: list[Record] = [
        Meta(
            command="fleet watch --namespace fleet",
            cluster=ClusterInfo(
                context="here <&>",
                namespace="fleet",
                release="mine",
                version="v1.34.0",
                nodes={f"node-{number}": "4 cores, 8.0 GiB" for number in range(nodes)},
            ),
        )
    ]
    for record in a_run():
        if isinstance(record, Sample):
            places = {
                f"node-{number}": {"pdf": 1} if number < record.queues["pdf"].ready else {}
                for number in range(nodes)
            }
            records.append(structs.replace(record, nodes=places))
        elif not isinstance(record, Meta):
            records.append(record)
    records.append(Event(t=4.0, what=What.RECOVERED, message="node node-1 is ready again"))
    return records


def test_a_run_on_a_cluster_has_its_nodes_in_a_picture_and_a_table(tmp_path: Path) -> None:
    page = write_report(tmp_path, on_cluster()).read_text(encoding="utf-8")
    assert {path.name for path in tmp_path.glob("*.svg")} == PICTURES | {"nodes.svg"}
    assert page.count("<svg ") == 4
    assert ">node-2</text>" in (tmp_path / "nodes.svg").read_text(encoding="utf-8")
    rows = {row[0]: row[1:] for row in cells(page)}
    # Ready from 1.0 s and 2.0 s on; the last of 60 samples, a quarter of a second apart, is at 14.75 s.
    assert rows["node-0"] == ["1", "0", "1", "14"]
    assert rows["node-1"] == ["1", "0", "1", "13"]
    assert rows["node-2"] == ["0", "0", "0", "0"]
    assert rows["4.0"][0] == "recovered"
    assert "release mine, namespace fleet, context here &lt;&amp;&gt;, Kubernetes v1.34.0." in page
    assert "Node node-2: 4 cores, 8.0 GiB." in page
    assert "Celery" not in page.partition("How it was measured")[2]


def test_a_local_run_speaks_of_no_nodes(report: Path) -> None:
    assert "By node" not in report.read_text(encoding="utf-8")


def test_names_are_escaped_in_pictures(tmp_path: Path) -> None:
    name = "</text><script>$x$"
    queue = QueueSample(waiting=1, running=0, replicas=1, ready=1, done=0)
    page = write_report(tmp_path, [Sample(t=1.0, queues={name: queue}, nodes={name: {name: 1}})])
    assert "<script" not in page.read_text(encoding="utf-8")
    for picture in ("scaling.svg", "nodes.svg"):
        assert "&lt;/text&gt;&lt;script&gt;$x$" in (tmp_path / picture).read_text(encoding="utf-8")
