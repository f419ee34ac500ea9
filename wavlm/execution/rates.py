"""How much a core gets through, as measured: for plans, estimates, and numbers of processes.

Rates are seconds of audio per second of one core. The first four are steps alone, on a Zen 5 core (2026-11-22,
docs/performance.md). The others are whole stages (docs/log.md), which read, hash and write as well.
"""

from __future__ import annotations

DECODE_RATE = 7_000
MFCC_RATE = 2_500
RESAMPLE_RATE = 6_500
ENCODE_RATE = 2_850

STAGES_MEASURED = "a core of an Intel Xeon with AMX, 2026-11-30"
PACK_RATE = 720  # the stage shards: FLAC of 16 kHz in recordings of 14 s, with the processes that decode
MFCC_LABELS_RATE = 1_690  # the stage labels, by MFCC, K = 100
CLUSTERING_FLOPS = 117e9  # operations per second of k-means: 768 values, K = 500 (docs/performance.md, kmeans.hidden)
CORE_FLOPS = 15e9  # of a network, forwards and backwards, on the Zen 5 core

# Operations per second of a core in updates of heads of the published widths on 768 channels, two utterances of 10 s,
# with Adam: process time of one thread of the Xeon, shared with other work (docs/log.md). LSTMs wait for memory.
CORE_FLOPS_OF_HEADS = {
    "pooled_linear": 4e9,  # of updates so short that most of their time is none of it (docs/performance.md, pooled)
    "frame_linear": 52e9,
    "blstm": 37e9,
    "xvector": 80e9,
    "diarizer": 77e9,
    "mask": 48e9,
    "translator": 64e9,
    "converter": 30e9,
}
