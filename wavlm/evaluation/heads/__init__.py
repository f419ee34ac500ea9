"""What is trained on top of a frozen model, one file per kind: SUPERB's heads and their losses.

A head takes frames (B, F, D), the weighted sum of the layers, and the lengths (B,) of the utterances in frames. What
follows the end of an utterance changes nothing in its result: an utterance alone and in any batch gives the same, up to
rounding. Widths are arguments, whose defaults are the published ones (s3prl at commit ec8064b, 2025-06-13).
"""
