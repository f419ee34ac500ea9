"""A corpus for evaluations keeps its publisher's partitions, targets and trials beside the manifest."""

import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.corpus.corpora import contents, grow, of_folder
from wavlm.corpus.build import build_corpus
from wavlm.corpus.facts import CorpusFacts
from wavlm.corpus.manifest import read_manifest
from wavlm.corpus.targets import read_targets, read_trials
from wavlm.errors import BadDataError
from wavlm.execution.progress import no_progress
from wavlm.specs.layouts import GenericLayout
from wavlm.specs.yaml import read_corpus

GUIDE = Path(__file__).parents[2] / "docs/labelled-corpora.md"
HEADER = "utt_id\tpart\tclass\ttarget\n"
ROWS = {
    "ann/0": ("train", "yes", ""),
    "ann/1": ("test", "no", ""),
    "bob/0": ("test", "", '{"intent": {"object": "lamp", "action": "on"}}'),
    "bob/1": ("", "", ""),
}


def layout(**fields: object) -> GenericLayout:
    return GenericLayout.model_validate(
        {
            "type": "generic",
            "audio": "**/*.flac",
            "speaker": "^(?P<speaker>[a-z]+)/",
            "transcripts": "labels.tsv",
            "text_column": "",
            "partition_column": "part",
            "class_column": "class",
            "target_column": "target",
            **fields,
        }
    )


def tree(root: Path) -> Path:
    folder = grow(root, ["ann", "bob"], clips=2)
    rows = "".join(f"{key}\t{part}\t{name}\t{target}\n" for key, (part, name, target) in ROWS.items())
    (folder / "labels.tsv").write_text(HEADER + rows)
    return folder


def build(folder: Path, out: Path, **fields: object) -> CorpusFacts:
    spec = of_folder(folder, layout(**fields), role="evaluation", max_left_out=0.0)
    return build_corpus(spec, out / "downloads", out, no_progress)


def test_partitions_and_targets_are_kept_and_all_recordings_are_held_out(tmp_path: Path) -> None:
    facts = build(tree(tmp_path / "raw"), tmp_path / "out")
    assert (facts.role, facts.with_target, facts.trials) == ("evaluation", 3, 0)
    assert {row.key: row.split for row in read_manifest(tmp_path / "out")} == {
        key.replace("/", "__"): "valid" for key in ROWS
    }
    table = pq.read_table(tmp_path / "out/targets.parquet").to_pylist()
    assert table == [
        {"key": "ann__0", "part": "train", "target": '{"class":"yes"}'},
        {"key": "ann__1", "part": "test", "target": '{"class":"no"}'},
        {"key": "bob__0", "part": "test", "target": '{"intent":{"action":"on","object":"lamp"}}'},
    ]
    targets = read_targets(tmp_path / "out")
    assert targets.part_of("test") == ("ann__1", "bob__0")
    assert targets.values("class") == {"ann__0": "yes", "ann__1": "no"}
    assert targets.by_key["bob__0"].fields == {"intent": {"action": "on", "object": "lamp"}}
    assert not (tmp_path / "out/trials.parquet").exists()
    assert len(read_trials(tmp_path / "out")) == 0


