"""What a model wrote about a moment -> frame numbers.

The stages, in the order of belief:

1. `thoughts`: what was thought, and turns that the model made up after its own, are no answer. An unclosed thought is cut off.
2. `marks`: what is marked as the answer. A tag, a box or a heading is final: without a span in it nothing is read. Words ("answer:",
   "so", "thus") and a line of its own count only where a span follows, or a denial. The last mark wins.
3. `wording`: one spelling of what remains.
4. `mentions`, `pairs` and `lists`: numbers, and ranges of them in tiers: "From Frame x to Frame y", other ranges that name frames, lists
   of frames, seconds, bare numbers, one frame. The best tier is believed, and in it the first range.
5. `verdicts`: no answer is what is denied (`denials`), what only tells the numbering of the frames, and counts. What is
   withdrawn or placed before ("before that") counts only if nothing else is left (`asides`). Spans that only tell what happens are no
   answer (`narration`).

Nothing is guessed: an answer in seconds is reported as seconds, and where nothing can be read the reason says why.
"""

from numpro_plugin.answers.moments.parsing import MomentAnswer, Unit, parse_moment, parse_moment_reference, read_moment_words

__all__ = ["MomentAnswer", "Unit", "parse_moment", "parse_moment_reference", "read_moment_words"]
