"""One of two ranks that ends right after its last exchange: `python -m tests.engine.ending`."""

from wavlm.engine.ranks import join_ranks
from wavlm.execution.runtime import Runtime
from wavlm.execution.trainer_process import run_to_end

HELD = []  # as a trainer holds its ranks; the group of `once` lives as long as they do


def main() -> int:
    with join_ranks(Runtime(threads=1)) as ranks:
        HELD.append(ranks)
        ranks.once(lambda: None)
    return 0


if __name__ == "__main__":
    run_to_end(main)
