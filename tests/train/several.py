"""In place of `srun`: `python -m tests.train.several COUNT COMMAND ...` runs a command so many times, side by side."""

from __future__ import annotations

import subprocess
import sys

if __name__ == "__main__":
    count, *command = sys.argv[1:]
    started = [subprocess.Popen(command) for _ in range(int(count))]
    sys.exit(max(process.wait() for process in started))
