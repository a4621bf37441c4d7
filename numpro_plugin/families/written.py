"""Texts that are written before frames: which are allowed, how they become tokens, and how many."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpro_plugin.encoding import TimeEncoding

Blocks = Literal["frame", "pair"]
"""How many frames stand behind a written text. ``frame``: each has tokens of its own. ``pair``: frames that share their tokens without
texts share them with texts too, behind the first one's text."""

_TOKEN = re.compile(r"\d| ?[^\W\d_]+|[^\w\s]|\s|_")


class Around(NamedTuple):
    """What a family puts around the video tokens of a frame that a text stands before."""

    before: str = ""
    after: str = ""


def check_blocks(blocks: str, model_type: str, *, shares_tokens: bool) -> None:
    """Check an option of a family.

    Raises:
        NumProError: an unknown word, or ``pair`` where every frame has tokens of its own.
    """
    if blocks not in get_args(Blocks):
        raise NumProError(f"blocks={blocks!r} is unknown; allowed: {', '.join(get_args(Blocks))}")
    if blocks == "pair" and not shares_tokens:
        raise NumProError(f"blocks=pair is not possible: {model_type} gives every frame tokens of its own; leave blocks out")


def check_encoding(encoding: TimeEncoding, model_type: str, *, writes_texts: bool, blocks: Blocks) -> None:
    """Check that a family can show time in this way.

    Raises:
        NumProError: it has no place for texts between frames, or two grids would share their tokens.
    """
    if encoding.text != "native" and not writes_texts:
        raise NumProError(
            f"encoding {encoding.name} writes text={encoding.text} before each frame, but {model_type} has no place for text between "
            "frames: use an encoding with text=native, for example number or seconds"
        )
    if encoding.grid is not None and blocks == "pair":
        raise NumProError(
            f"encoding {encoding.name} shows grids, and with blocks=pair two grids would share their tokens: use blocks=frame"
        )


def check_texts(texts: Sequence[str], pictures: int, model_type: str, *, writes_texts: bool) -> None:
    """Check that there is one text for each picture.

    Raises:
        NumProError: there is not, or the family has no place for texts.
    """
    if not writes_texts:
        raise NumProError(f"{model_type} has no place for text between frames: use an encoding with text=native")
    if len(texts) != pictures:
        raise NumProError(f"{len(texts)} texts were given for {pictures} frames: every frame or grid needs one, which may be empty")


def prompt_ids(prompt: str, texts: Sequence[str], repeat: int, processor: Any, around: Around, closing: int) -> list[int]:
    """Token ids of a prompt whose video has a text before each group of video tokens.

    Each text is tokenized on its own, so that equal texts are equal tokens wherever they stand.

    Args:
        prompt: with the processor's video token once.
        texts: one for each group.
        repeat: video tokens of a group.
        processor: the model's.
        around: the marks around each group. They replace those that the chat template puts around the whole video.
        closing: video tokens after the last group.
    """

    def ids_of(part: str) -> list[int]:
        return list(processor.tokenizer(part, add_special_tokens=False)["input_ids"]) if part else []

    whole = around.before + processor.video_token + around.after
    opening, rest = prompt.split(whole if whole in prompt else processor.video_token)
    group = [*ids_of(around.before), *[processor.video_token_id] * repeat, *ids_of(around.after)]
    ids = list(processor.tokenizer(opening)["input_ids"])
    for text in texts:
        ids += ids_of(text) + group
    return ids + [processor.video_token_id] * closing + ids_of(rest)


def estimated_tokens(texts: Sequence[str]) -> int:
    """How many tokens texts are, by the rules of the Qwen tokenizers: a digit, a sign and a word with the space before it are one each."""
    return sum(len(_TOKEN.findall(text)) for text in texts)
