"""Shards: a corpus as utterances of 16 kHz mono FLAC in WebDataset tars, with an index.

Written by `build_shards`; read in any order with `Reader` (training) or in the order of the tars with `stream`.
The names below are imported on first use, so that `wavlm.shards.facts` can be read without numpy and pyarrow.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wavlm.shards.build import build_shards as build_shards
    from wavlm.shards.copies import find_copies_of_valid as find_copies_of_valid
    from wavlm.shards.facts import ShardsFacts as ShardsFacts
    from wavlm.shards.index import Index as Index
    from wavlm.shards.index import num_utterances as num_utterances
    from wavlm.shards.index import read_columns as read_columns
    from wavlm.shards.index import read_index as read_index
    from wavlm.shards.index import stream_columns as stream_columns
    from wavlm.shards.index import take_rows as take_rows
    from wavlm.shards.listing import ListedShard as ListedShard
    from wavlm.shards.listing import listing_path as listing_path
    from wavlm.shards.listing import read_listing as read_listing
    from wavlm.shards.reader import Reader as Reader
    from wavlm.shards.streaming import TarSample as TarSample
    from wavlm.shards.streaming import decode_sample as decode_sample
    from wavlm.shards.streaming import hash_tar as hash_tar
    from wavlm.shards.streaming import read_samples as read_samples
    from wavlm.shards.streaming import samples_with_phones as samples_with_phones
    from wavlm.shards.streaming import stream as stream
    from wavlm.shards.streaming import verify_shard as verify_shard
    from wavlm.shards.utterance import Piece as Piece
    from wavlm.shards.utterance import Utterance as Utterance

_MODULES = {
    "Index": "index",
    "ListedShard": "listing",
    "Piece": "utterance",
    "Reader": "reader",
    "ShardsFacts": "facts",
    "TarSample": "streaming",
    "Utterance": "utterance",
    "build_shards": "build",
    "decode_sample": "streaming",
    "find_copies_of_valid": "copies",
    "hash_tar": "streaming",
    "listing_path": "listing",
    "num_utterances": "index",
    "read_columns": "index",
    "read_index": "index",
    "read_listing": "listing",
    "read_samples": "streaming",
    "samples_with_phones": "streaming",
    "stream": "streaming",
    "stream_columns": "index",
    "take_rows": "index",
    "verify_shard": "streaming",
}

__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
