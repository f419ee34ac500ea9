"""What the export stage reports: the size of the model and the digest of each file."""

from __future__ import annotations

from wavlm.storage.facts import Facts


class ExportFacts(Facts):
    """The result of the export stage."""

    parameters: int
    no_fairseq_file: str | None  # why there is none; None: there is one
    sha256: dict[str, str]  # by the path below the export's folder
