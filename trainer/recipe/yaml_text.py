"""YAML that people write, read with limits: a few hundred bytes of it can stand for gigabytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from pathlib import Path

_LARGEST_BYTES = 200_000
_MOST_VALUES = 10_000
"""Keys, values and entries of lists, aliases written out. The longest lists are those of shards."""


def read_yaml(path: Path) -> Any:
    """The content of a YAML file.

    Raises:
        NumProError: not UTF-8, larger than 200 kB, or as for `parse_yaml`.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_BYTES + 1)
        if len(data) > _LARGEST_BYTES:
            raise NumProError(
                f"{path}: is larger than {_LARGEST_BYTES / 1e3:g} kB, too large for a recipe; name folders or patterns of shards"
            )
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise NumProError(f"{path}:{line}: is not UTF-8 (byte {data[error.start]:#04x}); save the recipe as UTF-8 text") from None
    return parse_yaml(text, str(path))


def parse_yaml(text: str, name: str) -> Any:
    """The value that a YAML text stands for.

    Args:
        text: one document, or nothing.
        name: for errors.

    Raises:
        NumProError: not YAML, a key that occurs twice, aliases that refer to themselves or stand for more than 10,000 values, or values
            that Python cannot hold.
    """
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _count(node, {}, name)
        return loader.construct_document(node)
    except NumProError:
        raise
    except yaml.YAMLError as error:
        raise NumProError(f"{name}: is not YAML ({' '.join(str(error).split())})") from None
    except RecursionError:
        raise NumProError(f"{name}: is nested too deeply") from None
    except ValueError as error:  # a date that does not exist, an integer of thousands of digits
        raise NumProError(f"{name}: holds a value that cannot be read ({error}); put text between quotation marks") from None


def _count(node: yaml.Node, counts: dict[int, int], name: str) -> int:
    """How many values a node stands for, with every alias written out; ``counts`` holds those of the nodes that were looked at."""
    if id(node) in counts:
        if not counts[id(node)]:
            raise NumProError(f"{_place(node, name)}: an alias refers to the value that it is part of; write the value out")
        return counts[id(node)]
    counts[id(node)] = 0
    children = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
    total = 1 + (sum(_count(child, counts, name) for child in children) if isinstance(node, yaml.CollectionNode) else 0)
    if total > _MOST_VALUES:
        raise NumProError(f"{_place(node, name)}: stands for more than {_MOST_VALUES:,} values; is an alias repeated over and over?")
    if isinstance(node, yaml.MappingNode):
        _check_keys(node, name)
    counts[id(node)] = total
    return total


def _check_keys(node: yaml.MappingNode, name: str) -> None:
    seen = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            if key.value in seen:
                raise NumProError(f"{_place(key, name)}: the key {key.value!r} occurs twice; keep one of them")
            seen.add(key.value)


def _place(node: yaml.Node, name: str) -> str:
    return f"{name}:{node.start_mark.line + 1}"
