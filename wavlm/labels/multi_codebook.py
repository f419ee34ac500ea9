"""Several codebooks that add up: a frame is about the sum of one centre of each, x ~ mean + sum_c centre[c, i_c].

Fitting begins with k-means of what the codebooks before leave. Then two steps take turns: encode all frames, and solve
for all centres at once (least squares). Encoding keeps the best few partial sums, codebook by codebook, and then
chooses the centre of each codebook anew, given those of the others.

    |x - sum_c s_c|^2 - |x|^2 = sum_c (|s_c|^2 - 2 x . s_c) + 2 sum_{b < c} s_b . s_c

needs the products of x with the centres and those of the centres with each other, and no other one of D channels.

Legend: N frames, D channels, C codebooks (streams), K centres of each, W partial sums that are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import faiss
import numpy as np
import torch
from torch import Tensor

from wavlm.features.mfcc import Floats
from wavlm.labels.centroids import NO_CLUSTER
from wavlm.labels.files import Labels

WIDTH = 8  # partial sums that are kept; with K <= 8 the best pair of two codebooks is always found
SWEEPS = 5  # as the refinements of k2-fsa/multi_quantization
ROWS = 2048  # frames that are encoded together: 16 MB per codebook
PULL = 1e-2  # frames' worth of weight with which a centre stays where it was: one without frames does not move


@dataclass(frozen=True, eq=False)
class SummedCodebooks:
    """A quantizer of several codebooks."""

    mean: Floats  # (D,)
    centres: Floats  # (C, K, D)

    def first(self, count: int) -> SummedCodebooks:
        """The first codebooks alone."""
        return SummedCodebooks(self.mean, self.centres[:count])

    def decode(self, codes: Labels) -> Floats:
        """The sums that codes stand for: (N, C) -> (N, D)."""
        total = np.tile(self.mean, (len(codes), 1))
        for stream, centres in enumerate(self.centres):
            total += centres[codes[:, stream]]
        return total

    def encode(self, frames: Floats) -> Labels:
        """The codes of frames: (N, D) -> (N, C)."""
        codes = SummedAssign(self, "cpu").search(torch.from_numpy(np.ascontiguousarray(frames)))
        return codes.numpy().astype(np.uint16)

    def errors(self, frames: Floats) -> Floats:
        """The squared error of each frame: (N, D) -> (N,)."""
        squares: Floats = np.square(frames - self.decode(self.encode(frames))).sum(axis=1)
        return squares


class SummedAssign:
    """The function from frames (B, F, D) to labels (B, F, C), of one codebook (B, F), on a device."""

    def __init__(self, quantizer: SummedCodebooks, device: str) -> None:
        self._mean = torch.from_numpy(quantizer.mean).to(device)
        centres = torch.from_numpy(quantizer.centres).to(device)
        self._sizes = centres.shape[:2]
        self._centres = centres.flatten(0, 1)  # (C K, D)
        self._products = (self._centres @ self._centres.T).view(*self._sizes, *self._sizes)  # (C, K, C, K)
        self._norms = self._centres.square().sum(1).view(self._sizes)

    def __call__(self, frames: Tensor) -> Tensor:
        codes = self.search(frames.flatten(0, -2)).to(torch.int16)
        streams = codes.shape[1:] if codes.shape[1] > 1 else ()
        return codes.view(*frames.shape[:-1], *streams)

    def search(self, rows: Tensor) -> Tensor:
        """Codes (N, C) of rows (N, D). Rows that are not finite get NO_CLUSTER."""
        if not len(rows):
            return torch.zeros(0, self._sizes[0], dtype=torch.int64, device=rows.device)
        return torch.cat([self._encode(part) for part in torch.split(rows, ROWS)])

    def _encode(self, rows: Tensor) -> Tensor:
        alone = self._norms - 2 * ((rows - self._mean) @ self._centres.T).view(-1, *self._sizes)  # (N, C, K)
        codes = self._refine(alone, self._begin(alone))
        return codes.masked_fill(~rows.isfinite().all(1, keepdim=True), NO_CLUSTER)

    def _begin(self, alone: Tensor) -> Tensor:
        """The codes of the best sum of those that were kept: (N, C)."""
        num_rows, num_streams, num_centres = alone.shape
        costs, first = alone[:, 0].topk(min(WIDTH, num_centres), largest=False)  # (N, W)
        codes = first[:, :, None]  # (N, W, 1)
        for stream in range(1, num_streams):
            added = costs[:, :, None] + alone[:, None, stream]  # (N, W, K)
            for before in range(stream):
                added = added + 2 * self._products[before, codes[:, :, before], stream]
            costs, places = added.flatten(1).topk(min(WIDTH, added[0].numel()), largest=False)
            kept = codes.take_along_dim((places // num_centres)[:, :, None], 1)
            codes = torch.cat([kept, (places % num_centres)[:, :, None]], 2)
        best = costs.argmin(1)
        return codes[torch.arange(num_rows, device=codes.device), best]

    def _refine(self, alone: Tensor, codes: Tensor) -> Tensor:
        """Choose the centre of each codebook anew, given those of the others, some times over."""
        codes = codes.clone()
        for _ in range(SWEEPS if alone.shape[1] > 1 else 0):
            before = codes.clone()
            for stream in range(alone.shape[1]):
                costs = alone[:, stream].clone()
                for other in range(alone.shape[1]):
                    if other != stream:
                        costs += 2 * self._products[other, codes[:, other], stream]
                codes[:, stream] = costs.argmin(1)
            if torch.equal(before, codes):
                break
        return codes


@dataclass(frozen=True, eq=False)
class SummedFit:
    """A fitted quantizer, and the mean squared error of the sample in each round."""

    quantizer: SummedCodebooks
    errors: tuple[float, ...]


def fit_codebooks(sample: Floats, num_streams: int, num_clusters: int, iterations: int, seed: int) -> SummedFit:
    """Fit several codebooks to a sample (N, D)."""
    mean = sample.mean(axis=0, dtype=np.float64).astype(np.float32)
    rest = sample - mean
    centres = np.empty((num_streams, num_clusters, sample.shape[1]), np.float32)
    for stream in range(num_streams):
        centres[stream] = _cluster(rest, num_clusters, seed + stream)
        alone = SummedCodebooks(np.zeros_like(mean), centres[stream][None])
        rest = rest - alone.decode(alone.encode(rest))
    quantizer, errors = SummedCodebooks(mean, centres), []
    for _ in range(iterations):
        codes = quantizer.encode(sample)
        quantizer = SummedCodebooks(mean, _solve(sample - mean, codes, quantizer.centres))
        errors.append(float(np.square(sample - quantizer.decode(codes)).sum(axis=1).mean(dtype=np.float64)))
    return SummedFit(quantizer, tuple(errors))


def _cluster(rows: Floats, num_clusters: int, seed: int) -> Floats:
    kmeans = faiss.Kmeans(
        rows.shape[1],
        num_clusters,
        niter=10,
        seed=seed,
        max_points_per_centroid=-(-len(rows) // num_clusters),
        min_points_per_centroid=1,
    )
    kmeans.train(np.ascontiguousarray(rows))
    return np.asarray(kmeans.centroids, np.float32)


def _solve(rows: Floats, codes: Labels, before: Floats) -> Floats:
    """The centres with the least squared error for these codes, (C, K, D): the normal equations, in float64."""
    num_streams, num_centres, channels = before.shape
    size = num_streams * num_centres
    places = codes.astype(np.int64) + np.arange(num_streams) * num_centres  # (N, C)
    pairs = np.zeros(size * size, np.int64)
    sums = np.zeros((size, channels))
    for one in range(num_streams):
        for other in range(num_streams):
            pairs += np.bincount(places[:, one] * size + places[:, other], minlength=size * size)
        order = np.argsort(places[:, one], kind="stable")
        used, starts = np.unique(places[order, one], return_index=True)
        sums[used] = np.add.reduceat(rows[order].astype(np.float64), starts, axis=0)
    matrix = pairs.reshape(size, size) + PULL * np.eye(size)
    solved = np.linalg.solve(matrix, sums + PULL * before.reshape(size, channels).astype(np.float64))
    return solved.reshape(before.shape).astype(np.float32)
