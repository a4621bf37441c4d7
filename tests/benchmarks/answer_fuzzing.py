"""Reads made-up answers: none may raise, and none may take a second.

    python tests/benchmarks/answer_fuzzing.py --texts 20000

Hypothesis makes the texts out of the words, tags, digits and brackets of real answers; texts of 100 kB that repeat one piece come after.
"""

from __future__ import annotations

import argparse
import time

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from numpro_plugin import parse_highlights, parse_moment
from numpro_plugin.answers.failures import failure_reason
from numpro_plugin.answers.moments import parse_moment_reference
from numpro_plugin.answers.timechat import parse_highlights_timechat
from numpro_plugin.trainer.instructions.frame_numbers import find_frame_numbers

PIECES = [
    "from frame ",
    "to frame ",
    "From Frame 3 to Frame 9. ",
    "frames ",
    "frame ",
    "and ",
    "to ",
    "- ",
    ", ",
    ". ",
    "\n",
    "\n\n",
    "[",
    "]",
    "(",
    ")",
    "{",
    "}",
    "<",
    ">",
    ":",
    '"',
    "'",
    "`",
    "**",
    "# ",
    "### Answer\n",
    "1",
    "9",
    "42",
    "3.5",
    "1,007",
    "0:12",
    "12 s",
    "%",
    "<think>",
    "</think>",
    "◁think▷",
    "<answer>",
    "</answer>",
    "\\boxed{",
    "answer: ",
    "so ",
    "therefore ",
    "not ",
    "no ",
    "wait, ",
    "before that, ",
    "starts at ",
    "ends at ",
    "the end",
    "score ",
    "saliency scores are ",
    "第",
    "帧",
    "到",
    "",
    " a ",
    " b ",
    "start",
    "end",
    '{"start": ',
    "user\n",
    "Human: ",
    "<",
    "im_end",
    ">",
    "assistant",
    "analysis",
    "final: ",
    "three ",
    "third ",
    "of 15",
    "lasting ",
    "the video has ",
    "numbered ",
    "/",
    "\\",
    "\t",
    "\x00",
    "\u2028",
    "…",
    "~",
    "→",
    "½",
    "٣",
    "ß",
    "null",
]
LONG = [
    "1,",
    "1, ",
    "[",
    "(",
    " ",
    "9",
    "frame 1 ",
    "from ",
    "1 to ",
    "#",
    "<think>",
    "answer: ",
    "\\boxed{",
    "\n",
    "so, ",
    "3 4.5\n",
    "*",
    '{"a": ',
    "frame 1, ",
    "30/ ",
    "从第1帧到",
    "first a: ",
    "1-2; ",
    "not until ",
]


def seconds(text: str) -> float:
    """CPU time of every parser over a text."""
    start = time.process_time()
    parse_moment(text)
    parse_moment(text, last_number=14)
    parse_moment_reference(text)
    parse_highlights(text, "2 men")
    parse_highlights_timechat(text)
    failure_reason(text)
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=20_000, help="how many texts hypothesis makes (default: %(default)s)")
    options = parser.parse_args()
    times: list[float] = []
    pieces = st.lists(st.sampled_from(PIECES), max_size=60).map("".join)

    @settings(max_examples=options.texts, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(st.one_of(pieces, st.text(max_size=200), st.tuples(pieces, st.text(max_size=40), pieces).map("".join)))
    def read(text: str) -> None:
        times.append(seconds(text))
        assert times[-1] < 1, text

    read()
    print(f"{len(times)} texts, no exception; slowest {max(times) * 1000:.0f} ms, mean {sum(times) / len(times) * 1000:.2f} ms")
    for piece in LONG:
        text = piece * (100_000 // len(piece))
        start = time.process_time()
        find_frame_numbers(text[:16_000])
        words = time.process_time() - start
        start = time.process_time()
        parse_moment(text)
        print(
            f"100 kB of {piece!r}: moment {time.process_time() - start:.2f} s, all {seconds(text):.2f} s; 16 kB frame words {words:.2f} s"
        )


if __name__ == "__main__":
    main()
