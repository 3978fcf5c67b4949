"""The console's languages: every text has a Hebrew one, no Hebrew text is left over, and each says the same."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests import console_texts
from worker.domain.reasons import Catalogue
from worker.ops.console.i18n import LANGUAGES, Translator, accepted_language, from_tables, translator
from worker.ops.console.shown import Shown, absolute, clock_time, count, decimal, web_link
from worker.ops.remedies import failed_with, with_job
from worker.ops.words import said

HEBREW = translator("he")
ENGLISH = translator("en")
SHIPPED = {reason.name: reason for reason in Catalogue.shipped().all()}
_LETTERS = re.compile(r"[\u05d0-\u05ea]")


@pytest.mark.parametrize("table", ["text", "plural", "terms", "words", "reasons"])
def test_nothing_lacks_a_hebrew_text_and_none_is_left_over(table: str) -> None:
    """`python -m tests.console_texts` prints what to fill in."""
    lacking, superfluous = console_texts.differences()[table]
    assert lacking == set()
    assert superfluous == set()


def test_every_kind_of_word_that_a_page_asks_for_is_translated() -> None:
    """A page that shows a new vocabulary by `term` or `badge` names it in `tests.console_texts`."""
    assert console_texts.kinds_used() <= console_texts.KINDS.keys()


def test_a_translation_has_the_slots_of_what_it_translates() -> None:
    """A name that is not there would stay empty or break the page."""
    tables = console_texts.hebrew()
    for english, hebrew in tables["text"].items():
        assert console_texts.slots(english) == console_texts.slots(hebrew), english
    for english, forms in tables["plural"].items():
        assert {"one", "other"} <= forms.keys(), english
        assert console_texts.slots(english) == console_texts.slots(forms["other"]), english
    for code, hebrew in tables["words"].items():
        base = re.sub(r"\.(one|two)$", "", code)
        known = set(console_texts.slots(ENGLISH.words.get(base, console_texts.SENTENCES[base])))
        assert set(console_texts.slots(hebrew)) <= known, code
        if base == code:
            assert set(console_texts.slots(hebrew)) == known, code


def test_every_hebrew_text_is_in_hebrew() -> None:
    """A text that was only copied is found, apart from names that are the same in every language."""
    tables = console_texts.hebrew()
    texts = [
        *tables["text"].values(),
        *(text for both in tables["reasons"].values() for text in both.values()),
    ]
    copied = [text for text in texts if not _LETTERS.search(text) and re.search(r"[a-z]{3}", text)]
    assert [text for text in copied if not text.startswith("linkferry ") and text != "Linkferry"] == []


def test_words_of_a_sentence_are_kept_apart_from_its_direction() -> None:
    """An id in a Hebrew sentence is isolated: else it would turn the words around it about."""
    assert HEBREW.gettext("Job %(job)s") % {"job": "01abc"} == "משימה \u206801abc\u2069"
    assert "\u2068" not in ENGLISH.gettext("Job %(job)s")


def test_a_command_within_a_sentence_is_kept_in_one_piece() -> None:
    """Its words and what it is given run from the left together, so that it can be copied as it stands."""
    tables = {"words": {"remedy_batch_paused": "להמשיך בעזרת: linkferry batch resume {batch}"}}
    paused = said("remedy_batch_paused", batch="20261122-1a")
    assert (
        from_tables("he", tables)
        .said(paused)
        .endswith("\u2068linkferry batch resume \u206820261122-1a\u2069\u2069")
    )
    assert "\u2068linkferry doctor\u2069" in HEBREW.reasons["remedy.channel_not_configured"]


@pytest.mark.parametrize(
    ("number", "text"), [(1, "יום"), (2, "יומיים"), (0, "\u20680\u2069 ימים"), (11, "\u206811\u2069 ימים")]
)
def test_hebrew_has_a_form_for_one_and_for_two(number: int, text: str) -> None:
    """One day and two days have words of their own."""
    assert HEBREW.ngettext("%(num)s day", "%(num)s days", number) % {"num": number} == text


def test_english_counts_one_and_many() -> None:
    """Where there are no forms, the English ones are taken."""
    assert ENGLISH.ngettext("one job", "jobs", 1) == "one job"
    assert ENGLISH.ngettext("one job", "jobs", 0) == "jobs"


def test_a_sentence_of_a_view_is_said_in_the_readers_language() -> None:
    """Its code finds the Hebrew template, and its numbers are written into it; in English it stands as it came."""
    sentence = said("expected_customers", count=2, catch_up_s=300.0)
    assert ENGLISH.said(sentence) == sentence["text"]
    assert (
        HEBREW.said(sentence)
        == "שני לקוחות ממתינים; כשזה ייגמר, הם יקבלו שירות בתוך \u2068\u20685\u2069 דק׳\u2069 בערך."
    )


def test_a_sentence_within_a_sentence_is_said_in_the_same_language() -> None:
    """What stops a customer's link is named in Hebrew inside the Hebrew advice."""
    sentence = said("advice_stopped", cause=said("trouble_no_worker"))
    assert HEBREW.said(sentence).startswith("לומר שהקישור יתעכב: \u2068אף תהליך עבודה")


