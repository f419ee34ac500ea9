"""The corpus stage: download a corpus, unpack it, read its layout and write a manifest of its recordings.

A corpus folder holds

- `manifest.parquet`: one row per recording (`wavlm.corpus.manifest`),
- `targets.parquet` and `trials.parquet`: what evaluations predict, if it is a corpus for them (`wavlm.corpus.targets`),
- `archives/`: one receipt per archive,
- `audio/`: the unpacked files; missing if the spec names a folder of files, which are not copied.

This file imports nothing, so that reading shards needs no library for downloads.
"""
