"""Changed audio files are refused with a code, or nothing of them vanishes in silence."""

from tests.fuzz.audio import cases, run


def test_changed_audio_never_vanishes_in_silence() -> None:
    assert run(165, seed=0) == []


def test_the_same_seed_makes_the_same_files() -> None:
    first, second = ([(case.name, case.change, case.blob, case.least) for case in cases(12, seed=5)] for _ in range(2))
    assert first == second
