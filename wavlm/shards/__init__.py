"""Shards: a corpus as utterances of 16 kHz mono FLAC in WebDataset tars, with an index.

Written by `build_shards`; read by place with `Reader` (training) or in order with `stream`.
"""

from wavlm.shards.build import build_shards
from wavlm.shards.index import Index, num_utterances, read_columns, read_index
from wavlm.shards.listing import ListedShard, listing_path, read_listing
from wavlm.shards.reader import Reader
from wavlm.shards.stream import TarSample, decode_sample, read_samples, stream, verify_shard
from wavlm.shards.utterance import Piece, Utterance

__all__ = [
    "Index",
    "ListedShard",
    "Piece",
    "Reader",
    "TarSample",
    "Utterance",
    "build_shards",
    "decode_sample",
    "listing_path",
    "num_utterances",
    "read_columns",
    "read_index",
    "read_listing",
    "read_samples",
    "stream",
    "verify_shard",
]
