"""`numpro doctor`: looks at everything that a run needs, and says what to do about what is missing."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from numpro_plugin.cli.terminal import JSON_HELP, check_json_target, finish
from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

State = Literal["ok", "note", "problem"]

_LITTLE_SPACE_BYTES = 5e9
_MANY_VIDEOS = 3  # listed by name; the rest is counted


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    subject: str
    state: State
    """``note``: works, but worth knowing. ``problem``: something will fail."""
    found: str
    remedy: str = ""


def add_doctor_verb(verbs: Any) -> None:
    """The verb on the command's parser."""
    verb = verbs.add_parser(
        "doctor",
        help="is everything in place: versions, GPU, decoders, harness, caches, prepared benchmarks, adapters",
        description="Look at everything that a run needs. Each line is ok, worth knowing (note), or a problem with what to do about it. "
        "The exit code is 1 if there is a problem.",
    )
    verb.add_argument("adapters", nargs="*", type=Path, metavar="FOLDER", help="adapters or models whose records are looked at too")
    verb.add_argument("--json", **JSON_HELP)
    verb.set_defaults(run=_doctor)


def _doctor(args: argparse.Namespace) -> int:
    check_json_target(args.json)
    findings = examine(args.adapters)
    signs = {"ok": "ok     ", "note": "note   ", "problem": "PROBLEM"}
    width = max(len(finding.subject) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{signs[finding.state]}  {finding.subject:{width}}  {finding.found}")
        if finding.remedy:
            lines.append(f"{'':{width + 11}}{finding.remedy}")
    problems = sum(finding.state == "problem" for finding in findings)
    lines += ["", f"{problems} problem{'s' if problems != 1 else ''}" if problems else "no problem found"]
    finish("\n".join(lines), args.json, {"problems": problems, "findings": [asdict(finding) for finding in findings]})
    return 1 if problems else 0


def examine(adapters: list[Path] | tuple[Path, ...] = ()) -> list[Finding]:
    """All findings. An examination that itself fails is a problem of its subject."""
    examinations: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("versions", _versions),
        ("GPU", _gpu),
        ("decoders", _decoders),
        ("settings", _settings),
        ("harness", _harness),
        ("folders", _folders),
        ("benchmarks", _benchmarks),
    ]
    examinations += [(f"record of {folder.name}", lambda folder=folder: _record(folder)) for folder in adapters]  # type: ignore[misc]
    findings = []
    for subject, examination in examinations:
        try:
            findings += list(examination())
        except NumProError as error:
            findings.append(Finding(subject, "problem", str(error)))
        except Exception as error:  # a broken installation may raise anything
            findings.append(Finding(subject, "problem", f"{type(error).__name__}: {error}", "install numpro-plugin again"))
    return findings


def _versions() -> Iterator[Finding]:
    """Python and the packages, against the ranges that this package was tested with."""
    from packaging.requirements import Requirement

    from numpro_plugin import __version__

    yield Finding("numpro-plugin", "ok", f"{__version__}, Python {sys.version.split()[0]}")
    good, missing = [], []
    for line in metadata.requires("numpro-plugin") or []:
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            missing.append(requirement.name)
            continue
        if requirement.specifier.contains(version, prereleases=True):
            good.append(f"{requirement.name} {version}")
        else:
            yield Finding(requirement.name, "note", f"{version} is outside what was tested", f"tested: {requirement.specifier}")
    for name in missing:
        yield Finding(name, "problem", "is not installed", f"pip install {name}")
    main = [entry for entry in good if entry.split()[0] in {"lmms-eval", "torch", "transformers", "peft"}]
    yield Finding("packages", "ok", f"{', '.join(main)} and {len(good) - len(main)} others in the tested range")


def _gpu() -> Iterator[Finding]:
    import torch

    if not torch.cuda.is_available():
        yield Finding("GPU", "note", "none that this PyTorch can use; models run on the CPU")
        return
    for device in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(device)
        bf16 = "" if torch.cuda.is_bf16_supported() else ", without bfloat16: use dtype=float16"
        name = torch.cuda.get_device_name(device)
        yield Finding(f"GPU {device}", "ok", f"{name}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free{bf16}")


def _decoders() -> Iterator[Finding]:
    import av

    from numpro_plugin.environment import decoder_name

    chosen = decoder_name()
    libraries = ", ".join(
        f"{name} {'.'.join(map(str, version))}" for name, version in sorted(av.library_versions.items()) if name == "libavcodec"
    )
    missing = [codec for codec in ("h264", "hevc", "vp9", "av1") if codec not in av.codecs_available]
    yield Finding("decoder", "ok", f"{chosen}; PyAV {av.__version__} ({libraries})")
    if missing:
        yield Finding(
            "codecs", "note", f"this FFmpeg cannot decode {', '.join(missing)}", "install PyAV's wheel: pip install --force-reinstall av"
        )
    if chosen == "decord":
        import decord

        yield Finding("decord", "ok", str(decord.__version__))


