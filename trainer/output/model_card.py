"""The model card of a training result: huggingface_hub's ``ModelCard``, filled from the training record."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from numpro_plugin.encoding import NUMBER, PLAIN
from numpro_plugin.settings import NumProSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from huggingface_hub import ModelCard

_MAX_LISTED = 20  # files, and unreadable samples

_TEMPLATE = """\
---
{{ card_data }}
---

# NumPro-FT of {{ record.base }}

{{ trained }}, for videos with numbered frames.

## Use it as it was trained

- {{ "%g" % settings.fps }} frames per second, {{ settings.frame_size[0] }} x {{ settings.frame_size[1] }} pixels, \
at most {{ settings.max_frames }} frames
- {{ marks }} {{ drawn }}
{% if is_other %}- encoding {{ encoding.name }}: text before each frame {{ encoding.text }}, answers in {{ encoding.answer }}
{% endif %}- `lmms-eval --model numpro_hf --model_args {{ model_args }} --tasks numpro_charades` with `NUMPRO_PROMPT=ft`\
{% if is_other %} and `NUMPRO_ENCODING={{ encoding.name }}`{% endif %}

## Data

{{ data.samples }} conversations about {{ data.videos }} videos, from {{ data.files | length }} files: \
{{ data.files[:max_listed] | join(", ") }}{{ " ..." if data.files | length > max_listed }}. \
{{ data.unreadable | length }} were unreadable\
{% for sample, reason in unreadable %}{{ ": " if loop.first else "; " }}{{ sample }} ({{ reason }}){% endfor %}.

## Recipe

{{ record.processes }} process(es).

```yaml
{{ recipe }}```

## Versions

{% for name, number in record.versions.items() %}{{ ", " if not loop.first }}{{ name }} {{ number }}{% endfor %}
"""


def model_card(record: Mapping[str, Any]) -> ModelCard:
    """The card of an adapter, a fully tuned model or a merged model; ``record``: see ``export.training_record``."""
    from huggingface_hub import ModelCard, ModelCardData

    settings, style, data = record["settings"], record["settings"]["style"], record["data"]
    encoding = NumProSettings.from_dict(settings).encoding
    is_adapter = record["tuning"] == "lora"
    pushed_to = "" if record["tuning"] == "merged" else record["recipe"].get("run", {}).get("push_to_hub")
    own = pushed_to or "THIS_FOLDER"
    drawn = f"drawn in {style['color']}, {style['position'].replace('_', ' ')}, size {style['font_size']:g} for a frame 336 pixels high"
    return ModelCard.from_template(
        ModelCardData(
            base_model=record["base"] if _is_hub_id(record["base"]) else None,  # the hub refuses cards that name a folder
            library_name="peft" if is_adapter else "transformers",
            tags=["numpro", "temporal-grounding"],
        ),
        template_str=_TEMPLATE,
        record=record,
        settings=settings,
        data=data,
        trained="All parameters tuned" if record["tuning"] == "full" else "LoRA and the trained projector",
        drawn=drawn if encoding.draws else "not drawn (the ablation without numbers)" if encoding == PLAIN else "not drawn",
        marks="numbers" if encoding in (NUMBER, PLAIN) else encoding.drawn if encoding.draws else "marks",
        encoding=encoding,
        is_other=encoding not in (NUMBER, PLAIN),
        model_args=f"pretrained={record['base']},adapter={own}" if is_adapter else f"pretrained={own}",
        unreadable=list(data["unreadable"].items())[:_MAX_LISTED],
        recipe=yaml.safe_dump(record["recipe"], sort_keys=False),
        max_listed=_MAX_LISTED,
    )


def _is_hub_id(base: str) -> bool:
    return re.fullmatch(r"[\w.-]+(/[\w.-]+)?", base) is not None and not Path(base).exists()
