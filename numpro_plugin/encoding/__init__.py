"""How time is shown and asked for: the record and its presets (`record`), how people write it (`parsing`), marks and grids."""

from numpro_plugin.encoding.grid import Grid
from numpro_plugin.encoding.marks import MarkKind, mark_of
from numpro_plugin.encoding.parsing import encoding_of, parse_encoding, parse_encodings
from numpro_plugin.encoding.record import NUMBER, PLAIN, PRESETS, AnswerUnit, TimeEncoding, drawn_kind

__all__ = [
    "NUMBER",
    "PLAIN",
    "PRESETS",
    "AnswerUnit",
    "Grid",
    "MarkKind",
    "TimeEncoding",
    "drawn_kind",
    "encoding_of",
    "mark_of",
    "parse_encoding",
    "parse_encodings",
]
