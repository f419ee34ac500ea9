"""Fine-tuning, the stage finetune: a network and a head trained for one task, `python -m wavlm.finetune job.json`."""
