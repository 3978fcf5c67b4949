"""An operator's own templates: refused by file, line and reason before a customer could read them."""

from __future__ import annotations

import hashlib
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from linkferry.doctor import Level
from linkferry.doctor_templates import look_at_folder
from worker.dispatch import BadTemplateError, Composer
from worker.dispatch.compose_templates import (
    HTML_TEMPLATE,
    TEXT_TEMPLATE,
    VERSION,
    MailTemplate,
    export_templates,
)
from worker.dispatch.compose_trial import prove
from worker.dispatch.preview import BARE_BRAND, FIXTURES, SAMPLE_SENDER, previewed
from worker.dispatch.wording_file import LOCALES, SHIPPED_TEMPLATES
from worker.main import build_composer
from worker.settings import SettingsError, load_settings

_HEAD = "version = 2\n"


def _refused(folder: Path) -> BadTemplateError:
    with pytest.raises(BadTemplateError) as caught:
        prove(Composer(folder, sender=SAMPLE_SENDER))
    return caught.value


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ('version = 2\n[mail]\ngreeting = "Dear {nmae},"\n', 3, "mail.greeting has {nmae}"),
        ('version = 2\n[mail]\ngreeting = "Dear {name"\n', 3, "brace too many or too few"),
        ('version = 2\n[mail]\ngreeting = "Dear {name:>9}"\n', 3, "mail.greeting has {name}"),
        ('version = 2\n[mail]\ngreetings = "Dear {name},"\n', 3, "did you mean mail.greeting"),
        ('version = 2\n[products."facebook:1"]\nbutton = "{number}"\n', 3, "what can stand there: none"),
        ('version = 2\n[sms]\n\nline = "{label}"\n', 4, "must hold {link}"),
        ('version = 2\n[sms]\nline = "{link}{label}"\n', 3, "a space on both sides of {link}"),
        ('version = 2\n[sms]\nline = "{label} ({link})"\n', 3, "a space on both sides of {link}"),
        ('version = 2\n[subject]\none = " "\n', 3, "subject.one is empty"),
        ('version = 2\n[products.whatsapp]\nbutton = ""\n', 3, "button is empty"),
        ('version = 2\n[mail]\nsteps = "one"\n', 3, "must be a list of texts"),
        ('version = 2\nmonths = ["January"]\n', 2, "must hold 12 texts"),
        ('version = 2\ndirection = "up"\n', 2, "must be rtl or ltr"),
        ('version = 2\n[products.whatsapp]\nminutes = "ten"\n', 3, "whole number"),
        ('version = 2\n[mail]\nfooter = "See https://acme.example"\n', 3, "holds a web address"),
        ('version = 2\n[mail]\ngreeting = "Dear\n', 3, "is no TOML"),
        ("[mail\n", 1, "is no TOML"),
        ("version = 99\n", 1, "this Linkferry knows 1 to 2"),
        ('version = "2"\n', 1, "this Linkferry knows 1 to 2"),
    ],
)
def test_a_broken_wording_is_refused_with_its_line(tmp_path: Path, text: str, line: int, reason: str) -> None:
    """Names that nobody fills in, braces left open, misspelt keys, wrong kinds, other addresses, no TOML at all."""
    (tmp_path / "en.toml").write_text(text, encoding="utf-8")

    fault = _refused(tmp_path)

    assert fault.path == tmp_path / "en.toml"
    assert fault.line == line
    assert reason in str(fault)


def test_a_wording_that_is_no_utf8_is_refused_with_its_line(tmp_path: Path) -> None:
    """As old editors save Hebrew."""
    (tmp_path / "he.toml").write_bytes(_HEAD.encode() + b"[mail]\n" + 'greeting = "שלום"\n'.encode("cp1255"))

    fault = _refused(tmp_path)

    assert fault.line == 3
    assert "UTF-8" in fault.reason


