"""CPU time of the QVHighlights metrics, and of the obvious way to compute the highlight part.

    OMP_NUM_THREADS=1 python tests/benchmarks/metrics.py                    # 1550 made-up queries
    OMP_NUM_THREADS=1 python tests/benchmarks/metrics.py --shared ../shared # moment_detr's sample predictions on the real val split

Prints CPU milliseconds of this process, the best of ``--repeat`` runs. The last line is a plain loop over queries, levels and annotators
around scikit-learn's ``precision_recall_curve``, written for this comparison and run once: the same figures as moment_detr's script,
but not that script, which also spreads the work over eight processes. Left out without scikit-learn, or with ``--no-loop``.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from numpro_plugin.metrics import highlights, moments, windows

Queries = list[dict]


def made_up(count: int) -> Queries:
    """Queries like QVHighlights': 75 clips, mostly one window, ten predictions."""
    random, queries = np.random.default_rng(0), []
    for _ in range(count):
        clips = np.sort(random.choice(75, random.integers(1, 40), replace=False))
        starts, middle = random.uniform(0, 140, (min(25, random.geometric(0.6)), 1)), random.uniform(0, 150, (10, 2))
        queries.append(
            {
                "duration": 150,
                "relevant_clip_ids": clips.tolist(),
                "saliency_scores": random.integers(0, 5, (len(clips), 3)).tolist(),
                "relevant_windows": np.hstack([starts, starts + random.uniform(2, 60, starts.shape)]).round().tolist(),
                "pred_relevant_windows": np.hstack([np.sort(middle), random.random((10, 1))]).tolist(),
                "pred_saliency_scores": random.normal(size=75).tolist(),
            }
        )
    return queries


def real(shared: Path) -> Queries:
    """moment_detr's sample predictions joined with the annotations."""
    lines = (shared / "annotations/qvhighlights/highlight_val_release.jsonl").read_text().splitlines()
    queries = {query["qid"]: query for query in map(json.loads, lines)}
    answers = gzip.decompress((shared / "golden/metrics/moment_detr_sample/sample_val_preds.jsonl.gz").read_bytes()).decode()
    return [queries[answer["qid"]] | answer for answer in map(json.loads, answers.splitlines())]


def cpu_ms(work: Callable[[], object], repeat: int) -> float:
    """Milliseconds of CPU, the best of several runs."""
    times = []
    for _ in range(repeat):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times) * 1000


def loop_with_scikit_learn(predictions: list[list[float]], truths: list[np.ndarray]) -> float:
    """mAP at all levels, one curve per query, level and annotator; returns the mean over all of them in percent."""
    from sklearn.metrics import precision_recall_curve

    values = []
    for prediction, truth in zip(predictions, truths, strict=True):
        scores = np.zeros(len(truth))
        shared = min(len(scores), len(prediction))
        scores[:shared] = prediction[:shared]
        for level in highlights.LEVELS.values():
            for positive in (truth >= level).T:
                if positive.all() or not positive.any():
                    values.append(float(positive.all()))
                    continue
                precision, recall, _ = precision_recall_curve(positive, scores)
                values.append(np.maximum.accumulate(precision)[:-1][np.diff(recall) != 0].mean())
    return 100 * float(np.mean(values))


def main() -> None:
    """Time every step on the same queries."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, help="folder of real annotations and golden predictions; made-up queries without it")
    parser.add_argument("--queries", type=int, default=1550, help="how many to make up")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--no-loop", action="store_true", help="leave out the scikit-learn loop, which takes seconds")
    args = parser.parse_args()
    queries = real(args.shared) if args.shared else made_up(args.queries)
    saliency, spans, true_spans = (
        [q[key] for q in queries] for key in ("pred_saliency_scores", "pred_relevant_windows", "relevant_windows")
    )
    rated = [(q["duration"], q["relevant_clip_ids"], q["saliency_scores"]) for q in queries]
    answers = [(q["relevant_clip_ids"], np.mean(q["saliency_scores"], axis=1), q["duration"]) for q in queries]
    truths = [highlights.saliency_matrix(*rating) for rating in rated]
    steps: dict[str, Callable[[], object]] = {
        "saliency_matrix, each query": lambda: [highlights.saliency_matrix(*rating) for rating in rated],
        "clip_scores, each query": lambda: [highlights.clip_scores(f, s, duration_s=d, rule="exact") for f, s, d in answers],
        "highlight_means (3 mAP, 3 HIT@1)": lambda: highlights.highlight_means(highlights.highlight_items(saliency, truths)),
        "window_tables (44 mAP, 40 R@1)": lambda: windows.window_tables(spans, true_spans),
        "first_window_iou (R@1, mIoU)": lambda: moments.moment_scores(windows.first_window_iou(spans, true_spans)),
    }
    times = {name: cpu_ms(work, args.repeat) for name, work in steps.items()}
    times["all of these"] = sum(times.values())
    each = lambda: [highlights.query_highlight_scores(s, t) for s, t in zip(saliency, truths, strict=True)]  # noqa: E731
    times["for comparison: query_highlight_scores, one by one"] = cpu_ms(each, args.repeat)
    if not args.no_loop:
        try:
            name = "for comparison: 3 mAP by a plain loop with scikit-learn (ours, not moment_detr's code)"
            times[name] = cpu_ms(lambda: loop_with_scikit_learn(saliency, truths), 1)
        except ImportError:
            print("scikit-learn is not installed, no comparison with it")
    print(f"{len(queries)} queries, {'real' if args.shared else 'made up'}; CPU ms")
    for name, value in times.items():
        print(f"{value:9.1f}  {name}")


if __name__ == "__main__":
    main()
