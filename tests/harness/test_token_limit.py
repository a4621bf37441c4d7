"""NUMPRO_MAX_NEW_TOKENS: how long answers may be, in NumPro's tasks and in everything that could say something else."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from lmms_eval.api.instance import GenerationResult, TokenCounts
from support.annotations import write_official
from support.bases import ChatBase, SimpleBase, register_bases, write_task
from support.harness import evaluate
from support.videos import write_counter_video

from numpro_plugin import NumProError
from numpro_plugin.benchmarks import BENCHMARKS
from numpro_plugin.benchmarks.prepare import prepare
from numpro_plugin.harness.hf.model import NumProHF
from numpro_plugin.harness.register import tasks_path

MOMENTS, HIGHLIGHTS = "numpro_activitynet", "numpro_qvhighlights_hd"


@pytest.fixture
def tables(tmp_path):
    files = write_official(tmp_path)
    for name in ("activitynet", "qvhighlights"):
        prepare(BENCHMARKS[name], files[name], progress=False)


@pytest.fixture
def charades(tmp_path):
    (tmp_path / "videos").mkdir()
    write_counter_video(tmp_path / "videos" / "AAAAA.mp4", [k * 500 for k in range(20)], rate=2)
    (tmp_path / "charades_sta_test.txt").write_text("AAAAA 0.0 4.0##a person sits.\n")
    prepare(BENCHMARKS["charades"], tmp_path / "charades_sta_test.txt", videos=tmp_path / "videos", progress=False)


def limits(results) -> dict[str, tuple[int, int | None]]:
    """By task: the limit of its requests and the one in its protocol."""
    configs = {task: results["configs"][task] for task in (MOMENTS, HIGHLIGHTS)}
    return {t: (c["generation_kwargs"]["max_new_tokens"], c["metadata"]["numpro"].get("max_new_tokens")) for t, c in configs.items()}


@pytest.mark.slow
def test_the_variable_is_the_limit_of_all_tasks_and_in_their_protocol(tables, monkeypatch):
    assert limits(evaluate("numpro_oracle", [MOMENTS, HIGHLIGHTS])) == {MOMENTS: (128, None), HIGHLIGHTS: (512, None)}
    monkeypatch.setenv("NUMPRO_MAX_NEW_TOKENS", "2000")
    # The same limit on the command line, under either of its names, is no contradiction.
    results = evaluate("numpro_oracle", [MOMENTS, HIGHLIGHTS], gen_kwargs="max_new_tokens=2000,max_gen_toks=2000,top_p=1.0")
    assert limits(results) == {MOMENTS: (2000, 2000), HIGHLIGHTS: (2000, 2000)}
    assert results["configs"][MOMENTS]["generation_kwargs"]["top_p"] == 1.0
    json.dumps(results["configs"][MOMENTS]["generation_kwargs"])
    with pytest.raises(NumProError, match=r"NUMPRO_MAX_NEW_TOKENS=2000 differs from max_gen_toks=64 of --gen_kwargs: change one"):
        evaluate("numpro_oracle", [HIGHLIGHTS], gen_kwargs="max_gen_toks=64")


@pytest.mark.parametrize("value", ["0", "-5", "many", "12.5", "", "1" * 5000])
def test_a_wrong_value_is_an_error(tables, monkeypatch, value):
    monkeypatch.setenv("NUMPRO_MAX_NEW_TOKENS", value)
    with pytest.raises(NumProError, match=rf"NUMPRO_MAX_NEW_TOKENS='{value[:80]}' must be a whole number of tokens, 1 or more"):
        evaluate("numpro_oracle", [MOMENTS])
    with pytest.raises(NumProError, match="must be a whole number of tokens"):
        NumProHF("a model that is not loaded")


def test_a_model_with_another_limit_is_refused_before_it_is_loaded(monkeypatch):
    monkeypatch.setenv("NUMPRO_MAX_NEW_TOKENS", "2000")
    with pytest.raises(NumProError, match=r"NUMPRO_MAX_NEW_TOKENS=2000 differs from max_new_tokens=64 of the model tiny"):
        NumProHF("tiny", max_new_tokens=64)
    register_bases()
    with pytest.raises(NumProError, match=r"NUMPRO_MAX_NEW_TOKENS=2000 differs from max_gen_toks=64 of base=numpro_test_both"):
        evaluate("numpro", [MOMENTS], model_args="base=numpro_test_both,max_gen_toks=64")


def test_a_stock_model_with_another_limit_cannot_run_numpros_tasks(tables, tmp_path, monkeypatch):
    monkeypatch.setenv("NUMPRO_MAX_NEW_TOKENS", "2000")
    register_bases()
    with pytest.raises(NumProError, match=r"NUMPRO_MAX_NEW_TOKENS=2000 differs from max_new_tokens=64 of --model_args"):
        evaluate("numpro_test_both", [MOMENTS], model_args="max_new_tokens=64")


@pytest.mark.parametrize(("model", "arguments"), [("numpro_oracle", ""), ("numpro", "base=numpro_test_both")])
def test_a_task_file_of_the_user_cannot_contradict_its_protocol(charades, tmp_path, monkeypatch, model, arguments):
    from lmms_eval.tasks import TaskManager

    (tmp_path / "tasks").mkdir()
    include = f"include: {tasks_path() / 'numpro_charades.yaml'}\ntask: mine\n"
    (tmp_path / "tasks" / "mine.yaml").write_text(include + "generation_kwargs: {max_new_tokens: 64}\n")
    register_bases()
    manager = TaskManager(include_path=str(tmp_path / "tasks"), include_defaults=False)
    monkeypatch.setenv("NUMPRO_MAX_NEW_TOKENS", "2000")
    with pytest.raises(NumProError, match="differs from max_new_tokens=64 of task mine"):
        evaluate(model, ["mine"], model_args=arguments, task_manager=manager)


@pytest.mark.slow
def test_another_limit_is_another_request_for_the_response_cache(charades, tmp_path, monkeypatch):
    register_bases()

    def asked(limit: int) -> int:
        monkeypatch.setenv("NUMPRO_MAX_NEW_TOKENS", str(limit))
        evaluate("numpro_test_simple", ["numpro_charades"], model_args="pretrained=x", use_cache=str(tmp_path / "cache"))
        return len(SimpleBase.seen)

    assert [asked(limit) for limit in (200, 200, 300)] == [1, 0, 1]


@pytest.mark.slow
def test_a_thought_that_was_cut_off_names_the_variable(charades):
    class Thinking(ChatBase):
        def generate_until(self, requests):
            return ["<think>The person sits from frame 0 to"] * len(requests)

    (sample,) = evaluate(Thinking(), ["numpro_charades"])["samples"]["numpro_charades"]
    assert sample["parse_fail"] == 100
    assert sample["numpro"]["reason"].endswith("raise max_new_tokens (NUMPRO_MAX_NEW_TOKENS)")


@pytest.mark.parametrize(("tokens", "cut"), [(None, 0), (199, 0), (200, 1)])
@pytest.mark.slow
def test_answers_that_used_all_their_tokens_are_reported(charades, monkeypatch, caplog, tokens, cut):
    class Counting(ChatBase):
        def generate_until(self, requests):
            return [GenerationResult("From Frame 0 to Frame 1.", TokenCounts(output_tokens=tokens)) for _ in requests]

    register_bases()
    monkeypatch.setattr("support.bases.ChatBase", Counting)
    monkeypatch.setenv("NUMPRO_MAX_NEW_TOKENS", "200")
    for _ in range(2):  # the second time the answer comes from the log
        evaluate("numpro", ["numpro_charades"], model_args="base=numpro_test_both")
    assert caplog.text.count("1 of 1 answers used all the tokens that they may have, so they may be cut off; NUMPRO_MAX") == 2 * cut


@pytest.mark.parametrize("simple", [False, True])
@pytest.mark.slow
def test_vllm_keeps_to_each_tasks_limit(charades, tmp_path, monkeypatch, simple):
    """lmms-eval's takes the larger of the task's limit and its own default; an argument says that the user wants that."""
    from lmms_eval.models.chat import vllm as chat
    from lmms_eval.models.simple import vllm
    from lmms_eval.tasks import TaskManager

    taken: list[int] = []

    class LLM:
        def __init__(self, **_):
            pass

        def chat(self, sampling_params, messages, **_):
            params = sampling_params if isinstance(sampling_params, list) else [sampling_params]
            taken.extend(p.max_tokens for p in params)
            return [SimpleNamespace(outputs=[SimpleNamespace(text="From Frame 0 to Frame 1.")]) for _ in messages]

    monkeypatch.setattr(vllm, "LLM", LLM)
    for module in (vllm, chat):
        monkeypatch.setattr(module, "SamplingParams", SimpleNamespace)
    include = write_task(tmp_path / "task", [{"kind": "video", "what": tmp_path / "videos" / "AAAAA.mp4"}])
    manager = TaskManager(include_path=[str(tasks_path()), str(include)], include_defaults=False, model_name="numpro")

    def sampled(more: str = "") -> list[int]:
        taken.clear()
        arguments = f"base=vllm,model=x,disable_log_stats=True,resume=False{more}"
        evaluate("numpro", ["numpro_charades", "foreign"], model_args=arguments, task_manager=manager, force_simple=simple)
        return sorted(taken)

    assert sampled() == [4, 128]
    assert sampled(",max_new_tokens=100") == [100, 128]
    monkeypatch.setenv("NUMPRO_MAX_NEW_TOKENS", "3000")
    assert sampled() == [4, 3000]
