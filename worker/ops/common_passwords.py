"""Which long passwords are among the first that a guesser tries: well-known words, rows of keys, repetitions.

No list of a million passwords: almost none of them has twelve letters. Those that have are put together in a few ways.
"""

from __future__ import annotations

import re

_WORDS = (
    "abc access account admin administrator autumn baseball batman changeme computer console dashboard default demo dragon"
    " facebook flower football friday freedom google guest hallo hello iloveyou instagram internet israel jerusalem january"
    " february march april june july august september october november december jesus login letmein love manager"
    " master michael monday monkey mustang my ninja office onboarding operator pass passwd passwort"
    " password pokemon princess qazwsx qwerty root saturday secret secure server shadow shalom spring starwars summer sunday"
    " sunshine superman superuser support system telaviv temp temporary test tester testing the this thursday trustno"
    " tuesday user viewer wednesday welcome whatever whatsapp winter linkferry"
    " סיסמה סיסמא שלום ישראל מנהל ברוכים הבאים בדיקה"
)
_ROWS = (
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiopasdfghjklzxcvbnm",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
    "1q2w3e4r5t6y7u8i9o0p",
    "אבגדהוזחטיכלמנסעפצקרשת",
)
_LEAST_ROW = 4  #: letters that say nothing more once the row is known
_SHORT_PIECE = 7  #: letters of a piece that is soon guessed, and its repetitions with it
_LEET = str.maketrans("0134578@$!", "oleastbasi")
_no_letters = re.compile(r"[\W\d_]+")
_around = re.compile(r"\A[\W\d_]+|[\W\d_]+\Z")


def is_common(password: str) -> bool:
    """Tell whether a guesser comes to *password* soon, however long it is."""
    plain = password.casefold()
    if _is_in_rows(plain) or _is_repetition(plain):
        return True
    # What stands for a letter does so inside of a word; a year at its end is no word.
    writings = (plain, _around.sub("", plain).translate(_LEET))
    return any(_is_known(_no_letters.sub("", each)) for each in writings)


def _is_known(letters: str) -> bool:
    return _is_of_words(letters) or (len(letters) >= _LEAST_ROW and _is_in_rows(letters))


def _is_of_words(letters: str) -> bool:
    """Tell whether *letters* are known words and nothing else, however often."""
    # No pattern: it would try all ways to divide them; and Python before 3.11.5 errs where it is told not to.
    ends = {0}  # up to where there are words alone
    for at in range(len(letters)):
        if at in ends:
            ends |= {at + len(word) for word in _WORDS.split() if letters.startswith(word, at)}
    return bool(letters) and len(letters) in ends


def _is_in_rows(text: str) -> bool:
    """Tell whether *text* goes along one row of keys or an alphabet, back or forth, from its end to its beginning again."""
    digits = "1234567890" * 3
    rows = (row * 2 for row in _ROWS)
    return any(text in row or text in row[::-1] for row in (digits, digits.replace("90", "9"), *rows))


def _is_repetition(text: str) -> bool:
    """Tell whether *text* is one short piece over and over."""
    period = (text + text).find(text, 1)
    return period <= min(len(text) // 2, _SHORT_PIECE)
