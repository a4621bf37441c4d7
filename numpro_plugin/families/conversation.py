"""A conversation as text, cut where answers begin and end: what is learned in training stands apart from what is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_SENTINEL = "\ue000"  # from Unicode's private use area: stands for an answer, which may itself be as short as a letter of "<|im_end|>"


class Piece(NamedTuple):
    """A part of a conversation, and whether it is learned in training."""

    text: str
    learned: bool


def conversation_pieces(turns: str | Sequence[Mapping[str, str]], processor: Any, end_of_answer: Callable[[str, Any], str]) -> list[Piece]:
    """The pieces of a conversation in order; the first one holds the video's token, once.

    Args:
        turns: a question, or turns ``{"role": ..., "content": ...}`` that alternate between user and assistant after any system turn.
        processor: the model's; its chat template renders the turns.
        end_of_answer: what closes an answer, given what the chat template puts there and the processor.

    Raises:
        NumProError: roles in another order, an answer that the chat template changes, or the video's token in a turn's text.
    """
    turns = [{"role": "user", "content": turns}] if isinstance(turns, str) else list(turns)
    roles = [turn["role"] for turn in turns if turn["role"] != "system"]
    if not roles or roles != ["user", "assistant"] * (len(roles) // 2) + ["user"] * (len(roles) % 2):
        raise NumProError(f"turns must alternate between 'user' and 'assistant', the user first; got the roles {roles}")
    first = [turn["role"] for turn in turns].index("user")
    messages = [_message(turn, video=k == first) for k, turn in enumerate(turns)]
    pieces, done = [], ""
    for k, turn in enumerate(turns):
        is_answer = turn["role"] == "assistant"
        if not is_answer and k + 1 < len(turns):
            continue
        prompt = _render(processor, messages[: k if is_answer else k + 1], ask=True)
        if not prompt.startswith(done):
            raise NumProError(
                "the chat template changes earlier turns when a later one follows: use the checkpoint's own chat template, or train on "
                "conversations of one question each"
            )
        pieces.append(Piece(prompt[len(done) :], False))
        if is_answer:
            done = _render(processor, messages[: k + 1], ask=False)
            closing = _render(processor, [*messages[:k], _message({**turn, "content": _SENTINEL}, video=False)], ask=False)
            closing = closing.rpartition(_SENTINEL)[2]
            if not turn["content"] or not done.endswith(turn["content"] + closing):
                raise NumProError(
                    f"the answer {turn['content']!r} is empty or the chat template changes it, so it cannot be learned: give an answer "
                    "without spaces or blank lines around it"
                )
            pieces += [Piece(turn["content"], True), Piece(end_of_answer(closing, processor), k + 1 == len(turns))]
    if sum(piece.text.count(processor.video_token) for piece in pieces) != 1 or processor.video_token not in pieces[0].text:
        raise NumProError(
            f"the conversation must hold {processor.video_token} once, where the video stands before the first question: "
            "a question or answer with that word must be rephrased, and the checkpoint needs its own chat template"
        )
    return pieces


def _message(turn: Mapping[str, str], *, video: bool) -> dict[str, Any]:
    return {"role": turn["role"], "content": [*([{"type": "video"}] if video else []), {"type": "text", "text": turn["content"]}]}


def _render(processor: Any, messages: list[dict[str, Any]], *, ask: bool) -> str:
    return str(processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask))
