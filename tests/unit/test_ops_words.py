"""Every sentence has a template, every template its params; nothing is glued together."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from worker.ops.words import ENGLISH, WORDS, Tongue, render, said, span_text

MODULES = (
    "troubles",
    "timeline",
    "here",
    "job_page",
    "groups",
    "customer",
    "customer_said",
    "partner_view",
    "watching",
    "overview",
    "holds",
    "known",
    "forgetting",
    "remedies",
)
#: Codes that are made of a word of ours: the beginning → the words.
MADE = {
    "trouble_": (
        "no_worker redis_full queue_full credentials_missing calls_paused calls_paused_until credentials_held "
        "breaker_open breaker_half_open partner_throttled lane_held batch_held lane_paused batch_paused channel_paused"
    ),
    "remedy_": (
        "no_worker redis_full queue_full credentials_missing calls_paused calls_paused_until credentials_held "
        "breaker_open breaker_half_open partner_throttled lane_held batch_held lane_paused batch_paused channel_paused "
        "lane_held_outlook batch_held_outlook"
    ),
    "no_such_": "reason reason_but source source_but batch batch_but",
    "rescued_": "available in_doubt scheduled failed cancelled linked revoked",
    "completed_": "list webhook",
    "resolved_": "linked onboarded failed available cancelled revoked",
    "attempt_": "cancelled called_off revoked",
    "explained_": "linked onboarded failed",
    "trend_": "new up down steady quiet",
    "customer_": (
        "onboarded finished_there sent bounced telling window suppressed linked waiting changing doubt failed vanished"
    ),
    "advice_": "onboarded dead in_doubt cancelled revoked sent_email sent_sms",
    "message_": "waits window retry sending sent in_doubt failed skipped",
    "reminder_": "waits window retry sending sent in_doubt failed skipped",
    "forget_": "is_running is_in_doubt link_stands change_pending being_sent",
    "watch_": "vanished vanished_do missing missing_do expiring expiring_do open_long open_long_do",
}


#: What the sentences about the whole, a job, a group and a customer begin with.
BEGINS = [
    "trouble",
    "remedy",
    "expected",
    "dead_expire",
    "accepted",
    "attempt",
    "rescued",
    "lookup",
    "resolved",
    "explained",
    "completed",
    "released",
    "here",
    "next",
    "trend",
    "customer",
    "advice",
    "message",
    "reminder",
    "fact",
    "partner",
    "watch",
    "hold",
    "no_such",
    "forget",
]
#: Sentences, words of ours left out.
SENTENCES = [code for code in WORDS if code.startswith(tuple(f"{begin}_" for begin in BEGINS))]


def used_codes() -> set[str]:
    """Return what the modules name that looks like the code of a sentence."""
    folder = resources.files("worker.ops")
    source = "".join((folder / f"{name}.py").read_text(encoding="utf-8") for name in MODULES)
    return set(re.findall(rf'"((?:{"|".join(BEGINS)})(?:_[a-z]+)*)"', source))


@pytest.mark.parametrize(
    "code", sorted({f"{begin}{word}" for begin, words in MADE.items() for word in words.split()})
)
def test_codes_made_of_words_have_their_sentences(code: str) -> None:
    """A state or kind that is added needs its sentence."""
    assert code in WORDS


def test_every_sentence_is_used_and_every_code_has_one() -> None:
    """A code without a sentence would be seen only when it happens; no sentence is left over."""
    made = {f"{begin}{word}" for begin, words in MADE.items() for word in words.split()}
    sentences = {re.sub(r"(\.one|_untimed|_why)$", "", code) for code in SENTENCES}
    used = {re.sub(r"(_untimed|_why)$", "", code) for code in used_codes()}

    assert sentences - used - made == set()
    assert {code for code in used if code not in WORDS} == NAMES


#: What the modules name that only looks like a code: fields and parts of documents.
NAMES = {
    "accepted",
    "accepted_at",
    "completed",
    "advice",
    "attempt",
    "customer",
    "expected",
    "expected_s",
    "explained",
    "forget",
    "message",
    "next",
    "next_at",
    "partner",
    "partner_dropped",
    "partner_throttled",
    "partner_timeout",
    "partner_unreachable",
    "partner_unreadable",
    "remedy",
    "reminder",
    "rescued",
    "resolved",
    "trend",
}


@pytest.mark.parametrize("code", SENTENCES)
def test_a_sentence_is_whole(code: str) -> None:
    """It begins like one and, unless a command or somebody's own words end it, ends like one."""
    text = WORDS[code]
    marks = re.findall(r"\{(\w*)\}", text)

    assert text == text.strip()
    assert text[0].isupper() or text[0] == "{" or text[0].isdigit()
    assert text[-1] in ".}" or "linkferry " in text
    assert all(mark.isidentifier() for mark in marks)