@pytest.mark.parametrize(
    ("name", "text", "line", "reason"),
    [
        (HTML_TEMPLATE, "<p>\n{% for x in products %}\n", 2, "Unexpected end of template"),
        (HTML_TEMPLATE, "<p>\n\n{{ brnad }}\n", 3, "'brnad' is undefined"),
        (TEXT_TEMPLATE, "{{ greeting }}\n{{ products.foo.bar }}", 2, "has no attribute 'foo'"),
        (TEXT_TEMPLATE, "a\nb\n{{ 1 // 0 }}", 3, "ZeroDivisionError"),
        (TEXT_TEMPLATE, "{{ products[0].link }}", None, "leaves a link"),
        (HTML_TEMPLATE, '<a href="https://x.example/">x</a>', None, "leaves a link"),
        (TEXT_TEMPLATE, "{# Template of Linkferry, version 7 #}", 1, "knows 1 to 2"),
    ],
)
def test_a_broken_layout_is_refused_with_its_line(
    tmp_path: Path, name: str, text: str, line: int | None, reason: str
) -> None:
    """Found by trying every variant: what is not closed, not there, not whole or not ours."""
    (tmp_path / name).write_text(text, encoding="utf-8")

    fault = next(each for each in look_at_folder(tmp_path) if each.level is Level.BAD)

    assert str(tmp_path / name) in fault.text
    assert reason in fault.text
    if line is not None:
        assert f"line {line}" in fault.text


def test_what_is_no_file_is_refused_and_not_passed_over(tmp_path: Path) -> None:
    """A folder of that name, or a link that leads nowhere."""
    (tmp_path / "he.toml").mkdir()
    assert _refused(tmp_path).path == tmp_path / "he.toml"
    (tmp_path / "he.toml").rmdir()
    (tmp_path / TEXT_TEMPLATE).symlink_to(tmp_path / "gone")

    assert "is no file" in _refused(tmp_path).reason


def test_a_folder_in_which_nothing_is_read_is_told_of(tmp_path: Path) -> None:
    """`he.toml.txt`, as some editors name it."""
    (tmp_path / "he.toml.txt").write_text(_HEAD)

    [finding] = look_at_folder(tmp_path)

    assert finding.level is Level.WARN
    assert "he.toml" in finding.text


def test_a_byte_order_mark_is_no_part_of_a_mail(tmp_path: Path) -> None:
    """Some editors put one at the beginning of every file."""
    shipped = (SHIPPED_TEMPLATES / TEXT_TEMPLATE).read_text(encoding="utf-8")
    (tmp_path / TEXT_TEMPLATE).write_text(shipped, encoding="utf-8-sig")
    composer = Composer(tmp_path, sender=SAMPLE_SENDER)

    assert (
        "\ufeff" not in previewed(composer, FIXTURES["whatsapp"].delivery("en"), brand=BARE_BRAND).mail.text
    )


def test_curly_quotes_in_own_words_cost_no_part(tmp_path: Path) -> None:
    """An English text of GSM-7 letters stays one."""
    (tmp_path / "en.toml").write_text('version = 2\n[sms]\nfull = "{brand} – ‘{business}’, {what}"\n')
    composer = Composer(tmp_path, sender=SAMPLE_SENDER)
    sms = previewed(composer, FIXTURES["whatsapp"].delivery("en"), brand=BARE_BRAND).sms

    assert "Acme - 'Dana's Flowers Ltd.'," in sms.text
    assert sms.segments == 1


