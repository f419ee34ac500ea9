"""Two linear layers on each frame: SUPERB's head for phone recognition, with CTC.

B utterances, F frames, D channels, C classes.
"""

from __future__ import annotations

from torch import Tensor, nn

HIDDEN = 256  # s3prl, downstream/ctc/libriphone.yaml: project_dim


class FrameLinear(nn.Module):
    """Linear D to `hidden`, Linear to C, with nothing between them.

    It is a linear map of rank `hidden`; the reference has it so that the number of parameters depends less on D.
    """

    def __init__(self, width: int, num_classes: int, *, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.projection = nn.Linear(width, hidden)
        self.output = nn.Linear(hidden, num_classes)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:  # noqa: ARG002  (no frame depends on another)
        """Logits of each frame: (B, F, D) to (B, F, C)."""
        logits: Tensor = self.output(self.projection(frames))
        return logits
