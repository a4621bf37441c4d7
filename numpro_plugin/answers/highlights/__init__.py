"""What a model wrote about highlights -> frame numbers with saliency scores.

Read is what a person would read: the lists of numbers are found, the words around each say whether it counts frames, scores, seconds
or something else, and frames and scores are put together. (The field's usual parser, which reads less, is in timechat.py.)
"""

from numpro_plugin.answers.highlights.parsing import HighlightAnswer, format_highlights, parse_highlights

__all__ = ["HighlightAnswer", "format_highlights", "parse_highlights"]
