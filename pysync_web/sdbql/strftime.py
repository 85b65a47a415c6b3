"""``%Y-%m-%d`` and the like: the specifiers of strftime as Rust's chrono has them, with English names.

The platform's own ``strftime`` is not asked: it differs between systems, and a page's is yet another.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from .moments import EPOCH, MomentError

MAX_FORMAT: Final = 1000

DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTH_NAMES: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)

_SPECIFIER = re.compile(r"%([-_0]?)(\.[369]?f|[369]f|:z|.)?", re.DOTALL)

# Numbers: how they are made, how wide they are written, and what fills them up.
NUMBERS: Final[dict[str, tuple[Callable[[datetime], int], int, str]]] = {
    "Y": (lambda t: t.year, 4, "0"),
    "C": (lambda t: t.year // 100, 2, "0"),
    "y": (lambda t: t.year % 100, 2, "0"),
    "m": (lambda t: t.month, 2, "0"),
    "d": (lambda t: t.day, 2, "0"),
    "e": (lambda t: t.day, 2, " "),
    "w": (lambda t: t.isoweekday() % 7, 1, "0"),
    "u": (lambda t: t.isoweekday(), 1, "0"),
    "U": (lambda t: (t.timetuple().tm_yday + 6 - t.isoweekday() % 7) // 7, 2, "0"),
    "W": (lambda t: (t.timetuple().tm_yday + 6 - t.weekday()) // 7, 2, "0"),
    "G": (lambda t: t.isocalendar().year, 4, "0"),
    "g": (lambda t: t.isocalendar().year % 100, 2, "0"),
    "V": (lambda t: t.isocalendar().week, 2, "0"),
    "j": (lambda t: t.timetuple().tm_yday, 3, "0"),
    "q": (lambda t: (t.month + 2) // 3, 1, "0"),
    "H": (lambda t: t.hour, 2, "0"),
    "k": (lambda t: t.hour, 2, " "),
    "I": (lambda t: (t.hour + 11) % 12 + 1, 2, "0"),
    "l": (lambda t: (t.hour + 11) % 12 + 1, 2, " "),
    "M": (lambda t: t.minute, 2, "0"),
    "S": (lambda t: t.second, 2, "0"),
    "s": (lambda t: (t - EPOCH) // timedelta(seconds=1), 1, "0"),
    "f": (lambda t: t.microsecond * 1000, 9, "0"),
}
WORDS: Final[dict[str, Callable[[datetime], str]]] = {
    "a": lambda t: DAYS[t.weekday()][:3],
    "A": lambda t: DAYS[t.weekday()],
    "b": lambda t: MONTH_NAMES[t.month - 1][:3],
    "h": lambda t: MONTH_NAMES[t.month - 1][:3],
    "B": lambda t: MONTH_NAMES[t.month - 1],
    "p": lambda t: "AM" if t.hour < 12 else "PM",
    "P": lambda t: "am" if t.hour < 12 else "pm",
    "Z": lambda t: t.tzname() or "",
    "z": lambda t: _offset(t, ""),
    ":z": lambda t: _offset(t, ":"),
    ".f": lambda t: f".{t.microsecond:06}".removesuffix("000") if t.microsecond else "",
    ".3f": lambda t: f".{t.microsecond // 1000:03}",
    ".6f": lambda t: f".{t.microsecond:06}",
    ".9f": lambda t: f".{t.microsecond:06}000",
    "3f": lambda t: f"{t.microsecond // 1000:03}",
    "6f": lambda t: f"{t.microsecond:06}",
    "9f": lambda t: f"{t.microsecond:06}000",
    "n": lambda _: "\n",
    "t": lambda _: "\t",
    "%": lambda _: "%",
}
LONGER: Final = {
    "D": "%m/%d/%y",
    "x": "%m/%d/%y",
    "F": "%Y-%m-%d",
    "v": "%e-%b-%Y",
    "R": "%H:%M",
    "T": "%H:%M:%S",
    "X": "%H:%M:%S",
    "r": "%I:%M:%S %p",
    "c": "%a %b %e %H:%M:%S %Y",
    "+": "%Y-%m-%dT%H:%M:%S%.f%:z",
}
FILLS: Final = {"-": "", "_": " ", "0": "0"}


def formatted(clock: datetime, text: str) -> str:
    """Write a clock's time by a format."""
    if len(text) > MAX_FORMAT:
        raise MomentError(f"a format of more than {MAX_FORMAT} characters")
    return _SPECIFIER.sub(lambda found: _part(clock, found[1], found[2] or ""), text)


def _part(clock: datetime, fill: str, name: str) -> str:
    if name in LONGER and not fill:
        return formatted(clock, LONGER[name])
    if name in NUMBERS:
        make, width, usual = NUMBERS[name]
        chosen = FILLS.get(fill, usual)
        return str(make(clock)).rjust(width, chosen) if chosen else str(make(clock))
    if name in WORDS and not fill:
        return WORDS[name](clock)
    raise MomentError(f"%{fill}{name} is no part of a format; write %% for a percent sign")


def _offset(clock: datetime, between: str) -> str:
    minutes = round((clock.utcoffset() or timedelta()).total_seconds() / 60)
    sign = "-" if minutes < 0 else "+"
    return f"{sign}{abs(minutes) // 60:02}{between}{abs(minutes) % 60:02}"
