"""What a model wrote about a moment in seconds or clock times -> spans.

Models write about times as they write about frames: with thoughts, marks, denials, lists and languages. So an answer about times is put
in the words of an answer about frames (`spelling`: "6 - 18.5 seconds" is "frame 6000 - frame 18500", in milliseconds), and one parser
reads both (`numpro_plugin.answers.moments`).

Which unit a number counts is what the answer writes: seconds, minutes, clocks or frames. Times that are written win over frames ("Frame 3
(6 s)"); frames alone are converted by the timeline. Numbers without a unit are seconds, whatever was asked for: a clock is another
spelling of seconds.
"""

from numpro_plugin.answers.times.parsing import TimesAnswer, parse_times

__all__ = ["TimesAnswer", "parse_times"]