@pytest.mark.parametrize("code", [code for code in WORDS if code.endswith(".one")])
def test_the_twin_for_one_belongs_to_a_counted_sentence(code: str) -> None:
    """It is taken by `count`, and says no more than its twin can."""
    twin = WORDS[code.removesuffix(".one")]

    assert "{count}" in twin
    assert set(re.findall(r"\{(\w+)\}", WORDS[code])) <= set(re.findall(r"\{(\w+)\}", twin))


@pytest.mark.parametrize("code", [code for code in WORDS if code.endswith(("_untimed", "_why"))])
def test_twins_differ_by_one_param_only(code: str) -> None:
    """`…_untimed` knows no length of the call, `…_why` has somebody's words."""
    base = code.removesuffix("_untimed").removesuffix("_why")
    own, other = (set(re.findall(r"\{(\w+)\}", WORDS[each])) for each in (code, base))

    assert own ^ other <= {"call_s", "why", "next_at"}


def test_a_param_is_written_by_its_name() -> None:
    """Lengths of time, instants, numbers, our own words, lists of channels."""
    due = "2026-11-21T10:02:03.456Z"

    assert render("next_due", {"due_at": due}) == "It is tried at 2026-11-21 10:02:03 UTC."
    assert "0.4 s" not in render("attempt_linked", {"attempt": 1, "call_s": 0.412})
    assert "412 ms" in render("attempt_linked", {"attempt": 1, "call_s": 0.412})
    assert "e-mail, SMS" in render("here_told", {"channels": ["email", "sms"]})
    assert "1,234 jobs" in render("here_in_line", {"count": 1234, "lane": "bulk"})
    assert "1 job goes" in render("here_in_line", {"count": 1, "lane": "bulk"})


def test_a_sentence_carries_what_another_language_needs() -> None:
    """Code and raw params; the English text beside them."""
    told = said("here_in_line", count=2, lane="live")

    assert (told["code"], told["params"]) == ("here_in_line", {"count": 2, "lane": "live"})
    assert told["text"] == "It waits in the live lane; 2 jobs go before it."


def test_another_language_takes_its_own_words_and_ours_where_it_has_none() -> None:
    """Its plurals, its words for states, its meanings of reasons; a missing sentence is English, not an error."""
    hebrew = Tongue(
        words={
            "here_in_line": "{count} לפניו בנתיב {lane}",
            "here_in_line.two": "שניים לפניו בנתיב {lane}",
            "lane.live": "מיידי",
            "here_failed": "נכשל: {meaning}",
            "meaning.number_invalid": "המספר שגוי",
        },
        span=lambda seconds: f"{seconds:g} שניות",
        instant=str,
        number=str,
    )

    assert render("here_in_line", {"count": 5, "lane": "live"}, hebrew) == "5 לפניו בנתיב מיידי"
    assert render("here_in_line", {"count": 2, "lane": "live"}, hebrew) == "שניים לפניו בנתיב מיידי"
    failed = {"reason": "number_invalid", "meaning": "The number is no number."}
    assert render("here_failed", failed, hebrew) == "נכשל: המספר שגוי"
    assert render("here_onboarded", {}, hebrew) == WORDS["here_onboarded"]
    nested = {"cause": said("here_in_line", count=5, lane="live")}
    assert render("advice_stopped", nested, hebrew).endswith("5 לפניו בנתיב מיידי")


def test_a_code_or_param_that_is_missing_is_an_error() -> None:
    """It would be a hole in a sentence."""
    with pytest.raises(KeyError):
        said("no_such_code")
    with pytest.raises(KeyError):
        said("here_first")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.05, "50 ms"), (1.44, "1.4 s"), (45, "45 s"), (600, "10 min"), (8_000, "2 h"), (400_000, "5 days")],
)
def test_lengths_of_time_are_rough(seconds: float, text: str) -> None:
    """Two figures tell an operator enough."""
    assert span_text(seconds) == text
    assert ENGLISH.span(seconds) == text
