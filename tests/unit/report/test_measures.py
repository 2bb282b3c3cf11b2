import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.report.measures import quantile, rates, summarize, take_apart, thinned, window_seconds
from app.report.timeline import DocumentRecord, Event, QueueSample, Record, RunSummary, Sample, Stage, What

times = st.lists(st.floats(min_value=0, max_value=100), max_size=60)


def sample(t: float, **queues: int) -> Sample:
    return Sample(
        t=t,
        queues={
            name: QueueSample(waiting=ready, running=0, replicas=ready + 1, ready=ready, done=0)
            if ready
            else QueueSample(waiting=0, running=0, replicas=0, ready=0, done=0)
            for name, ready in queues.items()
        },
    )


@given(values=times.filter(bool), share=st.floats(min_value=0.001, max_value=1))
def test_a_quantile_is_the_smallest_value_that_covers_its_share(values: list[float], share: float) -> None:
    found = quantile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9
    assert sum(value < found for value in values) < share * len(values) + 1e-9


def test_a_quantile_is_not_one_rank_too_high_by_rounding() -> None:
    assert quantile([float(number) for number in range(1, 101)], 0.07) == 7


@pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1.0], 0.0), ([1.0], 1.1)])
def test_a_quantile_of_nothing_is_refused(values: list[float], share: float) -> None:
    with pytest.raises(ValueError, match="A quantile needs values"):
        quantile(values, share)


@given(moments=times, window=st.sampled_from([0.5, 1.0, 4.0]))
def test_rates_count_every_time_once_for_each_point_of_its_window(
    moments: list[float], window: float
) -> None:
    # Windows laid end to end over the whole axis count everything exactly once.
    grid = [window * step for step in range(int(100 / window) + 2)]
    assert sum(rate * window for rate in rates(moments, grid, window)) == pytest.approx(len(moments))


def test_rates_are_of_the_window_that_ends_there() -> None:
    assert rates([1.0, 1.5, 2.0], [1.0, 2.0, 3.0, 4.0], 2.0) == [0.5, 1.5, 1.0, 0.0]


@pytest.mark.parametrize(("seconds", "window"), [(0, 1), (40, 1), (300, 10), (7_200, 60)])
def test_the_window_follows_the_length_of_the_run(seconds: float, window: float) -> None:
    assert window_seconds(seconds) == window


rows = st.lists(st.tuples(*[st.integers(0, 9)] * 3), max_size=60).map(
    lambda values: [(float(t), *row) for t, row in enumerate(values)]
)


@given(rows=rows, most=st.integers(8, 80))
def test_thinned_rows_keep_the_ends_and_the_extremes(rows: list[tuple[float, ...]], most: int) -> None:
    kept = thinned(rows, most)
    assert kept == [row for row in rows if row in kept]
    assert len(kept) <= most
    if rows:
        assert (kept[0], kept[-1]) == (rows[0], rows[-1])
        for column in (1, 2, 3):
            assert {choose(row[column] for row in kept) for choose in (min, max)} == {
                choose(row[column] for row in rows) for choose in (min, max)
            }


def test_thinned_rows_leave_out_what_does_not_change() -> None:
    rows = [(float(t), 5 if 30 <= t < 60 else 0) for t in range(100)]
    assert [row[0] for row in thinned(rows, 10)] == [0, 29, 30, 59, 60, 99]


def test_a_summary_counts_documents_states_codes_and_peaks() -> None:
    records: list[Record] = [
        sample(0, pdf=0, ocr=0),
        sample(1, pdf=3, ocr=0),
        sample(2, pdf=1, ocr=2),
        Event(t=1, what=What.REPLACED, queue="pdf"),
        Event(t=1, what=What.FAULT, queue="pdf"),
        DocumentRecord(id="a", state="succeeded", opened=0, started=1, finished=2, queue="pdf"),
        DocumentRecord(
            id="b", state="failed", error="malformed", opened=0, started=1, finished=4, queue="pdf"
        ),
        DocumentRecord(id="c", state="queued", opened=0),
    ]
    assert summarize(records, duplicates=2) == RunSummary(
        seconds=4,
        documents=3,
        states={"succeeded": 1, "failed": 1, "queued": 1},
        failed={"malformed": 1},
        documents_per_second=0.5,
        peak_replicas={"pdf": 3, "ocr": 2},
        replaced=1,
        duplicates=2,
    )


def test_a_summary_of_nothing_is_all_zeros() -> None:
    summary = summarize([])
    assert (summary.seconds, summary.documents, summary.documents_per_second) == (0.0, 0, 0.0)


def test_a_recorded_summary_is_not_worked_out_again() -> None:
    recorded = summarize([], duplicates=5)
    assert take_apart([sample(1, pdf=1), recorded]).summary == recorded


def test_samples_and_events_come_in_the_order_of_time() -> None:
    run = take_apart(
        [sample(2, pdf=1), Event(t=3, what=What.FAULT), sample(1, pdf=1), Event(t=0, what=What.SCALE)]
    )
    assert [one.t for one in run.samples] == [1, 2]
    assert [one.t for one in run.events] == [0, 3]
    assert run.seconds == 3


def test_only_queues_that_did_something_are_shown() -> None:
    assert take_apart([sample(1, pdf=1, ocr=0, default=0)]).queues == ["pdf"]
    assert take_apart([sample(1, pdf=0, ocr=0)]).queues == ["pdf"]
    assert take_apart([]).queues == []


def test_a_document_passes_through_its_queue_or_through_its_stages() -> None:
    stages = [
        Stage(queue="pdf", opened=0, started=1, finished=2),
        Stage(queue="ocr", opened=2, started=5, finished=9),
    ]
    run = take_apart(
        [
            DocumentRecord(id="a", state="succeeded", opened=0, started=1, finished=3, queue="pdf"),
            DocumentRecord(
                id="b", state="succeeded", opened=0, started=1, finished=9, queue="ocr", stages=stages
            ),
            DocumentRecord(id="c", state="failed", opened=0, queue="pdf"),
        ]
    )
    assert run.queues == ["pdf", "ocr"]
    assert run.stages("ocr") == stages[1:]
    assert [stage.finished for stage in run.stages("pdf")] == [3, 2]
    assert len(run.stages()) == 3