def test_the_publishers_split_is_the_partition_where_no_other_is_named(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw", ["ann"], clips=3)
    (folder / "labels.tsv").write_text("utt_id\tsplit\nann/0\ttrain\nann/1\tdev\nann/2\ttest\n")
    no_columns = {"partition_column": "", "class_column": "", "target_column": ""}
    build(folder, tmp_path / "out", **no_columns, split_column="split", audio="*/*")
    assert read_targets(tmp_path / "out").parts == ("train", "valid", "test")
    assert [row.split for row in read_manifest(tmp_path / "out")] == ["valid"] * 3


def test_a_corpus_to_train_on_writes_what_it_wrote_before_there_were_targets(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw", ["ann", "bob"], clips=2)
    (folder / "labels.tsv").write_text("utt_id\tsplit\nann/0\ttrain\nann/1\ttrain\nbob/0\tdev\nbob/1\ttest\n")
    fields = {"partition_column": "", "class_column": "", "target_column": "", "split_column": "split", "audio": "*/*"}
    spec = of_folder(folder, layout(**fields))
    build_corpus(spec, tmp_path / "downloads", tmp_path / "out", no_progress)
    assert contents(tmp_path / "out").keys() == {"manifest.parquet", "history.parquet", "files.parquet"}
    assert {row.key: row.split for row in read_manifest(tmp_path / "out")} == {
        "ann__0": "train",
        "ann__1": "train",
        "bob__0": "valid",
    }


def test_a_text_without_a_letter_is_no_text_to_recognize(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw", ["ann"], clips=3)
    (folder / "labels.tsv").write_text("utt_id\ttext\nann/0\tyes\nann/1\t\nann/2\t \n")
    fields = {"partition_column": "", "class_column": "", "target_column": "", "text_column": "text"}
    facts = build(folder, tmp_path / "out", **fields)
    assert [row.text for row in read_manifest(tmp_path / "out")] == ["yes", None, None]
    assert facts.with_text == 1


def test_the_same_recordings_give_the_same_bytes_and_an_attempt_that_goes_on_too(tmp_path: Path) -> None:
    folder = tree(tmp_path / "raw")
    (folder / "pairs.tsv").write_text("enrol\ttest\tis_target\nann/0\tann/1\t1\nann/0\tbob/0\t0\n")
    for out in ("one", "other", "other"):
        build(folder, tmp_path / out, trials=("pairs.tsv",))
    assert contents(tmp_path / "one") == contents(tmp_path / "other")


def test_trials_name_recordings_by_their_keys_list_by_list(tmp_path: Path) -> None:
    folder = tree(tmp_path / "raw")
    (folder / "easy.tsv").write_text("test\tenrol\tis_target\nann/1.flac\tann/0\t1\nbob/0\tann/0\t0\n")
    (folder / "hard.tsv").write_text("enrol\ttest\tis_target\nbob/1\tbob/0\t1\n\n")
    facts = build(folder, tmp_path / "out", trials=("hard.tsv", "easy.tsv"))
    assert facts.trials == 3
    trials = read_trials(tmp_path / "out")
    assert trials.names == ("hard", "easy")
    easy = trials.of("easy")
    assert list(zip(easy.enrol, easy.test, easy.is_target.tolist(), strict=True)) == [
        ("ann__0", "ann__1", True),
        ("ann__0", "bob__0", False),
    ]
    assert [table.table for table in facts.tables] == ["labels.tsv", "hard.tsv", "easy.tsv"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("ann/0\tann/7\t1", "line 3: a trial names ann/7, which is no recording"),
        ("ann/0\tann/1\tyes", "line 3: is_target is 'yes'"),
        ("ann/0\tann/1", "line 3: is_target is ''"),
        ("0\tann/1\t1", "line 3: a trial names 0, which is no recording"),  # ann's or bob's: nobody knows
    ],
)
def test_a_trial_that_says_nothing_usable_is_named_with_file_and_line(tmp_path: Path, line: str, message: str) -> None:
    folder = tree(tmp_path / "raw")
    (folder / "pairs.tsv").write_text(f"enrol\ttest\tis_target\nann/0\tann/1\t1\n{line}\n")
    with pytest.raises(BadDataError, match="LAYOUT") as caught:
        build(folder, tmp_path / "out", trials=("pairs.tsv",))
    assert message in str(caught.value)
    assert "pairs.tsv" in str(caught.value)


def test_a_list_without_trials_is_refused(tmp_path: Path) -> None:
    folder = tree(tmp_path / "raw")
    (folder / "pairs.tsv").write_text("enrol\ttest\tis_target\n")
    with pytest.raises(BadDataError, match="it has no trials"):
        build(folder, tmp_path / "out", trials=("pairs.tsv",))


def test_a_bad_target_is_named_with_file_and_line(tmp_path: Path) -> None:
    folder = tree(tmp_path / "raw")
    (folder / "labels.tsv").write_text(f'{HEADER}ann/0\ttest\tyes\t\nbob/1\ttest\t\t{{"turns": [[3, 2, "ann"]]}}\n')
    with pytest.raises(BadDataError, match=r"turns is .*labels\.tsv, line 3"):
        build(folder, tmp_path / "out")


def test_a_target_that_names_a_recording_which_is_not_there_is_refused(tmp_path: Path) -> None:
    folder = tree(tmp_path / "raw")
    target = json.dumps({"sources": ["ann__0", "cid__9"], "clean": "ann__1"})
    (folder / "labels.tsv").write_text(f"{HEADER}bob/0\ttest\t\t{target}\n")
    with pytest.raises(BadDataError, match=r"TARGETS.*such as cid__9"):
        build(folder, tmp_path / "out")


def test_a_path_without_a_class_or_a_partition_is_refused(tmp_path: Path) -> None:
    folder = tree(tmp_path / "raw")
    for field, name in (("class", "class"), ("partition", "part")):
        fields = {f"{field}_column": "", f"{field}_pattern": f"ann/(?P<{name}>[0-9])"}
        with pytest.raises(BadDataError, match=rf"finds no {name} in bob/0\.flac"):
            build(folder, tmp_path / "out", **fields)


def test_classes_and_partitions_can_come_from_paths(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw", ["ann"], clips=2)
    fields = {"class_pattern": "/(?P<class>[0-9])", "partition_pattern": "^(?P<part>[a-z]+)/", "transcripts": ""}
    build(folder, tmp_path / "out", **fields, class_column="", partition_column="", target_column="")
    assert [(key, *target) for key, target in read_targets(tmp_path / "out")] == [
        ("ann__0", "ann", {"class": "0"}),
        ("ann__1", "ann", {"class": "1"}),
    ]


def test_a_changed_target_is_another_version_of_its_recording(tmp_path: Path) -> None:
    """The digest of a row holds the target, so that a corpus that grows does not keep the old one."""
    folder = tree(tmp_path / "raw")
    build(folder, tmp_path / "one")
    (folder / "labels.tsv").write_text((folder / "labels.tsv").read_text().replace("\tyes\t", "\tno\t"))
    build(folder, tmp_path / "other")
    digests = [
        dict(zip(table["key"].to_pylist(), table["row"].to_pylist(), strict=True))
        for table in (pq.read_table(tmp_path / name / "history.parquet") for name in ("one", "other"))
    ]
    assert [key for key in digests[0] if digests[0][key] != digests[1][key]] == ["ann__0"]


def test_damaged_targets_and_trials_of_another_form_are_refused(tmp_path: Path) -> None:
    build(tree(tmp_path / "raw"), tmp_path / "out")
    path = tmp_path / "out/targets.parquet"
    pq.write_table(pa.table({"key": ["ann__0"]}), path)
    with pytest.raises(BadDataError, match=r"TARGETS: found columns \['key'\]"):
        read_targets(tmp_path / "out")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(BadDataError, match="TARGETS: cannot be read"):
        read_targets(tmp_path / "out")


def test_the_example_of_the_guide_reads_a_table_beside_the_audio(tmp_path: Path) -> None:
    text, _ = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    (tmp_path / "my-commands.yaml").write_text(text.replace("/data/my-commands", "raw"))
    grow(tmp_path / "raw", ["ann"], clips=2)
    for path in (tmp_path / "raw/ann").glob("*.flac"):
        path.rename(path.with_suffix(".wav"))
    (tmp_path / "raw/labels.tsv").write_text(
        "path\twho\tpart\tword\nann/0.wav\tann\ttrain\ton\nann/1.wav\tann\ttest\toff\n"
    )
    spec = read_corpus(tmp_path / "my-commands.yaml")
    build_corpus(spec, tmp_path / "downloads", tmp_path / "out", no_progress)
    assert [tuple(target) for _, target in read_targets(tmp_path / "out")] == [
        ("train", {"class": "on"}),
        ("test", {"class": "off"}),
    ]
    assert {row.speaker for row in read_manifest(tmp_path / "out")} == {"ann"}
