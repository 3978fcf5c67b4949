"""What is found in a report whose fields are documented nowhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.report import REPORT_REASONS, Standing, packed, read_report, unpacked

JOB = "01k0a1b2c3d4e5f6g7h8w"
DOCS = Path(__file__).parents[2] / "docs" / "completion.md"


@pytest.mark.parametrize(
    "body",
    [
        f'{{"reference": "{JOB}", "whatsapp": "972501234567", "status": 1}}',
        f'{{"event": {{"data": [{{"Reference": "{JOB.upper()}", "WhatsApp": 972501234567, "STATUS": "OK"}}]}}}}',
        f"reference={JOB}&whatsapp=%2B972+50-123-4567&status=1",
        "payload=" + json.dumps({"ref": JOB, "whatsapp_number": "972501234567", "status": True}),
        json.dumps(json.dumps({"x": JOB, "phone": "972501234567", "status": "Finished"})),
    ],
)
def test_reference_number_and_status_are_found_wherever_they_are(body: str) -> None:
    """JSON at any depth, forms, JSON in a form, JSON in a text."""
    report = read_report(body)

    assert report is not None
    assert (report.job_ids, report.numbers, report.standing) == (
        (JOB,),
        ("972501234567",),
        Standing.FINISHED,
    )


@pytest.mark.parametrize(
    ("statuses", "standing"),
    [
        ([], Standing.UNSAID),
        ([None], Standing.UNSAID),
        ([1], Standing.FINISHED),
        ([0], Standing.NOT_FINISHED),
        (["OK", 0], Standing.NOT_FINISHED),
        (["OK", "hm"], Standing.UNKNOWN),
        ([False], Standing.NOT_FINISHED),
        ([2], Standing.UNKNOWN),
    ],
)
def test_one_status_that_says_no_outweighs_those_that_say_yes(
    statuses: list[object], standing: Standing
) -> None:
    """The envelope's OK says nothing of the customer."""
    report = read_report(json.dumps([{"status": each} for each in statuses] or {"x": 1}))

    assert report is not None
    assert report.standing is standing


@pytest.mark.parametrize(
    "body",
    [
        '{"status": 0, "status": 1}',
        '{"status": 1, "status": 0}',
        "status=0&status=1",
        "data[status]=0&status=ok",
        "data%5B0%5D%5Bstatus%5D=pending",
        "events[].status=0",
    ],
)
def test_a_no_is_heard_wherever_it_stands(body: str) -> None:
    """Under a name that occurs twice, and nested as forms write it."""
    report = read_report(body)

    assert report is not None
    assert report.standing is Standing.NOT_FINISHED


@pytest.mark.parametrize(
    "body", ["ref={}&ref={}", "d[][reference]={}&d[][reference]={}", '{{"r": "{}", "r": "{}"}}']
)
def test_no_customer_of_several_in_one_report_is_lost(body: str) -> None:
    """Readers disagree on which of two values counts: both do."""
    other = JOB[:-1] + "2"
    report = read_report(body.format(JOB, other))

    assert report is not None
    assert report.job_ids == (JOB, other)


def test_a_byte_order_mark_does_no_harm() -> None:
    """Some systems write one before their JSON."""
    report = read_report(f'\ufeff{{"reference": "{JOB}"}}')

    assert report is not None
    assert report.job_ids == (JOB,)


@pytest.mark.parametrize("body", ["", "garbage", "<xml/>", "[" * 100_000, "\x00"])
def test_what_is_neither_json_nor_a_form_is_unreadable(body: str) -> None:
    """None, and no error."""
    assert read_report(body) is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_no_json_breaks_the_reader(document: object) -> None:
    """Whatever the partner thinks of beside it, the customer is found."""
    alone = read_report(json.dumps(document))
    beside = read_report(json.dumps({"x": document, "reference": JOB}))

    assert (alone is None) == (document is None)
    assert beside is not None
    assert JOB in beside.job_ids


@given(st.text())
def test_no_text_breaks_the_reader(text: str) -> None:
    """Nor what is no JSON: the customer who stands behind it is found."""
    alone = read_report(text)
    report = read_report(f"{text}&reference={JOB}")

    assert alone == read_report(text)
    assert report is not None
    assert JOB in report.job_ids


def test_a_report_is_bounded() -> None:
    """Thousands of references in one report lead to no thousands of look-ups."""
    report = read_report(json.dumps([f"{n:020d}w" for n in range(10_000)]))

    assert report is not None
    assert len(report.job_ids) == 20


def test_what_is_recorded_is_read_again() -> None:
    """Body, type, and whether it is base64."""
    assert unpacked(packed("שלום=1", content_type="text/plain")) == ("שלום=1", "text/plain", False)
    with pytest.raises(ValueError, match="not a recorded report"):
        unpacked("[]")


def test_every_reason_is_explained() -> None:
    """An operator meets it in a list."""
    page = DOCS.read_text(encoding="utf-8")

    assert {reason for reason in REPORT_REASONS if f"`{reason}`" not in page} == set()
