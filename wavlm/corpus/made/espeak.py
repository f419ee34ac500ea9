"""The library of espeak-ng by ctypes: from words to int16 samples.

It holds the state of its last sentence, which the next one depends on. So what has to be the same each time is spoken
by a process of its own, in one order.

Functions and numbers: espeak-ng 1.52, src/include/espeak-ng/speak_lib.h.
"""

from __future__ import annotations

import ctypes
import sys
from importlib import import_module
from pathlib import Path

from wavlm.errors import BadDataError, ServiceMissingError
from wavlm.specs.made import MannerSpec

PACKAGE = "espeakng_loader"
INSTALL = "install the extra `evaluation`: pip install 'wavlm-pipeline[evaluation]'"
SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: samples come by callback, before espeak_Synth returns
NEVER_EXIT = 0x8000  # espeakINITIALIZE_DONT_EXIT: an error is returned instead
UTF_8 = 1  # espeakCHARS_UTF8
RATE, VOLUME, PITCH, RANGE = 1, 2, 3, 4  # espeak_PARAMETER
OK = 0  # EE_OK
SEED = 1

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


def find_library() -> tuple[str, str]:
    """The paths of the library and of its data. Raises ServiceMissingError (PACKAGE_MISSING)."""
    try:
        package = import_module(PACKAGE)
        return str(package.get_library_path()), str(package.get_data_path())
    except (ImportError, RuntimeError) as error:  # its own error where the data is not there
        raise ServiceMissingError(
            "PACKAGE_MISSING", f"the synthesiser espeak-ng cannot be found: {error}; in {sys.prefix}; {INSTALL}"
        ) from error


class Espeak:
    """A synthesiser that was just started."""

    def __init__(self, version: str) -> None:
        """Raises ServiceMissingError (PACKAGE_MISSING) where it is not installed, or in another version."""
        library, data = find_library()
        try:
            self._espeak = ctypes.CDLL(library)
        except OSError as error:
            raise ServiceMissingError(
                "PACKAGE_MISSING", f"the library of espeak-ng cannot be loaded: {error}; at {library}; {INSTALL}"
            ) from error
        self._espeak.espeak_Info.restype = ctypes.c_char_p
        found = self._espeak.espeak_Info(None).decode()
        if found.partition(" ")[0] != version:
            raise ServiceMissingError(
                "PACKAGE_MISSING",
                f"found espeak-ng {found}, expected {version}, for versions speak differently; at {library}; install "
                "the version of espeakng-loader that constraints.txt names",
            )
        self.sample_rate_hz = int(self._espeak.espeak_Initialize(SYNCHRONOUS, 0, data.encode(), NEVER_EXIT))
        if self.sample_rate_hz <= 0:
            raise ServiceMissingError(
                "PACKAGE_MISSING", f"espeak-ng finds no data of voices; at {data}; install espeakng-loader again"
            )
        self._variants = Path(data) / "voices" / "!v"
        self._pieces: list[bytes] = []
        self._callback = _Callback(self._take)  # the library keeps no reference to it
        self._espeak.espeak_SetSynthCallback(self._callback)

    def speak(self, text: str, voice: str, manner: MannerSpec) -> bytes:
        """The samples, int16 in the machine's order. Raises BadDataError (VOICE_UNKNOWN, AUDIO_EMPTY)."""
        variant = voice.partition("+")[2]  # one that is not there is left out without an error
        is_there = not variant or (self._variants / variant).is_file()
        if not is_there or self._espeak.espeak_SetVoiceByName(voice.encode()) != OK:
            raise BadDataError(
                "VOICE_UNKNOWN",
                f"espeak-ng has no voice {voice}; in the source of the corpus; name an accent and a variant as they "
                "are in its folders lang and voices/!v, such as en-us+f1",
            )
        settings = {
            RATE: manner.words_per_minute,
            VOLUME: manner.volume,
            PITCH: manner.pitch,
            RANGE: manner.pitch_range,
        }
        for number, value in settings.items():
            self._espeak.espeak_SetParameter(number, value, 0)
        self._espeak.espeak_ng_SetRandSeed(SEED)  # of the breath of some voices; at first it is the time of day
        self._pieces.clear()
        data = text.encode()
        self._espeak.espeak_Synth(data, len(data) + 1, 0, 0, 0, UTF_8, None, None)
        self._espeak.espeak_Synchronize()
        samples = b"".join(self._pieces)
        if not any(samples):
            raise BadDataError(
                "AUDIO_EMPTY",
                f"{voice} says nothing for {text!r}; in the source of the corpus; correct the sentence or its values",
            )
        return samples

    def _take(self, samples: ctypes._Pointer[ctypes.c_short], count: int, _events: int | None) -> int:
        if count > 0:  # with none of them there is nothing to point at
            self._pieces.append(ctypes.string_at(samples, 2 * count))
        return 0  # go on
