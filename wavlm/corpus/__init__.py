"""Stage 1: fetch a corpus, unpack it, read its layout and write down what is there.

A corpus folder holds `audio/` (unless its files lie in a folder of their own), one receipt per
archive in `archives/`, and `manifest.parquet`, which `wavlm.corpus.manifest` describes.
"""
