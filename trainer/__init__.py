"""NumPro-FT: fine-tuning of video LLMs on numbered frames."""
