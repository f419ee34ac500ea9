"""Shards are read completely or refused, in the order of the tar and by offset."""

import gzip
import io
import pickle
import subprocess
import sys
import tarfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from tests.mini_shards import tones, write_shards
from tests.sealed import seal
from tests.shards.corpora import SPEC, noise_clip, write_corpus
from wavlm.errors import BadDataError
from wavlm.execution.progress import no_progress
from wavlm.shards import Reader, build_shards, read_index, read_listing, stream, verify_shard


@pytest.fixture
def shards_dir(tmp_path: Path) -> Path:
    clips = [noise_clip(f"a-{number}", 1.0 + number / 10) for number in range(9)]
    build_shards(SPEC, write_corpus(tmp_path / "corpus", clips), tmp_path / "out", 1, no_progress)
    return tmp_path / "out"


def test_a_crop_is_that_part_of_the_utterance(shards_dir: Path) -> None:
    reader = Reader(shards_dir)
    whole = reader.read(3)
    np.testing.assert_array_equal(reader.read(3, 320, 6400), whole[320:6400])
    np.testing.assert_array_equal(reader.read(3, 320), whole[320:])


def test_rows_of_a_split_are_those_of_its_tars(shards_dir: Path) -> None:
    found = read_index(shards_dir)
    assert found.rows_of("train").tolist() == list(range(9))
    assert found.rows_of("valid").tolist() == []


def test_a_reader_can_be_sent_to_a_worker_while_its_files_are_open(shards_dir: Path) -> None:
    reader = Reader(shards_dir)
    expected = reader.read(0)
    copy = pickle.loads(pickle.dumps(reader))
    reader.close()
    np.testing.assert_array_equal(copy.read(0), expected)
    np.testing.assert_array_equal(reader.read(0), expected)


def test_a_reader_keeps_no_more_files_open_than_its_limit(shards_dir: Path) -> None:
    reader = Reader(shards_dir, most_open=2)
    num_rows = len(reader.index)
    assert len({*reader.index.shards}) > 2
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(2):
        for row in range(num_rows):
            assert len(reader.read(row)) == reader.index.samples[row]
            assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2


def test_a_flipped_bit_in_an_utterance_never_reaches_training(shards_dir: Path) -> None:
    found = read_index(shards_dir)
    shard = shards_dir / found.shards[0]
    blob = bytearray(shard.read_bytes())
    rng = np.random.default_rng(0)
    whole = Reader(shards_dir).read(0)
    for bit in rng.integers(found.sizes[0] * 8, size=50).tolist():
        at = int(found.offsets[0]) + bit // 8
        blob[at] ^= 1 << bit % 8
        shard.write_bytes(blob)
        with pytest.raises(BadDataError):
            Reader(shards_dir).read(0)
        place = str(found.shards[0]), int(found.offsets[0]), int(found.sizes[0])
        with suppress(BadDataError):  # without the sha256, FLAC checks its audio but not all of its metadata
            np.testing.assert_array_equal(Reader(shards_dir).read_at(*place), whole)
        blob[at] ^= 1 << bit % 8


