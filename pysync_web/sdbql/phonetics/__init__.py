"""Codes of how words sound, each after its published description; all take any text and look at its letters only."""

from __future__ import annotations

from .caverphone import caverphone
from .cologne import cologne
from .double_metaphone import double_metaphone
from .metaphone import metaphone
from .nysiis import nysiis
from .soundex import LOCALES, soundex

__all__ = ["LOCALES", "caverphone", "cologne", "double_metaphone", "metaphone", "nysiis", "soundex"]
