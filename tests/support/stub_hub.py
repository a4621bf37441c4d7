"""The hub's client, answering from memory: repositories by name, with their files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any


@dataclass
class StubHub:
    """``fail``: what the next commits raise, in this order; None lets one pass."""

    private: dict[str, bool] = field(default_factory=dict)
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    fail: list[Exception | None] = field(default_factory=list)

    def create_repo(self, name: str, *, private: bool, exist_ok: bool) -> None:
        assert exist_ok
        self.private.setdefault(name, private)

    def model_info(self, name: str) -> Any:
        return SimpleNamespace(private=self.private[name])

    def create_commit(self, name: str, operations: list[Any], *, commit_message: str) -> Any:
        if self.fail and (error := self.fail.pop(0)):
            raise error
        for add in operations:
            content = add.path_or_fileobj
            self.files.setdefault(name, {})[add.path_in_repo] = content if isinstance(content, bytes) else Path(content).read_bytes()
        return SimpleNamespace(commit_url=f"https://hub/{name}/commit/1")
