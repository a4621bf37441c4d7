"""Who reads a drawn number back: text recognition, or a model that compares pictures with captions, as in the paper's search."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_BATCH = 32

NUMBER_CAPTION = "a picture with the number {} on it"
"""What a frame is compared with, once for each number of the search."""


class Reader(Protocol):
    """Says of frames whether their numbers can be read."""

    name: str

    def read(self, pixels: NDArray[np.uint8], numbers: NDArray[np.int64], boxes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which numbers were read back, (N,).

        Args:
            pixels: uint8 RGB frames with their numbers drawn, (N, H, W, 3).
            numbers: (N,).
            boxes: where each number stands: left, top, right, bottom in pixels, (N, 4).
        """
        ...


class TextReader:
    """RapidOCR's text recognition on the whole frame, at its own size and on the CPU; its models come with the package.

    A number is read back if a text that says it, and nothing else, was found where it stands.

    Raises:
        NumProError: RapidOCR is not installed.
    """

    def __init__(self) -> None:
        check_text_reader()
        # onnxruntime sends usage data when it is not told otherwise, and it only asks this variable.
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
        from rapidocr import RapidOCR

        # A frame is not enlarged first: a model is not shown it any larger either.
        self._recognise: Any = RapidOCR(params={"Global.log_level": "critical", "Global.use_cls": False, "Det.limit_side_len": 32})
        self.name = "RapidOCR's text recognition"

    def read(self, pixels: NDArray[np.uint8], numbers: NDArray[np.int64], boxes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """See `Reader.read`."""
        found = np.zeros(len(pixels), bool)
        for k, (frame, number, box) in enumerate(zip(pixels, numbers.tolist(), boxes, strict=True)):
            result = self._recognise(np.ascontiguousarray(frame[..., ::-1]))  # BGR
            for text, corners in zip(result.txts or (), () if result.boxes is None else result.boxes, strict=True):
                found[k] |= text.strip() == str(number) and _is_inside(np.asarray(corners).mean(axis=0), box)
        return found


def check_text_reader() -> None:
    """Raise NumProError, before anything slow, if RapidOCR is not installed."""
    from importlib.util import find_spec

    if missing := [name for name in ("rapidocr", "onnxruntime") if find_spec(name) is None]:
        raise NumProError(
            f"text recognition needs {' and '.join(missing)}; run: pip install 'numpro-plugin[ocr]', or give --reader FOLDER with a "
            "CLIP-like model, or --reader none to look at contrast and covered pixels alone"
        )


class CaptionReader:
    """A model that compares pictures with texts (CLIP, SigLIP and others that transformers opens with ``AutoModel``).

    Args:
        model: its folder, or its id on the hub.
        device: such as ``cpu`` or ``cuda``.

    Raises:
        NumProError: it cannot be opened, or does not compare pictures with texts.
    """

    def __init__(self, model: str, *, device: str = "cpu") -> None:
        import torch
        from transformers import AutoModel, AutoProcessor

        try:
            self._model: Any = AutoModel.from_pretrained(model, dtype=torch.float32).eval().to(device)
            opener: Any = AutoProcessor
            self._processor: Any = opener.from_pretrained(model)
        except (OSError, ValueError, KeyError) as error:
            first = str(error).strip().splitlines()[0]
            raise NumProError(f"--reader {model}: cannot be opened as a model of pictures and texts ({first})") from None
        if not hasattr(self._model, "get_text_features") or not hasattr(self._processor, "tokenizer"):
            kind = type(self._model).__name__
            raise NumProError(
                f"--reader {model}: {kind} does not compare pictures with texts; give a CLIP-like model, such as CLIP or SigLIP"
            )
        self.name = f"captions compared by {type(self._model).__name__}"

    def read(self, pixels: NDArray[np.uint8], numbers: NDArray[np.int64], boxes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """See `Reader.read`: of the captions of all numbers, the frame's own is the most similar."""
        candidates = np.unique(numbers)
        best = self.most_similar(pixels, [NUMBER_CAPTION.format(number) for number in candidates])
        return np.asarray(candidates[best] == numbers)

    def most_similar(self, pixels: NDArray[np.uint8], captions: Sequence[str]) -> NDArray[np.int64]:
        """The index of the caption that is most similar to each frame, (N,)."""
        import torch

        found = []
        for at in range(0, len(pixels), _BATCH):
            inputs = self._processor(
                text=list(captions), images=list(pixels[at : at + _BATCH]), return_tensors="pt", padding=True, truncation=True
            )
            with torch.inference_mode():
                scores = self._model(**inputs.to(self._model.device)).logits_per_image  # (frames, captions)
            found.append(scores.argmax(dim=1).cpu().numpy())
        return np.concatenate(found)


def _is_inside(point: NDArray[np.float64], box: NDArray[np.int64]) -> bool:
    left, top, right, bottom = box
    return bool(left <= point[0] <= right and top <= point[1] <= bottom)
