"""What operators teach is laid over the catalogue, wins over the file, and never stops a worker."""

from __future__ import annotations

import pytest

from worker.domain.lessons import Lesson, LiveCatalogue, code_in
from worker.domain.reasons import Catalogue, Policy, ReasonClass, ReasonsFileError

FROZEN = Lesson(
    name="number_frozen",
    call="create_whatsapp",
    code=77,
    reason_class="bad_data",
    policy="discard",
    meaning="The number is frozen.",
    remedy="Ask for another.",
    is_own_data=True,
    by="cli:dana",
    at_ms=5,
)


def a_catalogue(*lessons: Lesson, base: Catalogue | None = None) -> LiveCatalogue:
    catalogue = LiveCatalogue(base or Catalogue.shipped())
    assert catalogue.take(lessons, version=1) == []
    return catalogue


def test_without_lessons_it_is_the_base() -> None:
    """Every look-up answers the same."""
    live, shipped = LiveCatalogue(Catalogue.shipped()), Catalogue.shipped()

    assert live.all() == shipped.all()
    assert live.codes() == shipped.codes()
    assert live.calls() == shipped.calls()
    assert live.for_code("create_whatsapp", 77) == shipped.for_code("create_whatsapp", 77)


def test_a_taught_code_has_its_name_class_and_policy() -> None:
    """For the call it was taught for, and no other."""
    reason = a_catalogue(FROZEN).for_code("create_whatsapp", 77)

    assert (reason.name, reason.reason_class, reason.policy) == (
        "number_frozen",
        ReasonClass.BAD_DATA,
        Policy.DISCARD,
    )
    assert reason.is_own_data
    assert a_catalogue(FROZEN).for_code("create_facebook", 77).name == "unknown_77"


def test_the_old_name_of_a_taught_code_is_described_too() -> None:
    """Jobs that failed before stand under `unknown_77` still."""
    assert a_catalogue(FROZEN).named("unknown_77").meaning == "The number is frozen."
    assert a_catalogue(FROZEN).named("unknown_78").reason_class is ReasonClass.UNKNOWN


def test_a_code_described_without_a_name_goes_by_it() -> None:
    """`reasons set unknown_77 --class …`: what it means is known, though it has no better name."""
    lesson = Lesson(
        name="unknown_77", reason_class="transient", policy="retry", meaning="Busy.", remedy="Wait."
    )
    reason = a_catalogue(lesson).for_code("create_facebook", 77)

    assert (reason.name, reason.policy) == ("unknown_77", Policy.RETRY)


def test_an_answer_without_a_code_can_be_taught() -> None:
    """`unknown_none` is a reason like others."""
    lesson = Lesson(
        name="unknown_none", reason_class="transient", policy="retry", meaning="Mute.", remedy="Wait."
    )

    assert a_catalogue(lesson).for_code("create_whatsapp", None).policy is Policy.RETRY


def test_a_code_can_be_given_a_name_that_is_known() -> None:
    """With all its words; what the lesson says besides is the code's alone."""
    lesson = Lesson(name="foreign_link", call="create_whatsapp", code=77, policy="discard")
    catalogue = a_catalogue(lesson)
    shipped = Catalogue.shipped().named("foreign_link")

    assert catalogue.for_code("create_whatsapp", 77).meaning == shipped.meaning
    assert catalogue.for_code("create_whatsapp", 77).policy is Policy.DISCARD
    assert catalogue.named("foreign_link") == shipped


def test_what_is_taught_wins_over_the_file() -> None:
    """And what the lesson leaves open stays the file's."""
    file = '[reasons.foreign_link]\nmeaning = "The file\'s."\nremedy = "The file\'s remedy."'
    catalogue = a_catalogue(
        Lesson(name="foreign_link", meaning="Taught."), base=Catalogue.shipped().with_overrides(file)
    )

    assert catalogue.named("foreign_link").meaning == "Taught."
    assert catalogue.named("foreign_link").remedy == "The file's remedy."


