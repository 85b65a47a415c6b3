"""How words sound, as codes that are equal for words that sound alike; null has no code.

SOUNDEX in German is the Kölner Phonetik, as the documentation has it.
"""

from __future__ import annotations

from typing import Any, Final

from .. import phonetics
from .arguments import a_text
from .registry import FunctionError, function

MOST_LETTERS: Final = 1_000


def _word(value: Any) -> str | None:
    if value is None:
        return None
    text = a_text(value)
    if len(text) > MOST_LETTERS:
        raise FunctionError(f"a text of more than {MOST_LETTERS} characters has no code")
    return text


@function("SOUNDEX", least=1, most=2)
def soundex(text: Any, locale: Any = "en") -> str | None:
    """Give the Soundex code of a word in a language, English if none is given."""
    language = a_text("en" if locale is None else locale, 2).lower().replace("_", "-").partition("-")[0]
    if language not in phonetics.LOCALES:
        raise FunctionError(
            f"{locale[:20]!r} is no language here; the languages are {', '.join(phonetics.LOCALES)}"
        )
    word = _word(text)
    return None if word is None else phonetics.soundex(word, language)


@function("METAPHONE", least=1, most=1)
def metaphone(text: Any) -> str | None:
    """Give the Metaphone code of an English word."""
    word = _word(text)
    return None if word is None else phonetics.metaphone(word)


@function("DOUBLE_METAPHONE", least=1, most=1)
def double_metaphone(text: Any) -> list[str] | None:
    """Give both codes of a name: as English says it, and as its own language may."""
    word = _word(text)
    return None if word is None else list(phonetics.double_metaphone(word))


@function("COLOGNE", "COLOGNE_PHONETIC", least=1, most=1)
def cologne(text: Any) -> str | None:
    """Give the code of a German word after the Kölner Phonetik."""
    word = _word(text)
    return None if word is None else phonetics.cologne(word)


@function("CAVERPHONE", least=1, most=1)
def caverphone(text: Any) -> str | None:
    """Give the Caverphone 2.0 code of a name."""
    word = _word(text)
    return None if word is None else phonetics.caverphone(word)


@function("NYSIIS", least=1, most=1)
def nysiis(text: Any) -> str | None:
    """Give the NYSIIS code of a name."""
    word = _word(text)
    return None if word is None else phonetics.nysiis(word)
