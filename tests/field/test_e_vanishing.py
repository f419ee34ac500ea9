"""Kind E: files that were never counted.

People reported: speaker folders that are links were left out (7 of 13 recordings were read), files with other suffixes
were not mentioned anywhere, a folder without read permission was left out, `.FLAC` was not taken by `**/*.flac`, and a
data set whose large files were not fetched (links that lead nowhere) trained on what was there.
"""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.corpus.corpora import GENERIC, grow, of_folder
from wavlm.corpus.build import build_corpus
from wavlm.corpus.facts import CorpusFacts
from wavlm.corpus.layouts import FilesAccount, read_layout
from wavlm.corpus.manifest import read_manifest
from wavlm.errors import BadDataError
from wavlm.execution.progress import no_progress
from wavlm.specs.layouts import AsteriskLayout, FestvoxLayout, FilletsLayout, GenericLayout, LibrispeechLayout

ALL = GenericLayout(type="generic")
FLAC = GENERIC.model_copy(update={"audio": "**/*.flac"})
ROOT = Path(__file__).parents[2]


def account(folder: Path, layout: GenericLayout = ALL) -> FilesAccount:
    """The account, which always holds as many names as the folder has."""
    found = read_layout(layout, folder)
    assert found.files.used == len(found.recordings)
    assert found.files.found == found.files.used + sum(item.files for item in found.files.left_out)
    return found.files


def causes(files: FilesAccount) -> dict[str, int]:
    return {item.cause: item.files for item in files.left_out}


def build(tmp_path: Path, folder: Path, layout: GenericLayout = ALL, **fields: object) -> CorpusFacts:
    return build_corpus(of_folder(folder, layout, **fields), tmp_path / "downloads", tmp_path / "out", no_progress)


def add(folder: Path, *names: str) -> None:
    """Copies of a FLAC of `grow`, under other names."""
    source = next(folder.rglob("0.flac")).read_bytes()
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(source + bytes([number]))


def test_speakers_behind_links_are_read(tmp_path: Path) -> None:
    folder = grow(tmp_path / "links", ["ann"], clips=7)
    outside = grow(tmp_path / "elsewhere", ["bob", "cid"], clips=3)
    for name in ("bob", "cid"):
        (folder / name).symlink_to(outside / name)
    layout = GENERIC.model_copy(update={"audio": "**/*"})
    found = read_layout(layout, folder)
    assert len(found.recordings) == 13
    assert {item.speaker for item in found.recordings} == {"ann", "bob", "cid"}
    facts = build(tmp_path, folder, layout)
    assert facts.utterances == 13
    assert facts.files.left_out == ()


