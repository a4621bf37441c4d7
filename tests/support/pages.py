"""The documentation as tests read it: code blocks, code in the text, commands, headings and links."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
SCRIPTS = tuple(sorted(f"examples/{path.name}" for path in (ROOT / "examples").glob("*.slurm")))

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_OPERATORS = {"&&", "||", "|", ";", "&"}
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_KEYWORDS = {"exit", "for", "do", "done", "set", "export", "source", "then", "fi", "if"}


@dataclass(frozen=True)
class Block:
    """A fenced block of code."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A command line of a shell block, without the variables that are set before it."""

    place: str
    words: tuple[str, ...]
    variables: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.place}: {shlex.join(self.words)}"


@cache
def text_of(page: str) -> str:
    """A page's source."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[Block]:
    """The page's fenced blocks in one language."""
    text = text_of(page)
    return [
        Block(page, text.count("\n", 0, match.start()) + 1, match[1], match[2]) for match in _BLOCK.finditer(text) if match[1] == language
    ]


def prose(page: str) -> str:
    """The page without its fenced blocks."""
    return _BLOCK.sub("", text_of(page))


def code_spans(page: str) -> list[str]:
    """Code within the page's text, line breaks as blanks."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(page))]


def commands(page: str) -> list[Command]:
    """The commands of a page's shell blocks, or of a shell script, in order."""
    sources = [(str(block), block.text) for block in blocks(page, "bash")] if page.endswith(".md") else [(page, text_of(page))]
    return [command for place, source in sources for command in _parse(place, source)]


def _parse(place: str, source: str) -> list[Command]:
    found = []
    joined = re.sub(r"\\\n\s*", " ", source)
    for line in re.sub(r"\$\w*TASK_ID", "0", joined).splitlines():
        if re.match(r"\s*\w+=\$\(", line):
            continue
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word not in _OPERATORS:
                words.append(word)
                continue
            if words and words[0] == "do":
                words = words[1:]
            variables = []
            while words and _ASSIGNMENT.match(words[0]):
                name, _, value = words.pop(0).partition("=")
                variables.append((name, value))
            if words and words[0] not in _KEYWORDS:
                found.append(Command(place, tuple(words), tuple(variables)))
            words = []
    return found


def headings(page: str) -> list[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#{1,6} (.+)$", prose(page), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles]


def links(page: str) -> list[str]:
    """The targets of a page's links and pictures."""
    return re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", prose(page)))


def table_with(page: str, head: str) -> list[list[str]]:
    """The rows below a table's head line that begins with ``head``, as cells."""
    lines = text_of(page).splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith(head)) + 2
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows
