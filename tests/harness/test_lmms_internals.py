"""What NumPro leans on in lmms-eval without it being documented, name by name: a release that breaks one breaks one test here.

Everything listed is used in numpro_plugin/harness/lmms.py, what is of the response cache in numpro_plugin/harness/unanswered.py, except
where a line says so.
"""

from __future__ import annotations

import inspect
import tomllib
from importlib.metadata import EntryPoint, version
from pathlib import Path

import lmms_eval
import pytest
from support.bases import register_bases, write_task
from support.harness import evaluate

from numpro_plugin.answers.failures import REQUEST_FAILED
from numpro_plugin.harness import session, unanswered
from numpro_plugin.harness.lmms import (
    add_tasks_folder,
    document,
    follow_evaluations,
    generation_options,
    messages_of,
    protocol_of,
    shows_at,
)
from numpro_plugin.harness.wrap.model import NumProMixin
from numpro_plugin.harness.wrap.readers import READERS

TRIED = "0.7.3"
"""The release that the names below were read in."""

PARAMETERS = {
    "tasks.TaskManager.initialize_tasks": ["self", "include_path", "include_defaults"],
    "api.model.lmms.__init__": ["self"],
    "api.model.lmms.clean": ["self"],
    "api.model.lmms.create_from_arg_string": ["arg_string", "additional_config"],
    "caching.response_cache.ResponseCache.execute": ["self", "lm", "reqtype", "requests"],
    "caching.response_cache.ResponseCache._lookup": ["self", "cache_key"],
    "caching.response_cache.ResponseCache._store": [
        "self",
        "cache_key",
        "request_type",
        "task_name",
        "doc_id",
        "idx",
        "gen_kwargs",
        "response",
    ],
    "caching.response_cache.ResponseCache.merge_shards": ["shard_paths", "output_path"],
    "caching.response_cache.is_deterministic": ["request_type", "gen_kwargs"],  # wrap/keys.py
    "api.instance.unwrap_generation_output": ["output"],  # wrap/kept.py
    "models.simple.vllm.VLLM._select_max_new_tokens": ["self", "request_max_new_tokens"],
    "utils.simple_parse_args_string": ["args_string"],  # hf/model.py, wrap/model.py: how model_args are read
    "models.get_model": ["model_name", "force_simple"],  # wrap/model.py
    "models.get_model_manifest": ["model_name"],  # wrap/model.py
    "models.list_available_models": ["include_aliases"],  # wrap/model.py
}

SOURCES = {
    "tasks.TaskManager.__init__": ["self.model_name = model_name\n", "self.initialize_tasks(include_path=include_path"],
    "tasks.TaskManager._load_individual_task_or_group": ["model_name=self.model_name"],
    "evaluator.simple_evaluate": ["lm = models.get_model(model, force_simple).create_from_arg_string("],
    "evaluator.evaluate": ["lm.clean()", "response_cache.execute(lm, reqtype, cloned_reqs)", "lm._rank = global_rank"],  # hf/model.py
    "models.chat.async_openai.AsyncOpenAIChat.generate_until": ["asyncio.run(run())"],  # wrap/pieces.py: a loop of its own for each call
    "models.chat.async_openai.AsyncOpenAIChat.__init__": ["self.client = AsyncOpenAI("],
    "evaluator._run_generate_until_agentic": ["response_cache.execute(lm, ", "lm.generate_until([single_req])"],
    "models.simple.vllm.VLLM._select_max_new_tokens": ["self.max_new_tokens"],
    "utils.import_function": ["function = getattr(module, function_name)"],  # task.py: `__getattr__` makes what a task file names
    "api.task.ConfigurableTask.doc_to_visual": ["callable(self.config.doc_to_visual)"],
    "api.task.Task.build_all_requests": ["per_task_metadata.update(self.config.metadata)"],
    "caching.response_cache.ResponseCache.execute": [
        "getattr(lm, reqtype)(uncached)",
        "cached = self._lookup(cache_key)\n            if cached is not None:",
        "self._store(cache_key, reqtype",
    ],
    "caching.response_cache.ResponseCache._lookup": ["self.db.execute(", "FROM responses WHERE cache_key = ?", "self._shared_db.execute("],
    "caching.response_cache.ResponseCache._store": ["INSERT OR REPLACE INTO responses", "self.db.execute("],
    "caching.response_cache.ResponseCache.merge_shards": ["INSERT OR IGNORE INTO responses", "for shard_path in shard_paths"],
    "caching.response_cache.ResponseCache._merge_run_to_root": ["ResponseCache.merge_shards(shard_dbs, target_db)"],
    "caching.response_cache.extract_gen_kwargs": ["isinstance(arg, dict)"],
}

REQUEST_ARGUMENTS = {
    "api.task.ConfigurableTask.construct_requests": [
        "(ctx, copy.deepcopy(self.config.generation_kwargs), self.doc_to_visual, doc_id, self.config.task, split)",
        "(ctx, copy.deepcopy(self.config.generation_kwargs), self.doc_to_visual, partial(self.config.doc_to_text, "
        "lmms_eval_specific_kwargs=self.lmms_eval_specific_kwargs), doc_id, self.config.task, split)",
        "(ctx, self.doc_to_target, self.doc_to_visual, doc_id, self.config.task, split)",
    ],
    "api.task.ConfigurableMessagesTask.construct_requests": [
        "(ctx, self.doc_to_messages, copy.deepcopy(self.config.generation_kwargs), doc_id, self.config.task, split)"
    ],
}


def found(name: str) -> object:
    """The object called ``name`` in lmms-eval, as it was before NumPro patched it."""
    from importlib import import_module

    parts = name.split(".")
    depth = next(k for k in range(1, len(parts)) if parts[k] == "lmms" or parts[k][0].isupper() or k + 1 == len(parts))
    item = import_module(".".join(["lmms_eval", *parts[:depth]]))
    for part in parts[depth:]:
        assert hasattr(item, part), f"lmms-eval {version('lmms_eval')} has no {name} ({TRIED} has it)"
        item = getattr(item, part)
    return inspect.unwrap(item)


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters(name):
    parameters = [p for p in inspect.signature(found(name)).parameters if p != "cls"]
    assert parameters[: len(PARAMETERS[name])] == PARAMETERS[name], f"changed in lmms-eval {version('lmms_eval')} since {TRIED}"


@pytest.mark.parametrize("name", {**SOURCES, **REQUEST_ARGUMENTS})
def test_source(name):
    source = inspect.getsource(found(name))
    for text in {**SOURCES, **REQUEST_ARGUMENTS}[name]:
        assert text in source, f"{name} of lmms-eval {version('lmms_eval')} is without {text!r}, which {TRIED} has"


def test_api_models_mark_failed_requests():
    from lmms_eval.models.chat import async_openai

    assert REQUEST_FAILED in inspect.getsource(async_openai), f"changed in lmms-eval {version('lmms_eval')} since {TRIED}"


def test_models_that_ask_a_server_are_known():
    from lmms_eval.models import get_model

    served = [get_model("async_openai"), get_model("openai"), get_model("openai", True), get_model("gemini", True)]
    wrapped = type("Wrapped", (NumProMixin, served[0]), {})
    other = type("Other", (get_model("dummy"),), {"__init__": lambda self, base_url="": None})
    assert all(map(unanswered.asks_a_server, [*served, wrapped, other]))
    assert not any(map(unanswered.asks_a_server, [get_model("dummy"), get_model("qwen2_5_vl"), get_model("vllm", True), NumProMixin]))
    models = Path(inspect.getfile(lmms_eval)).parent / "models"
    modules = {path.stem for kind in ("chat", "simple") for path in (models / kind).glob("*.py")}
    engines = {"vllm", "vllm_generate", "sglang"}  # in lmms-eval's own process
    assert {name for name, reader in READERS.items() if reader.pictures} - engines <= unanswered.LMMS_EVAL_CLIENTS
    assert modules >= unanswered.LMMS_EVAL_CLIENTS, f"changed in lmms-eval {version('lmms_eval')} since {TRIED}"


class _Enough(Exception):
    """Ends an evaluation when the requests have been looked at."""


@pytest.mark.parametrize("simple", [False, True], ids=["chat", "simple"])
@pytest.mark.parametrize("kind", ["generate_until", "generate_until_multi_round", "loglikelihood"])
def test_requests_are_read_as_lmms_eval_makes_them(tmp_path, kind, simple, monkeypatch):
    """The accessors against requests that lmms-eval itself made."""
    if kind == "loglikelihood" and not simple:
        pytest.skip("lmms-eval has no log-likelihoods for chat tasks")
    from lmms_eval.tasks import TaskManager
    from support.bases import ChatBase, SimpleBase

    register_bases()
    (tmp_path / "sound.wav").write_bytes(b"RIFF")
    include = str(write_task(tmp_path / "task", [{"kind": "video", "what": tmp_path / "sound.wav"}], kind=kind))
    seen = []

    def look(self, requests):
        for request in requests:
            doc = document(self, request)
            shown = request.args[shows_at(request, chat=not simple)](doc)
            seen.append((doc["question"], shown, generation_options(request), protocol_of(request)))
            if not simple:
                assert messages_of(request, doc) == shown
        raise _Enough

    monkeypatch.setattr(SimpleBase if simple else ChatBase, kind, look)
    manager = TaskManager(include_path=include, include_defaults=False)
    with pytest.raises(_Enough):
        evaluate("numpro_test_both", ["foreign"], task_manager=manager, force_simple=simple)
    ((question, shown, options, protocol),) = seen
    assert question == "Question 0?"
    assert shown == [str(tmp_path / "sound.wav")] if simple else shown[0]["content"][0]["url"] == str(tmp_path / "sound.wav")
    assert options.get("max_new_tokens") == (None if kind == "loglikelihood" else 4)
    assert protocol is None


def test_patches_are_made_once():
    from lmms_eval.api.model import lmms
    from lmms_eval.caching.response_cache import ResponseCache
    from lmms_eval.models.simple.dummy import Dummy
    from lmms_eval.tasks import TaskManager

    def patched():
        cache = [getattr(ResponseCache, name) for name in ("execute", "_lookup", "_store", "merge_shards")]
        return [lmms.__init__, lmms.clean, TaskManager.initialize_tasks, Dummy.generate_until, *cache]

    unanswered.mark_failures(Dummy)
    before = patched()
    follow_evaluations()
    add_tasks_folder("somewhere else")
    unanswered.guard_response_cache()
    unanswered.mark_failures(Dummy)
    assert patched() == before
    assert all(inspect.unwrap(function) is not function for function in before)


def test_a_session_ends_with_clean():
    register_bases()
    from support.bases import SimpleBase

    model = SimpleBase()
    session.begin(session.Announcement("a model", {"max_frames": 4}))
    model.clean()
    assert session.current().announcement == session.Announcement()


@pytest.mark.slow
def test_the_command_under_the_name_of_its_package(capsys, monkeypatch):
    """`lmms_eval ...` is lmms-eval's own command: the console script that pyproject.toml declares, run as the script runs it."""
    declared = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["scripts"]["lmms_eval"]
    command = EntryPoint("lmms_eval", declared, "console_scripts").load()
    monkeypatch.setattr("sys.argv", ["lmms_eval", "tasks", "list"])
    command()
    assert "numpro_charades" in capsys.readouterr().out
