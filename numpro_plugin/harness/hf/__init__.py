"""``--model numpro_hf``: video LLMs of ``numpro_plugin.families`` under lmms-eval."""
