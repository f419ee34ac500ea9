"""`shards.json`: the tars of a shards folder, with the checksum and the size of each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from wavlm.errors import BadDataError
from wavlm.specs import SAMPLE_RATE_HZ
from wavlm.storage.files import write_json
from wavlm.storage.passing import refuse_passing
from wavlm.storage.seals import check_sealed


class ListedShard(BaseModel):
    """What the listing says about one tar."""

    model_config = ConfigDict(frozen=True)

    sha256: str  # of the tar
    utterances: int
    samples: int  # int16 samples, summed over the utterances
    sample_rate_hz: int = SAMPLE_RATE_HZ
    inputs: str = ""  # the digest of what it is made from; empty: not made of recordings


_LISTING = TypeAdapter(dict[str, ListedShard])


def listing_path(shards_dir: Path) -> Path:
    """The path of the listing. Its bytes identify the content of the folder."""
    return shards_dir / "shards.json"


def write_listing(shards_dir: Path, shards: Mapping[str, ListedShard]) -> None:
    """Write the listing; `shards` maps the name of each tar to its entry."""
    write_json(
        listing_path(shards_dir), {name: shard.model_dump(exclude_defaults=True) for name, shard in shards.items()}
    )


def read_listing(shards_dir: Path) -> dict[str, ListedShard]:
    """The entry of each tar, by its name (`train-000000.tar`).

    Raises BadDataError: CHECKSUM if it is not the file that was sealed, LISTING_UNREADABLE if it is missing or broken.
    """
    path = listing_path(shards_dir)
    check_sealed(path)
    try:
        return _LISTING.validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        refuse_passing(error, path)
        what = " ".join(str(error).split())
        raise BadDataError(
            "LISTING_UNREADABLE", f"this lists no shards: {what}; at {path}; make the shards again"
        ) from error


def read_sample_rate(*shards_dirs: Path) -> int:
    """The rate of the utterances of some shards folders.

    Raises BadDataError (SAMPLE_RATE) if they differ, and what `read_listing` raises.
    """
    rates = {folder: {item.sample_rate_hz for item in read_listing(folder).values()} for folder in shards_dirs}
    found = sorted(set().union(*rates.values()))
    if len(found) > 1:
        raise BadDataError(
            "SAMPLE_RATE",
            f"found shards of {' and '.join(map(str, found))} Hz, expected one rate; at "
            f"{', '.join(map(str, shards_dirs))}; give all shards of a recipe one `sample_rate_hz`",
        )
    return found[0] if found else SAMPLE_RATE_HZ


def read_listed_shard(shard: Path) -> ListedShard:
    """The entry of one tar in the listing beside it; raises BadDataError (SHARD_UNKNOWN) if it has none."""
    return find_listed(read_listing(shard.parent), shard)


def find_listed(listing: Mapping[str, ListedShard], shard: Path) -> ListedShard:
    """The same, given the listing: for those that look for many tars of a folder."""
    listed = listing.get(shard.name)
    if listed is None:
        raise BadDataError(
            "SHARD_UNKNOWN", f"{shard.name} is not listed; at {listing_path(shard.parent)}; make the shards again"
        )
    return listed
