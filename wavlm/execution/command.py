"""The command `wavlm`: starts the command line, if `flows` and `tasks` are its own.

Almost nothing is imported before stop signals are handled: what takes time comes after.
"""

from __future__ import annotations

import sys

from wavlm.execution.stop import end_on_signals


def main() -> None:
    """Entry point."""
    end_on_signals()
    from wavlm.errors import CodedError
    from wavlm.execution.installation import require_own_packages
    from wavlm.storage.encoding import require_utf8

    try:
        require_own_packages()
        require_utf8()
    except CodedError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
    from importlib import import_module

    import_module("flows.cli").main()  # by name: wavlm does not depend on the layers above it


if __name__ == "__main__":
    main()