def _settings() -> Iterator[Finding]:
    from numpro_plugin.environment import fps_is_automatic, settings_from_environment

    settings = settings_from_environment()
    given = sorted(name for name in os.environ if name.startswith("NUMPRO_"))
    width, height = settings.frame_size
    rate = "as many numbers a second as fit" if fps_is_automatic() else f"{settings.fps:g} numbers a second"
    found = f"{rate}, {width}x{height}, at most {settings.max_frames} frames"
    yield Finding("settings", "ok", f"{found}; set here: {', '.join(given) or 'nothing, all defaults'}")


def _harness() -> Iterator[Finding]:
    names = [entry.name for entry in metadata.entry_points(group="lmms_eval.models")]
    if "numpro" not in names:
        yield Finding(
            "lmms-eval", "problem", "does not know this package's models", "install it with pip, in this environment: pip install -e ."
        )
        return
    from numpro_plugin.harness.register import register, tasks_path

    models = ", ".join(manifest.model_id for manifest in register())
    tasks = sorted(path.stem for path in tasks_path().glob("numpro_*.yaml"))
    if not tasks:
        yield Finding("tasks", "problem", f"{tasks_path()} holds no task", "install numpro-plugin again")
    yield Finding("lmms-eval", "ok", f"{metadata.version('lmms-eval')} with the models {models} and {len(tasks)} tasks")


def _folders() -> Iterator[Finding]:
    from numpro_plugin.clips.cache import ClipCache
    from numpro_plugin.environment import answers_folder, data_folder

    cache = ClipCache()
    info = cache.info()
    yield from _folder("clip cache", info.folder, f"{info.clips} clips, {info.bytes / 1e9:.2f} GB")
    yield from _folder("kept answers", answers_folder(), "")
    yield from _folder("tables", data_folder(), "")


def _folder(subject: str, folder: Path, holds: str) -> Iterator[Finding]:
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    found = f"{folder}{f': {holds}' if holds else ''}, {free / 1e9:.0f} GB free"
    if not os.access(existing, os.W_OK):
        yield Finding(subject, "problem", f"{folder} cannot be written to", "set NUMPRO_CACHE and NUMPRO_DATA to folders of yours")
    elif free < _LITTLE_SPACE_BYTES:
        yield Finding(subject, "note", found, "little space: set NUMPRO_CACHE to a larger disk, or NUMPRO_CACHE_GB to a limit")
    else:
        yield Finding(subject, "ok", found)


def _benchmarks() -> Iterator[Finding]:
    """Every prepared table, and which of its videos are where they were."""
    from numpro_plugin.benchmarks.table import read_columns, read_report
    from numpro_plugin.environment import data_folder

    tables = sorted(path for path in data_folder().rglob("*.parquet") if not path.name.startswith("."))
    if not tables:
        yield Finding("benchmarks", "note", f"none prepared in {data_folder()}", "numpro prepare charades --annotations FILE --videos DIR")
    for path in tables:
        name = " ".join(path.relative_to(data_folder()).with_suffix("").parts)
        try:
            report = read_report(path)
        except NumProError as error:
            yield Finding(name, "problem", str(error))
            continue
        counts = f"{report.n_used} of {report.n_expected} queries"
        if not report.with_videos:
            yield Finding(name, "note", f"{counts}, prepared without videos: good for scores and ceilings, not for runs")
            continue
        videos = dict.fromkeys(video for (video,) in read_columns(path, "video"))
        moved = [video for video in videos if not Path(video).is_file()]
        if moved:
            some = ", ".join(moved[:_MANY_VIDEOS]) + (" ..." if len(moved) > _MANY_VIDEOS else "")
            found = f"{counts}; {len(moved)} of {len(videos)} videos are no longer there: {some}"
            yield Finding(name, "problem", found, f"numpro prepare {path.parent.name} ... --videos DIR again, with where they are now")
        elif report.n_used < report.n_expected:
            yield Finding(
                name,
                "note",
                f"{counts}, {len(videos)} videos; the others are missing or unreadable",
                f"numpro check {path.parent.name} lists them",
            )
        else:
            yield Finding(name, "ok", f"{counts}, {len(videos)} of {len(videos)} videos")


def _record(folder: Path) -> Iterator[Finding]:
    """What an adapter or a merged model was trained with."""
    from numpro_plugin.settings import NumProSettings
    from numpro_plugin.weights.record import RECORD, read_record

    if not folder.is_dir():
        yield Finding(folder.name, "problem", f"{folder} is not a folder", "give the folder that training wrote")
        return
    record = read_record(folder)
    if record is None:
        yield Finding(folder.name, "note", f"has no {RECORD}: it was not made by numpro-train, so its settings are not checked")
        return
    settings = NumProSettings.from_dict(record["settings"])
    width, height = settings.frame_size
    yield Finding(
        folder.name, "ok", f"trained with {settings.fps:g} numbers a second, {width}x{height}, at most {settings.max_frames} frames"
    )
