"""A convolution without padding, as matrix products on strided views: no im2col, no copies.

With channels last, the k input frames of output frame t are k C consecutive numbers, from number s t C on. They are
one row of length k C in a matrix whose rows are s C apart. If k > s the rows overlap, which matrix libraries do not
support. But every m-th row, m = ceil(k / s), has no overlap. So

    forward          m products, phase r = 0..m-1 for output frames r, r + m, ...
    input gradient   dx[s e + i] = sum over l of dz[e - l] w[i + s l]' is a convolution of dz with
                     L taps, L = ceil((k - i) / s): again L phases, together for all i of equal L
    weight gradient  dw[i + s l] = sum over e of dz[e - l]' x[s e + i]: one product for each l

Each element is written once, and each sum is inside one product.

On a CPU in fp32 the first two are convolutions of oneDNN instead. For oneDNN a matrix (R, C) is an image of one line
with channels last, so nothing is copied either. On an AMD processor with AVX-512 this is 2 times as fast as products
of MKL. The weight gradient is a product there too.

Utterances are stored one after another, padded to P frames with P_in = s P_out, so a batch is one matrix too. The
values of padded frames are finite and not used. Their gradients dz are zero, and there are at least m - 1 of them
(the `lead`) before the first frame of each utterance.

R rows (frames of all utterances, padded), E rows of dz, C and D channels of input and output.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional


class Strided:
    """One convolution and the operands of its products; weight (D, C, k)."""

    def __init__(self, weight: Tensor, stride: int, dtype: torch.dtype) -> None:
        self._parameter, self._dtype = weight, dtype
        self.outputs, self.inputs, self.kernel = weight.shape
        self.stride = stride
        self.phases = -(-self.kernel // stride)
        self.lead = self.phases - 1

    @cached_property
    def weight(self) -> Tensor:
        """(D, C, k) in the type of the computation."""
        return self._parameter.to(self._dtype)

    @cached_property
    def _operand(self) -> Tensor:
        return self.weight.permute(0, 2, 1).reshape(self.outputs, -1).t()  # (k C, D)

    def read(self, rows: slice) -> slice:
        """The input frames at the positions of these output frames: `stride` each."""
        return slice(rows.start * self.stride, rows.stop * self.stride)

    def seen(self, rows: slice, count: int) -> slice:
        """The input frames, of `count`, that these output frames are computed from."""
        last = (rows.stop - 1) * self.stride + self.kernel
        return slice(rows.start * self.stride, min(last, count))

    def forward(self, x: Tensor, out: Tensor, bias: Tensor | None) -> None:
        """x (R, C) -> out (rows, D), written in place. Rows for which x is too short are 0."""
        rows = max(0, min((x.shape[0] - self.kernel) // self.stride + 1, out.shape[0]))
        bias = None if bias is None else bias.to(x.dtype)
        out[rows:].zero_()
        if self._by_onednn and rows:
            seen = x[: (rows - 1) * self.stride + self.kernel]
            z = functional.conv2d(_image(seen), self._filters, bias, (1, self.stride))
            out[:rows] = _matrix(z)
            return
        step = self.stride * self.inputs
        for phase in range(min(self.phases, rows)):
            some = out[phase : rows : self.phases]
            shape = (some.shape[0], self.kernel * self.inputs)
            view = _rows(x, phase * step, shape, self.phases * step)
            if bias is None:
                torch.mm(view, self._operand, out=some)
            else:
                torch.addmm(bias, view, self._operand, out=some)

    def input_gradient(self, dz: Tensor) -> Tensor:
        """dz (lead + E, D), its first `lead` rows from before the block -> dx (s E, C)."""
        rows = dz.shape[0] - self.lead
        if self._by_onednn and rows:
            dx = functional.conv_transpose2d(_image(dz), self._filters, None, (1, self.stride))
            return _matrix(dx)[self.lead * self.stride :][: rows * self.stride]
        dx = dz.new_empty(rows, self.stride * self.inputs)
        for columns, taps, operand in self._transposed:
            for phase in range(min(taps, rows)):
                some = dx[phase::taps, columns]
                start = phase + self.lead - taps + 1
                shape = (some.shape[0], taps * self.outputs)
                view = _rows(dz, start * self.outputs, shape, taps * self.outputs)
                torch.mm(view, operand, out=some)
        dx[:, self.kernel * self.inputs :].zero_()  # input frames that no output frame uses, if k < s
        return dx.view(-1, self.inputs)

    def no_gradient(self) -> Tensor:
        """A zero sum of weight gradients (D, k C), in fp32 or wider."""
        wide = torch.promote_types(self._dtype, torch.float32)
        return self._parameter.new_zeros(self.outputs, self.kernel * self.inputs, dtype=wide)

    def add_weight_gradient(self, x: Tensor, dz: Tensor, total: Tensor) -> None:
        """Add the weight gradient of x (s E, C) and dz (lead + E, D) to total (D, k C), in place."""
        rows = dz.shape[0] - self.lead
        x = x.view(rows, -1)
        for later in range(self.phases):
            start = later * self.stride * self.inputs
            some = total[:, start : start + self.stride * self.inputs]
            d_rows = dz[self.lead - later :][:rows].t()
            if x.dtype == total.dtype:
                some.addmm_(d_rows, x[:, : some.shape[1]])
            else:
                some.add_(d_rows @ x[:, : some.shape[1]])

    def weight_gradient(self, total: Tensor) -> Tensor:
        """The summed gradient (D, k C) in the layout (D, C, k) and the type of the weight."""
        split = total.view(self.outputs, self.kernel, self.inputs).permute(0, 2, 1)
        return split.to(self._parameter.dtype).contiguous()

    @property
    def _by_onednn(self) -> bool:
        is_cpu = self._parameter.device.type == "cpu" and self._dtype == torch.float32
        has_onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        return bool(is_cpu and self.kernel >= self.stride and has_onednn)

    @cached_property
    def _filters(self) -> Tensor:
        """(D, C, 1, k), channels last."""
        return self.weight[:, :, None].contiguous(memory_format=torch.channels_last)

    @cached_property
    def _transposed(self) -> list[tuple[slice, int, Tensor]]:
        """Columns of dx (., s C), the number of taps L of dz for them, and the matrix (L D, columns)."""
        return list(self._column_ranges())

    def _column_ranges(self) -> Iterator[tuple[slice, int, Tensor]]:
        split = self.kernel - self.lead * self.stride  # input frames i < split have one more tap
        for start, stop, taps in ((0, split, self.phases), (split, self.stride, self.lead)):
            if taps == 0 or start == stop:
                continue
            oldest_first = [
                self.weight[:, :, start + self.stride * later : stop + self.stride * later]
                for later in reversed(range(taps))
            ]
            operand = torch.cat(oldest_first).permute(0, 2, 1)  # (L D, stop - start, C)
            columns = slice(start * self.inputs, stop * self.inputs)
            yield columns, taps, operand.reshape(taps * self.outputs, -1)


def _image(x: Tensor) -> Tensor:
    """A matrix (R, C) as an image (1, C, 1, R) with channels last; a view."""
    return x.t()[None, :, None]


def _matrix(image: Tensor) -> Tensor:
    """An image (1, C, 1, R) with channels last as a matrix (R, C); a view."""
    return image[0, :, 0].t()


def _rows(x: Tensor, start: int, shape: tuple[int, int], step: int) -> Tensor:
    """The numbers of x, a contiguous matrix, as rows of another length and distance; a view."""
    return x.as_strided(shape, (step, 1), x.storage_offset() + start)