def test_a_worker_does_not_start_with_a_broken_template(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The setting, the file, the line and the reason, in one message; a folder that is none likewise."""
    (tmp_path / "en.toml").write_text('version = 2\n[mail]\nfooter = "{bran}"\n')
    monkeypatch.chdir(tmp_path)
    for folder, said in (
        (tmp_path, "en.toml, line 3: mail.footer has {bran}"),
        (tmp_path / "x", "is no folder"),
    ):
        monkeypatch.setenv("LINKFERRY_TEMPLATES_DIR", str(folder))

        with pytest.raises(SettingsError, match="LINKFERRY_TEMPLATES_DIR") as caught:
            build_composer(load_settings(), SAMPLE_SENDER)

        assert said in str(caught.value)


def test_an_own_wording_says_only_what_it_wants_otherwise(tmp_path: Path) -> None:
    """All else reads as shipped."""
    (tmp_path / "en.toml").write_text('version = 2\n[mail]\ngreeting = "Dear {name},"\n')
    composer = Composer(tmp_path, sender=SAMPLE_SENDER)
    prove(composer)
    text = previewed(composer, FIXTURES["whatsapp"].delivery("en"), brand=BARE_BRAND).mail.text

    assert "Dear Dana Levi," in text
    assert "Just answer this e-mail" in text


def test_files_of_an_older_version_serve_and_doctor_says_what_changed(tmp_path: Path) -> None:
    """Before versions were written down it was 1: what is gone is not read, what is new reads as shipped."""
    (tmp_path / "en.toml").write_text('[mail]\ngreeting = "Dear {name},"\nheading_further = "More"\n')
    (tmp_path / TEXT_TEMPLATE).write_text("{{ greeting }}{% for p in products %} {{ p.link }} {% endfor %}")

    prove(Composer(tmp_path, sender=SAMPLE_SENDER))
    findings = list(look_at_folder(tmp_path))

    assert [each.level for each in findings] == [Level.WARN, Level.WARN]
    assert "made for version 1 of the shipped file, which has version 2" in findings[0].text
    assert "nobody reads mail.heading_further any more" in findings[0].text
    assert "it says nothing of" in findings[0].text
    assert "access" in findings[1].text


def test_what_is_exported_serves_and_is_not_outdated(tmp_path: Path) -> None:
    """And a second export overwrites nothing."""
    written = export_templates(tmp_path / "own")

    assert [each.level for each in look_at_folder(tmp_path / "own")] == [Level.OK]
    assert {each.name for each in written} == {"he.toml", "en.toml", HTML_TEMPLATE, TEXT_TEMPLATE}
    with pytest.raises(FileExistsError):
        export_templates(tmp_path / "own")


def test_trying_all_variants_takes_a_moment_only(tmp_path: Path) -> None:
    """A worker's start is not to be felt. Measured at 60 ms; ten times that on a busy machine."""
    export_templates(tmp_path / "own")
    composer = Composer(tmp_path / "own", sender=SAMPLE_SENDER)
    began = time.process_time()
    prove(composer)

    assert time.process_time() - began < 0.6


def _flat(table: dict[str, Any], above: str = "") -> Iterator[str]:
    for key, value in table.items():
        yield from _flat(value, f"{above}{key}.") if isinstance(value, dict) else [above + key]


def test_both_languages_say_the_same_things_at_the_same_version() -> None:
    """A text that one of them lacks would be missed by its customers alone."""
    he, en = (tomllib.loads((SHIPPED_TEMPLATES / f"{locale}.toml").read_text()) for locale in LOCALES)

    assert list(_flat(he)) == list(_flat(en))
    assert he["version"] == en["version"] == VERSION
    assert MailTemplate(HTML_TEMPLATE).version == MailTemplate(TEXT_TEMPLATE).version == VERSION


def test_a_change_of_what_templates_are_given_raises_their_version() -> None:
    """Own files are told apart by it: raise `version` in all four files, then write the new mark here."""
    keys = list(_flat(tomllib.loads((SHIPPED_TEMPLATES / "en.toml").read_text())))
    names = sorted(MailTemplate(HTML_TEMPLATE).names | MailTemplate(TEXT_TEMPLATE).names)
    mark = hashlib.sha256("\n".join(sorted(keys) + names).encode()).hexdigest()[:12]

    assert (MailTemplate(HTML_TEMPLATE).version, mark) == (2, "241039d93193")
