import msgspec
import pytest

from app.cli.views import show
from app.ledger.models import BatchCounts, Document, QueueDepth, ServiceTimes, State
from app.queues import Queue

BATCH = "73851e1a-c063-46eb-ab35-c7cae6bc1560"
TIMES = {
    Queue.PDF: ServiceTimes(
        passes=1_000, mean_work_seconds=0.1234, work_p50_seconds=0.1, work_p95_seconds=0.25
    )
}
DEPTHS = {Queue.PDF: QueueDepth(waiting=1_234_567, running=4, done=1_000, oldest_wait_seconds=2.5)}


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)


def shown(
    capsys: pytest.CaptureFixture[str], *, quarantined: int = 0, duplicates: int = 0
) -> tuple[list[str], list[str]]:
    """The lines of the table of batches: the words of its headings, and of its first row."""
    counts = BatchCounts(
        batch_id=BATCH,
        total=1_000_000,
        succeeded=959_000 - quarantined,
        failed=40_000,
        quarantined=quarantined,
        duplicates=duplicates,
    )
    show.overview(DEPTHS, TIMES, [counts], quarantined, 0, expected={}, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert any(
        line.split() == ["pdf", "1,234,567", "4", "1,000", "2.5", "s", "0.123", "0.25", "s"] for line in lines
    )
    place = next(place for place, line in enumerate(lines) if line.lstrip().startswith("batch"))
    assert all(len(line) <= 100 for line in lines)
    return lines[place].split(), lines[place + 2].split()


@pytest.mark.parametrize("width", ["narrow", "piped"])
def test_an_overview_cuts_neither_numbers_nor_ids(
    width: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    request.getfixturevalue(width)
    headings, row = shown(capsys)
    assert headings == ["batch", "total", "open", "succeeded", "failed"]
    assert row == [BATCH, "1,000,000", "1,000", "959,000", "40,000"]


@pytest.mark.usefixtures("piped")
def test_a_rare_count_has_a_column_only_if_it_is_not_zero(capsys: pytest.CaptureFixture[str]) -> None:
    headings, row = shown(capsys, quarantined=2, duplicates=3)
    assert headings[-2:] == ["quarantined", "duplicates"]
    assert row == [BATCH, "1,000,000", "1,000", "958,998", "40,000", "2", "3"]


@pytest.mark.usefixtures("narrow")
def test_on_a_narrow_terminal_an_id_is_folded_and_no_number_cut(capsys: pytest.CaptureFixture[str]) -> None:
    headings, row = shown(capsys, quarantined=2, duplicates=3)
    assert headings[-2:] == ["quarantined", "duplicates"]
    assert BATCH.startswith(row[0])
    assert row[1:] == ["1,000,000", "1,000", "958,998", "40,000", "2", "3"]


def said(capsys: pytest.CaptureFixture[str], times: ServiceTimes, expected: float | None) -> str:
    """What the overview says below the table of queues."""
    told = {} if expected is None else {"pdf": expected}
    show.overview(DEPTHS, {Queue.PDF: times}, [], 0, 0, expected=told, as_json=False)
    table, _, sentence = capsys.readouterr().out.partition(" 2.5 s ")
    assert table
    return sentence.partition("\n")[2].strip()


@pytest.mark.usefixtures("piped")
@pytest.mark.parametrize("expected", [0.05, 0.5])
def test_a_wrong_idea_of_the_seconds_a_document_is_named(
    capsys: pytest.CaptureFixture[str], expected: float
) -> None:
    assert said(capsys, TIMES[Queue.PDF], expected) == (
        f"A document of pdf takes 0.123 s as measured, and scaling counts on {expected:g} s: correct "
        "secondsPerDocument of its workers."
    )


@pytest.mark.usefixtures("piped")
@pytest.mark.parametrize(
    ("passes", "expected"), [(1_000, None), (1_000, 0.1), (1_000, 0.24), (19, 0.5), (0, 0.5)]
)
def test_nothing_is_said_of_seconds_that_fit_or_are_not_known(
    capsys: pytest.CaptureFixture[str], passes: int, expected: float | None
) -> None:
    times = msgspec.structs.replace(TIMES[Queue.PDF], passes=passes)
    assert not said(capsys, times, expected)


def test_json_has_the_service_times_of_each_queue(capsys: pytest.CaptureFixture[str]) -> None:
    over = msgspec.structs.replace(TIMES[Queue.PDF], work_p95_seconds=None)
    show.overview(DEPTHS, {Queue.PDF: over}, [], 0, 0, expected={"pdf": 0.5}, as_json=True)
    queue = msgspec.json.decode(capsys.readouterr().out)["queues"]["pdf"]
    assert queue["expected_work_seconds"] == 0.5
    assert queue["times"]["mean_work_seconds"] == 0.1234
    assert queue["times"]["work_p95_seconds"] is None


POISON = Document(
    document_id="000000c3-3395-c79b-b68b-b92a34202481",
    batch=BATCH,
    source="incoming/" + "long-" * 20 + "name.pdf",
    state=State.QUARANTINED,
    queue="pdf",
    opened=1.0,
    attempts=3,
    error="worker_lost",
    message="Each worker that started it died: look at the document before you retry it.",
)


@pytest.mark.usefixtures("narrow")
def test_a_list_of_documents_has_each_word_whole(capsys: pytest.CaptureFixture[str]) -> None:
    show.documents([POISON], as_json=False)
    first, source, message = capsys.readouterr().out.splitlines()
    assert first == f"{POISON.document_id}  worker_lost  queue pdf, 3 starts"
    assert source.strip() == POISON.source
    assert message.strip() == POISON.message


@pytest.mark.usefixtures("narrow")
def test_the_table_of_a_document_cuts_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    show.document(POISON, as_json=False)
    values = [line.split("\u2502")[2].strip() for line in capsys.readouterr().out.splitlines()[1:-1]]
    assert POISON.source in "".join(values)