def test_a_sentence_with_a_code_that_nobody_translated_is_shown_in_english() -> None:
    """A newer worker's sentence is better read in English than not at all."""
    view = {"code": "of_the_future", "params": {}, "text": "Something new."}
    assert HEBREW.said(view) == "Something new."


def test_a_reason_is_explained_in_hebrew_unless_an_operator_described_it() -> None:
    """His own words are shown as he wrote them, in every language."""
    shipped = Catalogue.shipped().named("number_invalid")
    assert (
        HEBREW.reason_text("number_invalid", "meaning", shipped.meaning) == "לדברי השותף, המספר ריק או שגוי."
    )
    assert HEBREW.reason_text("number_invalid", "meaning", "Dana says so.") == "Dana says so."


@pytest.mark.parametrize("is_message", [False, True])
def test_what_is_not_tried_again_any_more_says_so_in_hebrew(*, is_message: bool) -> None:
    """By the remedy that it has, and not by its reason's own."""
    failed = failed_with("partner_unreachable", Catalogue.shipped(), is_message=is_message)

    told = HEBREW.reason_text("partner_unreachable", "remedy", failed.remedy)

    assert _LETTERS.search(told)
    assert told != HEBREW.reason_text(
        "partner_unreachable", "remedy", Catalogue.shipped().named("partner_unreachable").remedy
    )
    told = said("attempt_failed_untimed", attempt=1, reason="number_invalid", meaning="Dana says so.")
    assert "Dana says so." in HEBREW.said(told)


@pytest.mark.parametrize("texts", [ENGLISH, HEBREW], ids=["en", "he"])
def test_a_remedy_that_the_console_has_itself_is_no_command(texts: Translator) -> None:
    """It names the button instead, as that is called; commands are left for what only they can do."""
    labels = {texts.gettext(each) for each in console_texts.texts()[0]}
    unknown = Catalogue.shipped().named("unknown_77")
    named = 0
    for reason in (*Catalogue.shipped().all(), unknown):
        told = texts.reason_text(reason.name, "remedy", reason.remedy)
        assert re.findall(r"linkferry (?!doctor|preview)\w+", told) == [], reason.name
        buttons = re.findall(r"[“„]([^”]+)”", told)
        assert set(buttons) <= labels, reason.name
        named += len(buttons)
    assert named > 10


@pytest.mark.parametrize("texts", [ENGLISH, HEBREW], ids=["en", "he"])
def test_a_sentence_names_no_command_for_what_the_console_does(texts: Translator) -> None:
    """Neither those of troubles, jobs and acts nor those of alerts; what they name in quotes is on a page."""
    labels = {texts.gettext(each) for each in console_texts.texts()[0]}
    named = 0
    for code, english in console_texts.SENTENCES.items():
        told = texts.words.get(code, english)
        assert re.findall(r"linkferry (?!doctor|up\b)\w+", told) == [], code
        buttons = re.findall(r"[“„]([^”{}]+)”", told.replace("\u2068", "").replace("\u2069", ""))
        assert set(buttons) <= labels, code
        named += len(buttons)
    assert named > 20


def test_english_words_of_the_console_are_those_of_a_sentence() -> None:
    """A code that no view says would never be read; the slots are ones that the view fills."""
    for code, told in ENGLISH.words.items():
        assert set(console_texts.slots(told)) <= set(console_texts.slots(console_texts.SENTENCES[code])), code


def test_a_sentence_is_said_in_the_consoles_english() -> None:
    """With the reason's own words in it; the command line goes on naming commands."""
    sentence = said(
        "remedy_lane_held", lane="bulk", lane_name="bulk", reason="paused", remedy=SHIPPED["paused"].remedy
    )
    assert "linkferry resume --lane bulk" in sentence["text"]
    assert ENGLISH.said(sentence) == (
        "Resume under “Holds and pauses”, when the cause is gone. Then “Clear the hold”, under “Holds and pauses”."
    )


@pytest.mark.parametrize("texts", [ENGLISH, HEBREW], ids=["en", "he"])
@pytest.mark.parametrize("reason", ["mailbox_unknown", "reminder_late", "partner_unreachable"])
def test_a_messages_remedy_is_translated_whatever_job_stands_in_it(texts: Translator, reason: str) -> None:
    """The command line's has the message's own job in its command; the page's names the button."""
    remedy = failed_with(reason, Catalogue.shipped(), is_message=True).remedy
    typed = with_job(remedy, "01j8zkq3t0w5x7y9a1b2w")
    assert typed != remedy

    told = texts.reason_text(reason, "remedy", typed)

    assert told == texts.reason_text(reason, "remedy", remedy)
    assert "linkferry" not in told


