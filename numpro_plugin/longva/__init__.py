"""LongVA for today's transformers. Importing this package registers the model type ``longva`` with transformers' Auto classes."""

# mypy: allow-untyped-calls

from __future__ import annotations

from transformers import AutoConfig, AutoModel, AutoModelForImageTextToText, AutoProcessor

from numpro_plugin.longva.adapters import load_adapter
from numpro_plugin.longva.configuration import LongVAConfig
from numpro_plugin.longva.loading import load_longva
from numpro_plugin.longva.modeling import LongVAForConditionalGeneration, LongVAModel
from numpro_plugin.longva.processing import LongVAProcessor

__all__ = ["LongVAConfig", "LongVAForConditionalGeneration", "LongVAModel", "LongVAProcessor", "load_adapter", "load_longva"]

# The project's only import with a side effect. Users of the Auto classes import this package for it.
AutoConfig.register(LongVAConfig.model_type, LongVAConfig, exist_ok=True)
AutoModel.register(LongVAConfig, LongVAModel, exist_ok=True)
AutoModelForImageTextToText.register(LongVAConfig, LongVAForConditionalGeneration, exist_ok=True)
AutoProcessor.register(LongVAConfig, LongVAProcessor, exist_ok=True)
