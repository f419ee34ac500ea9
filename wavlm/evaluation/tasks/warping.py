"""Where in a document a query is: subsequence dynamic time warping, as SUPERB's reference compares them.

Each frame of the query meets one frame of the document. The next frame of the query meets the same frame, the next one
or the one after it (step pattern "asymmetric" of Giorgino 2009, J. Stat. Softw. 31-7). The path begins and ends
anywhere in the document. The cost of a path is the mean distance of the pairs on it.

A row of costs depends on the row before alone, so all frames of all documents are computed at once.

Legend: Q frames of a query, B documents, F frames of a document, D channels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

SMALLEST = 1e-9  # of what is divided by, as in the reference
Distance = Literal["cosine_exp", "cosine"]
_DISTANCES: dict[Distance, Callable[[Tensor], Tensor]] = {
    "cosine_exp": lambda cosines: torch.expm1(1 - cosines),
    "cosine": lambda cosines: 1 - cosines,
}


def match_costs(query: Tensor, documents: Tensor, num_frames: Tensor, distance: Distance) -> Tensor:
    """The cost of the best path through each document: query (Q, D), documents (B, F, D), num_frames (B,) to (B,).

    The distances of a frame of the query are scaled to 0 to 1 over the frames of each document (s3prl,
    downstream/quesst14_dtw: minmax_norm). All vectors have length 1.
    """
    num_documents, longest, _ = documents.shape
    is_padding = torch.arange(longest, device=documents.device) >= num_frames[:, None]  # (B, F)
    cosines = (query @ documents.flatten(0, 1).T).view(-1, num_documents, longest)
    distances = _DISTANCES[distance](cosines)  # (Q, B, F)
    lowest = distances.masked_fill(is_padding, torch.inf).amin(dim=2, keepdim=True)
    highest = distances.masked_fill(is_padding, -torch.inf).amax(dim=2, keepdim=True)
    # In place: copies of all pairs of frames take as long as the search.
    scaled = distances.sub_(lowest).div_((highest - lowest).clamp_(min=SMALLEST))
    return best_path_costs(scaled.masked_fill_(is_padding, torch.inf))


def best_path_costs(distances: Tensor) -> Tensor:
    """The least mean distance of a path: distances (Q, B, F), infinite in the padding, to (B,)."""
    costs = distances[0]
    for row in distances[1:]:
        before = torch.nn.functional.pad(costs, (2, 0), value=torch.inf)
        costs = row + torch.minimum(torch.minimum(costs, before[:, 1:-1]), before[:, :-2])
    return costs.amin(dim=1) / len(distances)
