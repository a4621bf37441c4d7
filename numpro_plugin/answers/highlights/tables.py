"""Frames and scores in rows and columns, written out as "frame 3, score 4.5"."""

from __future__ import annotations

import re

_TWO_COLUMNS = re.compile(r"\s*(?P<frame>\d{1,6})(?: ?[,;\t] ?| |\. )(?P<score>\d\d?(?:\.\d+)?)\s*")


def rows_without_heading(text: str) -> str:
    """Lines that are all "3,4" with rising first numbers as "frame 3, score 4"; a semicolon may end a line."""
    lines = text.strip(" \n;").split("\n")
    if len(lines) == 1:
        lines = re.split("; ?" if ";" in text else ", (?=\\d+ )", lines[0])
    rows = [_TWO_COLUMNS.fullmatch(line) for line in lines]
    pairs = [(int(row["frame"]), row["score"]) for row in rows if row]
    frames = [frame for frame, _ in pairs]
    counted = frames == list(range(1, len(frames) + 1)) and ". " in text  # "1. 4.5" counts the scores
    if len(pairs) < max(2, len(rows)) or frames != sorted(set(frames)) or counted:
        return text
    return "\n".join(f"frame {frame}, score {score}" for frame, score in pairs)


def without_columns(text: str) -> str:
    """The rows under a heading "frame,score" as "frame 3, score 4.0"."""
    lines: list[str] = []
    columns: tuple[str, int, int, int] | None = None
    for line in text.split("\n"):
        if columns is None and (heading := re.match(r"[^\d.:,;\t]{0,40}([,;\t])[^\d.:]*$", line)):
            cells = line.split(heading[1])
            here = [next((k for k, cell in enumerate(cells) if re.search(word, cell)), -1) for word in ("frame", "score|salien")]
            if min(here) >= 0 and here[0] != here[1]:
                columns = (heading[1], here[0], here[1], len(cells))
                continue
        cells = line.split(columns[0]) if columns else []
        if columns and len(cells) >= columns[3] and re.match(r"\W*\d", cells[columns[1]]):
            lines.append(f"frame {cells[columns[1]].strip()}, score {cells[columns[2]].strip()}")
        else:
            lines.append(line)
    return "\n".join(lines)


def without_tables(text: str) -> str:
    """Write the rows under a heading "| Frame | Score |" as "frame 3, score 4.5"."""
    lines, columns = [], (-1, -1)
    for line in text.split("\n") if "|" in text else [text]:
        cells = line.strip("| ").split("|")
        here = [next((i for i, cell in enumerate(cells) if re.search(word, cell)), -1) for word in ("frame", "score|salien")]
        if (
            len(cells) > 2 and re.search("frame|score|salien", cells[0]) and re.fullmatch(r"[\d. ]+", "".join(cells[1:]))
        ):  # a row of frames, a row of scores
            lines.append(f"{cells[0].strip()} {', '.join(cell.strip() for cell in cells[1:])}")
        elif -1 < here[0] != here[1] > -1 and not re.search(r"\d", line):
            columns = (here[0], here[1])
        elif -1 < max(columns) < len(cells):
            lines.append(f"frame {cells[columns[0]]}, score {cells[columns[1]]}")
        else:
            lines.append(line)
            columns = (-1, -1)
    return "\n".join(lines)
