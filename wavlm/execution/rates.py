"""How much a core gets through, as measured (docs/performance.md): for plans, estimates, and numbers of processes.

Seconds of audio per second of one core.
"""

from __future__ import annotations

DECODE_RATE = 7_000
MFCC_RATE = 2_500
RESAMPLE_RATE = 6_500
ENCODE_RATE = 2_850