def test_a_code_that_nobody_knows_is_explained_by_its_number() -> None:
    """Both languages name the partner's code in place of the reason's made-up name."""
    meaning = Catalogue.shipped().named("unknown_77").meaning
    assert "77" in HEBREW.reason_text("unknown_77", "meaning", meaning)
    assert ENGLISH.reason_text("unknown_77", "meaning", meaning).startswith(
        "The partner refused it with code 77"
    )
    assert (
        HEBREW.reason_text("made_up", "meaning", Catalogue.shipped().named("made_up").meaning).count(
            "made_up"
        )
        == 1
    )
    assert HEBREW.reason_text(None, "meaning", None) == ""


def test_a_code_without_a_word_is_shown_as_it_is() -> None:
    """An unknown state of a newer version reads as words, not as an error."""
    assert HEBREW.term("state", "of_the_future") == "of the future"
    assert HEBREW.term("state", "failed") == "נכשלה"
    assert ENGLISH.term("state", "available") == "waiting"
    assert ENGLISH.term("state", None) == ""


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("he", "he"),
        ("he-IL,he;q=0.9,en;q=0.8", "he"),
        ("en-GB,en;q=0.9,he;q=0.8", "en"),
        ("fr;q=1.0, he;q=0.4, en;q=0.3", "he"),
        ("iw", "he"),
        ("de, fr", "en"),
        ("he;q=x, en;q=0.1", "en"),
        ("he;q=0", "en"),
    ],
)
def test_the_browsers_language_is_taken_where_we_have_it(header: str, language: str) -> None:
    """The best liked of our languages; English where there is none of them."""
    assert accepted_language(header) == language


def test_an_unknown_language_is_english() -> None:
    """A cookie of somebody's making does not break the page."""
    assert translator("../../etc/passwd").language == "en"
    assert set(LANGUAGES) == {"en", "he"}
    assert (HEBREW.direction, ENGLISH.direction) == ("rtl", "ltr")


# --- times and counts --------------------------------------------------------------------------------------

NOW_MS = 1_790_000_000_000  # 2026-09-21 14:13:20 UTC


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0, "0 s"),
        (0.04, "40 ms"),
        (1.52, "1.5 s"),
        (12.9, "12 s"),
        (119.9, "119 s"),
        (120, "2 min"),
        (7199, "119 min"),
        (7200, "2 h"),
        (86_400 * 2, "2 days"),
    ],
)
def test_a_span_is_told_in_the_unit_that_says_it_best(seconds: float | None, text: str) -> None:
    """Rounded down, so that nothing is said to have lasted longer than it did."""
    assert Shown(ENGLISH).duration(seconds) == text


@pytest.mark.parametrize(
    ("iso", "text"),
    [
        ("2026-09-21T14:13:19.000Z", "now"),
        ("2026-09-21T14:13:00.500Z", "19 s ago"),
        ("2026-09-21T14:10:20Z", "3 min ago"),
        ("2026-09-21T16:13:20+00:00", "in 2 h"),
        ("2026-09-21T14:17:00Z", "in 4 min"),
        ("2026-12-20T13:00:00Z", "in 90 days"),
        ("2026-12-20T01:00:00Z", "in 89 days"),
        ("2026-06-23T15:13:20Z", "89 days ago"),
        (None, "–"),
        ("not a time", "–"),
    ],
)
def test_an_instant_is_told_by_how_long_ago_it_is(iso: str | None, text: str) -> None:
    """Past: rounded down; to come: to the nearest, for 90 days are 90 a second after; what is no instant is a dash."""
    assert Shown(ENGLISH).ago(iso, NOW_MS) == text


def test_instants_and_numbers_are_written_the_same_in_every_language() -> None:
    """In UTC and with their thousands set apart."""
    assert absolute("2026-09-21T17:13:20.123+03:00") == "2026-09-21 14:13:20 UTC"
    assert clock_time("2026-09-21T17:13:20+03:00") == "14:13"
    assert (absolute(None), clock_time("x"), count(None), decimal(None)) == ("–", "–", "–", "–")
    assert (count(1234567), decimal(12.0), decimal(1234.56)) == ("1,234,567", "12", "1,234.6")


@pytest.mark.parametrize(
    ("text", "is_link"),
    [
        ("https://partner.example/onboarding/1", True),
        ("http://partner.example", True),
        ("javascript:alert(1)", False),
        ("JaVaScRiPt://partner.example/%0aalert(1)", False),
        ("data:text/html,<script>alert(1)</script>", False),
        ("//partner.example", False),
        ("https:///nowhere", False),
        ("https://partner.example/ a", False),
        ("java\tscript:alert(1)", False),
        ("https://[broken", False),
        (None, False),
    ],
)
def test_only_web_addresses_are_made_links(text: str | None, is_link: bool) -> None:
    """What a partner calls a link is one only where following it opens a web page."""
    assert (web_link(text) is not None) == is_link


def test_a_locale_without_tables_says_everything_in_english() -> None:
    """An empty file is a language that lacks all its texts."""
    empty: dict[str, Any] = {}
    made = from_tables("he", empty)
    assert isinstance(made, Translator)
    assert made.gettext("Jobs") == "Jobs"
    assert made.direction == "rtl"