def test_each_reason_says_where_its_words_come_from() -> None:
    """Shipped, the operator's file, or somebody who taught it."""
    file = '[reasons.foreign_link]\nmeaning = "The file\'s."'
    catalogue = a_catalogue(FROZEN, base=Catalogue.shipped().with_overrides(file))

    assert catalogue.origin("number_frozen").kind == "taught"
    assert (catalogue.origin("number_frozen").by, catalogue.origin("number_frozen").at_ms) == ("cli:dana", 5)
    assert catalogue.origin("foreign_link").kind == "file"
    assert catalogue.origin("partner_timeout").kind == "shipped"


def test_a_lesson_that_only_names_a_code_does_not_claim_the_reason() -> None:
    """The reason's own words are still shipped."""
    lesson = Lesson(name="foreign_link", call="create_whatsapp", code=77)

    assert a_catalogue(lesson).origin("foreign_link").kind == "shipped"


def test_a_lesson_that_cannot_be_used_is_left_out_with_its_fault() -> None:
    """A word of a newer version, or a name that went away: the others hold."""
    catalogue = LiveCatalogue(Catalogue.shipped())
    broken = Lesson(name="other", reason_class="no_such", meaning="x", remedy="x")

    [(left_out, why)] = catalogue.take([broken, FROZEN], version=3)

    assert left_out is broken
    assert "reasons.other.class" in why
    assert catalogue.lessons == (FROZEN,)
    assert catalogue.version == 3
    assert catalogue.for_code("create_whatsapp", 77).name == "number_frozen"


def test_lessons_taken_anew_replace_all_that_were_taken() -> None:
    """One that was taken back no longer holds."""
    catalogue = a_catalogue(FROZEN)
    catalogue.take([], version=2)

    assert catalogue.for_code("create_whatsapp", 77).name == "unknown_77"
    assert catalogue.named("unknown_77").reason_class is ReasonClass.UNKNOWN
    assert catalogue.origin("number_frozen").kind == "shipped"


@pytest.mark.parametrize(
    ("lesson", "message"),
    [
        (Lesson(name="new_one"), "reasons.new_one.class: is missing, and new_one is a new reason"),
        (Lesson(name="Not Good", meaning="x"), "small letters"),
        (Lesson(name="foreign_link", call="create_whatsap", code=7), "did you mean create_whatsapp"),
        (Lesson(name="foreign_link", policy="dicard"), "did you mean discard"),
        (Lesson(name="foreign_link", meaning="  "), "must be a sentence"),
    ],
)
def test_a_lesson_is_read_like_an_entry_of_the_file(lesson: Lesson, message: str) -> None:
    """The same reader, the same words."""
    with pytest.raises(ReasonsFileError, match=message):
        LiveCatalogue(Catalogue.shipped()).try_out([lesson])


def test_a_lesson_is_read_back_as_it_was_written() -> None:
    """Who taught it and when stand beside its document."""
    again = Lesson.from_document(FROZEN.document(), by=FROZEN.by, why=FROZEN.why, at_ms=FROZEN.at_ms)

    assert again == FROZEN


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("unknown_77", 77),
        ("unknown_-5", -5),
        ("unknown_none", None),
        ("unknown_other", None),
        ("foreign_link", None),
        ("unknown_7x", None),
    ],
)
def test_the_code_is_read_out_of_a_groups_name(name: str, code: int | None) -> None:
    """Only where the name is made of one."""
    assert code_in(name) == code


def test_a_codes_old_name_gives_the_words_of_its_own_lesson() -> None:
    """Not those of the reason whose name it took, where the lesson says something else of the code."""
    catalogue = LiveCatalogue(Catalogue.shipped())
    lesson = Lesson(name="number_invalid", call="create_whatsapp", code=77, remedy="Ask once more.")
    catalogue.take([lesson], version=1)

    assert catalogue.named("unknown_77").name == "number_invalid"
    assert catalogue.named("unknown_77").remedy == "Ask once more."
    assert catalogue.named("number_invalid") == Catalogue.shipped().named("number_invalid")
