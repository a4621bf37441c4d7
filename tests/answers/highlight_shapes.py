"""Highlight answers as models write them, and how a person reads them: by kind, text -> "frames: scores", or None."""

from __future__ import annotations

_RIGHT = "The highlight frames are in the 3, 4 frames. Their saliency scores are 4.0, 3.5."

SHAPES: dict[str, dict[str, str | None]] = {
    "thoughts and tags": {
        f"<think>Frame 1: score 2.0</think>{_RIGHT}": "3 4: 4 3.5",
        f"◁think▷Frame 1: score 2.0◁/think▷{_RIGHT}": "3 4: 4 3.5",
        f"Frame 1: score 2.0</think>{_RIGHT}": "3 4: 4 3.5",
        "<think>Frame 1: score 2.0, frame 2": None,
        f"<thinking>Frame 1: 2.0</thinking>\n{_RIGHT}": "3 4: 4 3.5",
        f"<|channel|>analysis<|message|>Frame 1: 2.0<|end|><|start|>assistant<|channel|>final<|message|>{_RIGHT}": "3 4: 4 3.5",
        f"Frame 1: score 2.0. <answer>{_RIGHT}</answer>": "3 4: 4 3.5",
        "Frame 1: score 2.0. <answer>Frame 3: 4.0\nFrame 4: 3.5</answer>": "3 4: 4 3.5",
        "Frame 1: score 2.0. <answer>[(3, 4.0), (4, 3.5)]</answer>": "3 4: 4 3.5",
        "Frame 1: score 2.0. <answer>None</answer>": None,
        f"Frame 1: score 2.0.\n\n### Final Answer\n{_RIGHT}": "3 4: 4 3.5",
        f"Frame 1: score 2.0.\n\nFinal answer: {_RIGHT}": "3 4: 4 3.5",
        f"Frame 1: score 2.0.\n\n**Answer:** {_RIGHT}": "3 4: 4 3.5",
        "Frame 1 has a score of 2.0.\n\nAnswer: Frame 3: 4.0, Frame 4: 3.5": "3 4: 4 3.5",
        "\\boxed{\\text{Frame 3: 4.0, Frame 4: 3.5}}": "3 4: 4 3.5",
        f"{_RIGHT}\nuser\nAnd the dog?\nassistant\nThe highlight frames are in the 9 frames. Their saliency scores are 1.0.": "3 4: 4 3.5",
        f"{_RIGHT}<|im_end|>\n<|im_start|>user\nFrame 9: 1.0": "3 4: 4 3.5",
    },
    "what was said before": {
        f"The video has 75 frames (0-74). {_RIGHT}": "3 4: 4 3.5",
        f"There are 75 frames, from frame 0 to frame 74. {_RIGHT}": "3 4: 4 3.5",
        f"The frames are numbered from 0 to 74. {_RIGHT}": "3 4: 4 3.5",
        f"The video contains 75 frames in total. {_RIGHT}": "3 4: 4 3.5",
        f"Frames 0 to 74 were given. {_RIGHT}": "3 4: 4 3.5",
        f"Looking at the 75 frames: {_RIGHT}": "3 4: 4 3.5",
        f"Frame 1: score 1.0. Frame 3: score 4.0. So: {_RIGHT}": "3 4: 4 3.5",
        f"Frames 0-2 show a room (score 1.0).\n\n{_RIGHT}": "3 4: 4 3.5",
        f"In frame 1 a man comes in. {_RIGHT}": "3 4: 4 3.5",
    },
    "percent": {
        "Frame 3: 80%\nFrame 4: 70%": "3 4: 80 70",
        "Frame 3 (80%), Frame 4 (70%)": "3 4: 80 70",
        "Frame 3: 80 %, Frame 4: 70 %": "3 4: 80 70",
        "3: 80%\n4: 70%": "3 4: 80 70",
        "Frames 3, 4. Scores: 80%, 70%": "3 4: 80 70",
        "Frame 3 has a score of 80%. Frame 4 has a score of 70%.": "3 4: 80 70",
        "Frame 3 shows 50% of the door: 4.0": "3: 4",
    },
    "CSV": {
        "frame,score\n3,4.0\n4,3.5": "3 4: 4 3.5",
        "frame_number,saliency_score\n3,4\n4,3": "3 4: 4 3",
        "Frame, Score\n3, 4.0\n4, 3.5": "3 4: 4 3.5",
        "```csv\nframe,score\n3,4.0\n4,3.5\n```": "3 4: 4 3.5",
        "score,frame\n4.0,3\n3.5,4": "3 4: 4 3.5",
        "frame;score\n3;4.0\n4;3.5": "3 4: 4 3.5",
        "frame\tscore\n3\t4\n4\t3": "3 4: 4 3",
    },
    "integer pairs": {
        "[(3, 4), (4, 3)]": "3 4: 4 3",
        "(3, 4), (4, 3)": "3 4: 4 3",
        "[[3, 4], [4, 3]]": "3 4: 4 3",
        "[(30, 4), (31, 5), (32, 3)]": "30 31 32: 4 5 3",
        "Highlights: [(3, 4), (4, 3)]": "3 4: 4 3",
        '{"3": 4, "4": 3}': "3 4: 4 3",
    },
    "scores first": {
        "Score 5: 3, 4, 5\nScore 3: 8, 9": "3 4 5 8 9: 5 5 5 3 3",
        "Score 5: 3\nScore 3: 8": "3 8: 5 3",
        "Score of 5: 3, 4\nScore of 3: 8, 9": "3 4 8 9: 5 5 3 3",
        "- Score 5: 3, 4\n- Score 3: 8": "3 4 8: 5 5 3",
        "Saliency score 4.5: 3, 4\nSaliency score 3.0: 8": "3 4 8: 4.5 4.5 3",
    },
    "Chinese": {
        "第3帧：4.5\n第4帧：3.0": "3 4: 4.5 3",
        "第3帧：4.5分，第4帧：3.0分": "3 4: 4.5 3",
        "高光帧为第3、4帧。显著性分数为4.5、3.0。": "3 4: 4.5 3",
        "高光帧是第3帧和第4帧，得分分别为4.5和3.0。": "3 4: 4.5 3",
        "帧3：4.5，帧4：3.0": "3 4: 4.5 3",
        "高光帧在3, 4帧中。它们的显著性分数是4.5, 3.0。": "3 4: 4.5 3",
    },
}