def test_a_link_to_a_file_is_read_under_its_own_name(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw", ["ann"], clips=1)
    outside = grow(tmp_path / "elsewhere", ["bob"], clips=1)
    (folder / "extern.flac").symlink_to(outside / "bob/0.flac")
    assert [item.key for item in read_layout(ALL, folder)] == ["ann__0", "extern"]


def test_links_in_a_circle_end_and_are_named(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw", ["ann", "bob"], clips=2)
    (folder / "ann/up").symlink_to(folder)
    (folder / "bob/self").symlink_to(folder / "bob")
    (folder / "ann/across").symlink_to(folder / "bob")
    (folder / "bob/across").symlink_to(folder / "ann")
    (folder / "parent").symlink_to(tmp_path)
    files = account(folder)
    assert files.used == 4
    assert files.count("link-loop") >= 5
    assert set(causes(files)) == {"link-loop", "double"}
    assert build(tmp_path, folder).utterances == 4


def test_links_that_cross_do_not_make_endless_many_paths(tmp_path: Path) -> None:
    """Thirty folders, each with two links to the next one: 2 ** 30 paths."""
    outside = tmp_path / "chain"
    for number in range(31):
        (outside / str(number)).mkdir(parents=True)
        if number:
            for side in "ab":
                (outside / str(number - 1) / side).symlink_to(outside / str(number))
    folder = grow(tmp_path / "raw", ["ann"], clips=2)
    shutil.copy(folder / "ann/0.flac", outside / "30/x.flac")
    (folder / "chain").symlink_to(outside / "0")
    files = account(folder)
    assert files.used == 3  # and x.flac once
    assert files.count("link-again") > 0


def test_a_file_that_two_paths_lead_to_is_used_once(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw", ["ann", "bob"], clips=2)
    (folder / "again").symlink_to(folder / "bob")
    (folder / "ann/copy.flac").symlink_to(folder / "ann/1.flac")
    outside = grow(tmp_path / "elsewhere", ["cid"], clips=1)
    (outside / "cid/0.flac").write_bytes((outside / "cid/0.flac").read_bytes() + b"x")
    (folder / "x").symlink_to(outside)
    (folder / "y").symlink_to(outside / "cid")
    files = account(folder)
    assert [str(item.path) for item in read_layout(ALL, folder)] == [
        "ann/0.flac", "ann/1.flac", "bob/0.flac", "bob/1.flac", "x/cid/0.flac",
    ]  # fmt: skip
    assert causes(files) == {"double": 4}
    assert build(tmp_path, folder).duplicate_contents == 0


def test_a_glob_may_choose_the_link_and_not_what_it_leads_to(tmp_path: Path) -> None:
    """Stores of contents with named links to them, as git-annex and the hub of Hugging Face have."""
    folder = grow(tmp_path / "raw", ["blobs"], clips=2)
    for number in range(2):
        (folder / f"blobs/{number}.flac").rename(folder / f"blobs/{number}")
        (folder / "snapshot").mkdir(exist_ok=True)
        (folder / f"snapshot/{number}.flac").symlink_to(f"../blobs/{number}")
    layout = GenericLayout(type="generic", audio="snapshot/*.flac")
    assert [item.key for item in read_layout(layout, folder)] == ["snapshot__0", "snapshot__1"]


def test_links_that_lead_nowhere_are_an_error_that_names_them(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw", ["ann"], clips=2)
    (folder / "ann/2.flac").symlink_to(folder / ".git/annex/objects/xx")
    (folder / "bob").symlink_to("/nowhere/bob")
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "README.md").symlink_to("/nowhere/README.md")  # nobody misses this one
    with pytest.raises(
        BadDataError, match=r"FILES_LEFT_OUT: 3 of 5 .*3 link-broken \(ann/2\.flac: .*, bob: .*, loop: "
    ):
        build(tmp_path, folder)


def test_what_the_glob_does_not_take_is_an_error_above_a_bound(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw", ["ann"], clips=9)
    shutil.copy(folder / "ann/0.flac", folder / "ann/forgotten.au")
    with pytest.raises(
        BadDataError, match=r"FILES_LEFT_OUT: 1 of 10 .*not-matched \(ann/forgotten\.au\).*max_left_out"
    ):
        build(tmp_path, folder, FLAC)
    facts = build(tmp_path, folder, FLAC, max_left_out=0.1)
    assert facts.files.count("not-matched") == 1
    assert build(tmp_path, folder, ALL).utterances == 10


def test_the_bound_is_no_part_of_the_identity(tmp_path: Path) -> None:
    from wavlm.specs.identity import canonical

    assert canonical(of_folder(tmp_path)) == canonical(of_folder(tmp_path, max_left_out=0.5))


def test_audio_without_a_suffix_of_audio_is_found_by_its_content(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw", ["ann"], clips=1)
    add(folder, "ann/1", "ann/2.dat", "ann/2026.11.29", "ann/2026.11.30")
    (folder / "ann/note").write_text("no audio")
    assert [item.key for item in read_layout(ALL, folder)] == [
        "ann__0", "ann__1", "ann__2_x2edat", "ann__2026_x2e11_x2e29", "ann__2026_x2e11_x2e30",
    ]  # fmt: skip
    assert causes(account(folder)) == {"other": 1}
    assert causes(account(folder, FLAC)) == {"not-matched": 4, "other": 1}


def test_the_letter_case_of_suffixes_does_not_matter(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw", ["ann"], clips=1)
    add(folder, "ann/1.FLAC", "ann/2.Flac")
    assert account(folder, FLAC).used == 3
    assert account(folder, GenericLayout(type="generic", audio="*/?.f[l]aC")).used == 3
    assert account(folder, GenericLayout(type="generic", audio="ANN/*.flac")).used == 0  # folders are as they are


def test_other_suffixes_are_counted_and_harmless(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw", ["ann"], clips=3)
    for name in ("a.txt", "b.TXT", "c.jpg", "ann/d.json"):
        (folder / name).write_text("x")
    facts = build(tmp_path, folder)
    assert causes(facts.files) == {"other": 4}
    assert facts.files.suffixes == {".txt": 2, ".jpg": 1, ".json": 1}


def test_samples_without_a_header_are_missed(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw", ["ann"], clips=3)
    (folder / "ann/9.pcm").write_bytes(bytes(320))
    with pytest.raises(BadDataError, match=r"FILES_LEFT_OUT.*bare-samples \(ann/9\.pcm\)"):
        build(tmp_path, folder)


def test_an_empty_corpus_says_which_suffixes_there_are(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    for name in ("a.sln", "b.sln", "c.doc", "README"):
        (folder / name).write_text("x")
    with pytest.raises(BadDataError, match=r"CORPUS_EMPTY: .*\.sln 2, without suffix 1, \.doc 1; in .*raw"):
        build(tmp_path, folder)


def test_hidden_audio_is_missed_but_no_resource_fork(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw", ["ann"], clips=3)
    (folder / "ann/._0.flac").write_bytes(b"\0\5\x16\7")
    (folder / ".DS_Store").write_bytes(b"x")
    assert causes(build(tmp_path, folder).files) == {"other": 2}
    add(folder, ".bob/0.flac")
    with pytest.raises(BadDataError, match=r"FILES_LEFT_OUT.*1 hidden \(\.bob/0\.flac\)"):
        build(tmp_path, folder)


def test_pipes_and_sockets_are_named_and_never_opened(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw", ["ann"], clips=3)
    os.mkfifo(folder / "ann/live.wav")
    os.mkfifo(folder / "ann/control")
    (folder / "ann/null.flac").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "ann/s"))
    assert causes(account(folder)) == {"special": 2, "other": 2}
    with pytest.raises(BadDataError, match=r"FILES_LEFT_OUT.*2 special \(ann/live\.wav, ann/null\.flac\)"):
        build(tmp_path, folder)


def test_audio_outside_the_folders_of_the_layout_is_counted_without_an_error(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw/speech", ["ann"], clips=2).parent
    add(folder, "noise/a.flac", "speech/b.wav")
    files = account(folder, GenericLayout(type="generic", audio="speech/**/*.flac"))
    assert causes(files) == {"not-matched": 1, "outside": 1}


# --- permission ---


READ = """
import ctypes, sys
from pathlib import Path
from wavlm.corpus.layouts import check_files, read_layout
from wavlm.specs.layouts import GenericLayout
# Without its capabilities, root needs the same permissions as any owner (capset of version 3: two words each).
ctypes.CDLL(None).capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)())
root = Path(sys.argv[1])
found = read_layout(GenericLayout(type="generic", audio=sys.argv[2]), root)
print(len(found.recordings), {item.cause: item.files for item in found.files.left_out})
check_files(found.files, 0.01, "perm", root)
"""


def read_as_a_user(folder: Path, glob: str = "**/*") -> subprocess.CompletedProcess[str]:
    """Read a folder in a process for which permissions count, whoever runs the tests."""
    return subprocess.run(
        [sys.executable, "-c", READ, str(folder), glob],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def perm(tmp_path: Path) -> Iterator[Path]:
    """A corpus whose permissions a test may change."""
    folder = grow(tmp_path / "perm", ["ann", "bob"], clips=2)
    yield folder
    for path in folder.iterdir():
        path.chmod(0o755)


def test_a_folder_without_permission_is_an_error_that_names_it(perm: Path) -> None:
    (perm / "bob").chmod(0)
    done = read_as_a_user(perm)
    assert done.stdout == "2 {'unreadable': 1}\n"
    assert (
        "FILES_UNREADABLE: perm has files or folders that cannot be read: 1 unreadable (bob: Permission" in done.stderr
    )


def test_a_file_without_permission_is_an_error_that_names_it(perm: Path) -> None:
    (perm / "bob/1.flac").chmod(0)
    shutil.copy(perm / "ann/0.flac", perm / "bob/noname")
    (perm / "bob/noname").chmod(0)
    done = read_as_a_user(perm)
    assert done.stdout == "3 {'unreadable': 2}\n"
    assert "2 unreadable (bob/1.flac, bob/noname)" in done.stderr


def test_a_folder_that_the_layout_does_not_read_needs_no_permission(perm: Path) -> None:
    (perm / "bob").chmod(0)
    assert read_as_a_user(perm, "ann/*").stdout == "2 {'other': 1}\n"
    (perm / "bob").rename(perm / "lost+found")
    assert read_as_a_user(perm).stdout == "2 {'other': 1}\n"


def test_a_disk_that_fails_is_an_error_and_no_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = grow(tmp_path / "raw", ["ann", "bob"], clips=2)
    scandir = os.scandir

    def fail(path: str) -> object:
        if path.endswith("bob"):
            raise OSError(5, "Input/output error")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", fail)
    with pytest.raises(BadDataError, match=r"FILES_UNREADABLE.*bob: Input/output error"):
        build(tmp_path, folder)


# --- the layouts of publishers ---


def test_every_layout_counts_what_it_does_not_take(tmp_path: Path) -> None:
    audio = {
        "asterisk": ("sounds/en/a.g722", "sounds/en/silence/1.g722", "sounds/en/b.wav", "doc/copyright"),
        "festvox": ("v/wav/a.wav", "v/wav/b.flac", "v/lab/a.lab"),
        "fillets": ("g/sound/x/cs/a.ogg", "g/sound/x/nl/a.ogg", "g/music/m.ogg", "g/sound/x/cs/a.wav"),
        "librispeech": ("1/2/1-2-3.flac", "1/2/1-2-4.wav", "SPEAKERS.TXT"),
    }
    for name, files in audio.items():
        for file in files:
            (tmp_path / name / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / file).write_bytes(b"x")
    layouts = {
        "asterisk": AsteriskLayout(type="asterisk", speaker="a"),
        "festvox": FestvoxLayout(type="festvox", speaker="v"),
        "fillets": FilletsLayout(type="fillets", language="cs"),
        "librispeech": LibrispeechLayout(type="librispeech"),
    }
    found = {name: read_layout(layout, tmp_path / name).files for name, layout in layouts.items()}
    assert {name: (files.used, causes(files)) for name, files in found.items()} == {
        "asterisk": (1, {"not-matched": 1, "excluded": 1, "other": 1}),
        "festvox": (1, {"not-matched": 1, "other": 1}),
        "fillets": (1, {"not-matched": 1, "outside": 2}),
        "librispeech": (1, {"not-matched": 1, "other": 1}),
    }


@pytest.mark.parametrize("seed", range(5))
def test_no_name_of_a_tree_is_missing_in_the_account(tmp_path: Path, seed: int) -> None:
    """Trees at random, counted by os.walk."""
    rng = np.random.default_rng(seed)
    parts, suffixes = ("a", "b", ".c", "d.wav", "é"), (".flac", ".WAV", ".txt", "", ".pcm", ".x")
    for number in range(60):
        folders = (str(rng.choice(parts)) for _ in range(int(rng.integers(4))))
        path = tmp_path.joinpath(*folders, f"{number}{rng.choice(suffixes)}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"fLaC" if rng.random() < 0.5 else b"text")
    for glob in ("**/*", "a/*", "**/*.flac", "*/b/**/*.wav"):
        files = account(tmp_path, GenericLayout(type="generic", audio=glob))
        assert files.found == sum(len(names) for _, _, names in os.walk(tmp_path))


def test_the_manifest_and_the_account_hold_the_same_recordings(tmp_path: Path) -> None:
    folder = grow(tmp_path / "raw")
    facts = build(tmp_path, folder)
    assert facts.files.used == facts.found.recordings == len(read_manifest(tmp_path / "out"))
