"""How times are written: seconds, minutes, hours and clocks, in several languages."""

from __future__ import annotations

from numpro_plugin.answers.languages import counted_words

NUMBER = r"\d{1,16}(?:\.\d{1,9})?"
JOINER = (
    r"(?:[-\u2010-\u2015\u2212~\u223c\u301c\u2192\u21d2\u279c]{1,3}>?|=>|\.{2,3}|(?:up )?(?:to|till?|until|through|thru|bis|hasta|à|a|al"
    r"|até|по|до|tot|do|đến)\b(?: the)?)"
)
"""What stands between the two ends of a range."""

_END = r"(?![a-z\d_])"
_MORE = r"(?![a-z_])"  # "1m05s"
_SECOND = (
    rf"(?:(?:seconds?|secs?|s|sekunden?|sekunder|sek|segundos?|seg|secondes?|secondi|secondo|seconden|sekund\w?|saniye|detik|giây"
    rf"|секунд\w{{0,3}}|сек|с){_END}|秒[钟鐘]?|초|सेकंड|ثانية|วินาที)"
)
_MINUTE = (
    rf"(?:(?:minutes?|mins?|m|minuten|minutos?|minuti|minuto|мин|минут\w{{0,3}}|dakika|menit|phút){_MORE}|分[钟鐘]?|분|นาที|मिनट|دقيقة)"
)
_HOUR = rf"(?:(?:hours?|hrs?|h|stunden?|horas?|heures?|uren|час\w{{0,2}}){_MORE}|小时|小時|時間|시간)"
_MS = rf"(?:milliseconds?|msecs?|ms){_END}"
_BETWEEN = r"(?:st|nd|rd|th)?[ -]?"  # "6 s", "6s", "6-second", "6th second"
_NEXT = r"(?: ?,)? ?(?:and )?"  # "1 minute and 5 seconds"
_REST = r"[0-5]?\d(?:\.\d{1,9})?"  # of an hour or minute: "1 minute and 65 seconds" are two times
_UNIT = rf"{_BETWEEN}(?:{_SECOND}|{_MINUTE}|{_HOUR}|{_MS})"

CLOCK = (
    r"(?<![\d:.a-z])(?:(?P<clock_h>\d{1,3}):)?(?P<clock_m>\d{1,3}):(?P<clock_s>[0-5]\d(?:[.,]\d{1,9})?)(?![\d:]| ?(?:am|pm|o.?clock)\b)"
    rf"(?: ?(?:{_SECOND}|{_MINUTE}|{_HOUR}))?"
)
"""``00:06``, ``1:00:06.5``."""
COUNTED = (
    rf"(?<![a-z_.\d])(?:第 ?)?(?:(?P<ms>{NUMBER}) ?{_MS}"
    rf"|(?={NUMBER}{_BETWEEN}(?:{_SECOND}|{_MINUTE}|{_HOUR}))"
    rf"(?:(?P<h>{NUMBER}){_BETWEEN}{_HOUR}(?:{_NEXT}(?={_REST}{_BETWEEN}(?:{_SECOND}|{_MINUTE})))?)?"
    rf"(?:(?P<m>{NUMBER}){_BETWEEN}{_MINUTE}(?:{_NEXT}(?={_REST}{_BETWEEN}{_SECOND}))?)?"
    rf"(?:(?P<s>{NUMBER}){_BETWEEN}{_SECOND})?)"
)
"""``6.5 s``, ``1 minute 5 seconds``."""
AFTER_UNIT = rf"\b(?:seconds?|secs?|timestamps?)(?: ?[:=#])? ?(?P<after>{NUMBER})(?!\d|[.:]\d|{_UNIT}|[%a-z_])"
"""``second 6``."""

_FACTORS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "after": 1.0}


def factor_of(group: str) -> float:
    """Seconds in the unit that a group of these patterns stands for."""
    return _FACTORS[group]


def as_numerals(text: str) -> str:
    """Number words before a unit of time, and before a range that ends in one, are numbers: "six to eighteen seconds"."""
    return counted_words(text, r"(?:seconds?|secs?|minutes?|mins?|hours?)\b")
