"""Pre-training, the stage pretrain: `python -m wavlm.train job.json`, or the same under torchrun."""
