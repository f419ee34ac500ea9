"""The trainer: `python -m wavlm.train job.json`, or the same under torchrun."""