def test_damage_is_named_with_its_place_whoever_reads(shards_dir: Path) -> None:
    found = read_index(shards_dir)
    shard = shards_dir / found.shards[0]
    blob = bytearray(shard.read_bytes())
    middle = int(found.offsets[0] + found.sizes[0] // 2)
    blob[middle : middle + 40] = bytes(40)
    shard.write_bytes(blob)
    with pytest.raises(BadDataError, match=rf"SHARD_DAMAGED: .* of {found.keys[0]} .*{shard.name}"):
        Reader(shards_dir).read(0)
    with pytest.raises(BadDataError, match=rf"AUDIO_CORRUPT: .* of .*{shard.name}; make the shards again$"):
        Reader(shards_dir).read_at(shard.name, int(found.offsets[0]), int(found.sizes[0]))
    with pytest.raises(BadDataError, match=rf"AUDIO_CORRUPT: .* at {found.keys[0]} of .*"):
        list(stream(shard))
    shard.unlink()
    with pytest.raises(BadDataError, match=rf"SHARD_MISSING: .*{shard.name}; make the shards"):
        Reader(shards_dir).read(0)


def test_a_tar_of_another_size_is_refused_each_time_that_it_is_read(shards_dir: Path) -> None:
    found = read_index(shards_dir)
    seal(shards_dir)
    with (shards_dir / found.shards[0]).open("ab") as file:
        file.write(bytes(512))
    reader = Reader(shards_dir)
    for _ in range(2):
        with pytest.raises(BadDataError, match="SHARD_DAMAGED: the tar has"):
            reader.read_at(str(found.shards[0]), int(found.offsets[0]), int(found.sizes[0]))


def test_an_index_that_is_missing_or_damaged_is_refused(shards_dir: Path) -> None:
    path = shards_dir / "index.parquet"
    blob = path.read_bytes()
    path.write_bytes(blob[: len(blob) // 2])
    with pytest.raises(BadDataError, match=r"INDEX_UNREADABLE.*index\.parquet"):
        read_index(shards_dir)
    path.unlink()
    with pytest.raises(BadDataError, match="INDEX_UNREADABLE"):
        read_index(shards_dir)


def test_a_tar_cut_anywhere_is_refused(shards_dir: Path) -> None:
    shard = shards_dir / "train-000000.tar"
    blob = shard.read_bytes()
    with tarfile.open(shard) as tar:
        end = max(-(-(member.offset_data + member.size) // 512) * 512 for member in tar)
    for size in [*range(0, end, 512), *range(100, end, 5000)]:
        shard.write_bytes(blob[:size])
        with pytest.raises(BadDataError, match="SHARD_"):
            list(stream(shard))


def add_member(name: str, kind: bytes = tarfile.REGTYPE) -> Callable[[Path], None]:
    def damage(shard: Path) -> None:
        with tarfile.open(shard, "a") as tar:
            member = tarfile.TarInfo(name)
            member.type, member.size = kind, 4
            tar.addfile(member, io.BytesIO(b"evil"))

    return damage


def compress(shard: Path) -> None:
    shard.write_bytes(gzip.compress(shard.read_bytes()))


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (add_member("a-99.pyd"), "SHARD_UNREADABLE"),
        (add_member("a-99.pth"), "SHARD_UNREADABLE"),
        (add_member("x/a-99.flac"), "SHARD_UNREADABLE"),
        (add_member("a.b.flac"), "SHARD_UNREADABLE"),
        (add_member("README"), "SHARD_UNREADABLE"),
        (add_member("a-99.json"), "SHARD_MEMBERS"),
        (compress, "SHARD_UNREADABLE"),
        (lambda shard: shard.write_bytes(b"<html>" * 200), "SHARD_UNREADABLE"),
    ],
)
def test_a_shard_with_anything_else_in_it_is_refused(
    shards_dir: Path, damage: Callable[[Path], None], code: str
) -> None:
    shard = shards_dir / "train-000000.tar"
    damage(shard)
    with pytest.raises(BadDataError, match=code) as caught:
        list(stream(shard))
    assert str(shard) in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_the_name_of_a_shard_is_never_a_command(tmp_path: Path) -> None:
    with pytest.raises(BadDataError, match="SHARD_MISSING"):
        list(stream(Path(f"pipe:touch {tmp_path}/owned")))
    assert not (tmp_path / "owned").exists()


def test_verify_counts_and_hashes(shards_dir: Path) -> None:
    shard = shards_dir / "train-000000.tar"
    assert verify_shard(shard) == read_listing(shards_dir)[shard.name].utterances
    blob = bytearray(shard.read_bytes())
    blob[-1] ^= 1  # in the padding, which no reader looks at
    shard.write_bytes(blob)
    with pytest.raises(BadDataError, match="SHARD_DAMAGED"):
        verify_shard(shard)
    with pytest.raises(BadDataError, match="SHARD_UNKNOWN"):
        verify_shard(shard.rename(shards_dir / "train-000099.tar"))


def test_a_reader_that_is_open_at_the_end_of_python_says_nothing(tmp_path: Path) -> None:
    folder = write_shards(tmp_path / "shards", tones(2))
    program = (
        "import sys; from pathlib import Path; from wavlm.shards import Reader\n"
        "import builtins; reader = builtins.kept = Reader(Path(sys.argv[1])); reader.read(0)\n"
        "import wavlm.shards.reader as module; module.os = None  # as Python leaves modules at its end\n"
        "del reader, builtins.kept\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(folder)], capture_output=True, text=True, check=True)
    assert done.stderr == ""
