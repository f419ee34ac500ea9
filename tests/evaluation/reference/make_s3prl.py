"""Write s3prl.npz: what s3prl 0.4.18's heads compute with the weights and inputs of values.py.

It runs in an environment of its own, with torch, numpy, s3prl==0.4.18, tensorboard, librosa and torchaudio without its
compiled libraries (the published wheel needs CUDA):

    PYTHONPATH=. python -m tests.evaluation.reference.make_s3prl

Only its outputs are kept. `NAME` is an output of narrow layers, `NAME-full` of the published ones, and `NAME-losses`
are the losses before each of three updates by Adam and after them, without dropout.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from tests.evaluation.reference import values

SHOWN_FREQUENCIES = slice(0, 257, 16)
LENGTHS = torch.tensor(values.LENGTHS)
OUT = Path(__file__).with_name("s3prl.npz")


def main() -> None:
    """Stub what is imported and not used, compute, and write."""
    for name, attributes in {
        "torchaudio.sox_effects": ("apply_effects_tensor", "apply_effects_file"),
        "asteroid": (),
        "asteroid.losses": ("PITLossWrapper",),
        "asteroid.metrics": ("get_metrics",),
        "h5py": (),
    }.items():
        stub = ModuleType(name)
        for attribute in attributes:
            setattr(stub, attribute, None)
        sys.modules[name] = stub
    import torchaudio

    torchaudio.set_audio_backend = lambda *_: None
    results: dict[str, np.ndarray] = {}
    for part in (linear, recurrent, x_vector, diarization, masks, conversion):
        found = part()
        results |= {name: tensor.detach().numpy() for name, tensor in found.items()}
    np.savez_compressed(OUT, **results)
    sys.stdout.write(f"{OUT.name}: {len(results)} arrays, {OUT.stat().st_size} bytes\n")


def filled(module: nn.Module) -> nn.Module:
    """The module with the weights of values.py, under its own names."""
    state = {name: torch.from_numpy(values.weight(name, tuple(x.shape))) for name, x in module.named_parameters()}
    module.load_state_dict(state, strict=False)
    return module.eval()


def losses(module: nn.Module, loss: Callable[[], Tensor], parameters: list[nn.Parameter] | None = None) -> Tensor:
    """The losses before each of three updates and after them."""
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
        if isinstance(part, nn.LSTM):
            part.dropout = 0.0
    module.train()
    adam = torch.optim.Adam(parameters or list(module.parameters()), lr=values.LEARNING_RATE)
    found = []
    for _ in range(values.NUM_UPDATES):
        adam.zero_grad()
        current = loss()
        found.append(float(current.detach()))
        current.backward()
        adam.step()
    return torch.tensor([*found, float(loss())])


def frames(width: int) -> Tensor:
    return torch.from_numpy(values.frames(width))


def pairs(narrow: Any, full: Any) -> list[tuple[str, int, Any]]:
    return [("", values.WIDTH, narrow), ("-full", values.FULL_WIDTH, full)]


def linear() -> dict[str, Tensor]:
    from s3prl.nn import FrameLevelLinear, MeanPoolingLinear

    found = {}
    for suffix, width, hidden in pairs(8, 256):
        pooled = filled(MeanPoolingLinear(width, values.NUM_CLASSES, hidden))
        framed = filled(FrameLevelLinear(width, values.NUM_CLASSES, hidden))
        found[f"pooled_linear{suffix}"] = pooled(frames(width), LENGTHS)
        found[f"frame_linear{suffix}"] = framed(frames(width), LENGTHS)[0]
    return found


def recurrent() -> dict[str, Tensor]:
    from s3prl.nn import RNNEncoder

    found = {}
    for suffix, width, hidden in pairs(10, 1024):
        for name, projected in (("blstm", False), ("blstm_tanh", True)):
            module = RNNEncoder(
                width,
                values.NUM_CLASSES,
                hidden_size=[hidden, hidden],
                dropout=[0.2, 0.2],
                layer_norm=[False, False],
                proj=[projected, projected],
                sample_rate=[1, 1],
                bidirectional=True,
                proj_size=hidden,
            )
            filled(module)
            found[name + suffix] = module(frames(width), LENGTHS)[0]
            if not suffix:
                found[f"{name}-losses"] = losses(module, partial(ctc_of, module))
    return found


def ctc_of(module: nn.Module) -> Tensor:
    logits, lengths = module(frames(values.WIDTH), LENGTHS)
    targets, counts = torch.tensor([[1, 2, 2, 3], [4, 1, 0, 0]]), torch.tensor([4, 2])
    return nn.CTCLoss(blank=0, zero_infinity=True)(logits.log_softmax(-1).transpose(0, 1), targets, lengths, counts)


def x_vector() -> dict[str, Tensor]:
    from s3prl.nn import SuperbXvector
    from s3prl.nn.speaker_loss import amsoftmax

    speaker_verification = importlib.import_module("s3prl.downstream.sv_voxceleb1.model")
    module = filled(SuperbXvector(values.WIDTH))
    found = {"xvector": module(frames(values.WIDTH), LENGTHS)[:, ::8]}
    module.train()
    found["xvector-training"] = module(frames(values.WIDTH), LENGTHS)[:, ::8]
    vectors = torch.from_numpy(values.uniform("vectors", 4, 8))
    speakers = torch.tensor([0, 2, 1, 2])
    margin = filled(amsoftmax(8, 3, margin=0.4, scale=30.0))
    found["am_softmax"] = margin(vectors, speakers)[0]
    found["am_softmax-downstream"] = filled(speaker_verification.AMSoftmaxLoss(8, 3, 30.0, 0.4))(vectors, speakers)
    small = filled(amsoftmax(512, 3, margin=0.4, scale=30.0))
    found["xvector-losses"] = losses(
        module,
        lambda: small(module(frames(values.WIDTH), LENGTHS), torch.tensor([0, 2]))[0],
        [*module.parameters(), *small.parameters()],
    )
    return found


def diarization() -> dict[str, Tensor]:
    from s3prl.nn import SuperbDiarizationModel
    from s3prl.nn.pit import pit_loss

    found = {}
    for suffix, width, hidden in pairs(10, 512):
        for num_speakers in (2, 3):
            module = filled(SuperbDiarizationModel(width, num_speakers, 1, hidden))
            logits, _ = module(frames(width), LENGTHS)
            activity = torch.from_numpy(values.activity(num_speakers))
            found[f"diarizer-{num_speakers}{suffix}"] = logits
            found[f"diarizer-{num_speakers}-loss{suffix}"] = pit_loss(logits, activity, LENGTHS)[0]
    module = filled(SuperbDiarizationModel(values.WIDTH, 2, 1, 10))
    truth = torch.from_numpy(values.activity(2))
    found["diarizer-losses"] = losses(
        module, lambda: pit_loss(module(frames(values.WIDTH), LENGTHS)[0], truth, LENGTHS)[0]
    )
    return found


def masks() -> dict[str, Tensor]:
    enhancement = importlib.import_module("s3prl.downstream.enhancement_stft.model")
    objective = importlib.import_module("s3prl.downstream.separation_stft.loss")
    after = importlib.import_module("s3prl.downstream.separation_stft.expert")
    found = {}
    for suffix, width, hidden in pairs(10, 896):
        for num_sources in (1, 2):
            module = filled(enhancement.SepRNN(width, 257, num_spks=num_sources, hidden_size=hidden, dropout=0.5))
            packed = pack_padded_sequence(frames(width), LENGTHS, batch_first=True)
            mixture, sources = (torch.from_numpy(x) for x in values.spectra(num_sources))
            mixed = {"magnitude": mixture.abs(), "phase": mixture.angle()}
            truth = {"magnitude": list(sources.abs().unbind(1)), "phase": list(sources.angle().unbind(1))}
            loss = objective.MSELoss(num_sources, "NPSM")
            made = module(packed)
            found[f"masks-{num_sources}{suffix}"] = torch.stack(made, 1)[..., SHOWN_FREQUENCIES]
            found[f"masks-{num_sources}-loss{suffix}"] = loss.compute_loss(made, LENGTHS, mixed, truth)
            if not suffix:
                of_masks = partial(loss.compute_loss, feat_length=LENGTHS, source_attr=mixed, target_attr=truth)
                found[f"masks-{num_sources}-losses"] = losses(module, partial(chain, of_masks, module, packed))
    sound = values.uniform("sound", 4000, size=0.5)
    sound[3700], sound[3950:] = 0.9, 0
    found["without_end_impulse"] = torch.from_numpy(after.postprocess(sound)[3600:3800])
    return found


def chain(loss: Any, module: nn.Module, packed: Any) -> Tensor:
    return loss(module(packed))


def conversion() -> dict[str, Tensor]:
    taco = importlib.import_module("s3prl.downstream.a2o-vc-vcc2020.model")
    statistics = SimpleNamespace(
        mean_=values.uniform("mean", values.NUM_BANDS), scale_=1.5 + values.uniform("scale", values.NUM_BANDS)
    )
    found = {}
    for suffix, width, hidden in pairs(16, 1024):
        module = taco.Model(
            width,
            values.NUM_BANDS,
            1.875,
            statistics,
            ar=True,
            encoder_type="taco2",
            hidden_dim=hidden,
            lstmp_layers=2,
            lstmp_dropout_rate=0.2,
            lstmp_proj_dim=256,
            lstmp_layernorm=False,
            prenet_dim=hidden // 4,
            prenet_dropout_rate=0.0,
        )
        if not suffix:
            module.encoder = taco.Taco2Encoder(width, eunits=hidden, econv_chans=hidden // 2)
        filled(module)
        found[f"converter{suffix}"] = module(frames(width)[:1], LENGTHS[:1])[0]  # the reference pads its convolutions
        if not suffix:
            true = torch.from_numpy(values.uniform("mel", 2, 45, values.NUM_BANDS))
            same = torch.full((2,), max(values.LENGTHS))
            found["converter-forced"] = module(frames(width), same, true)[0]
            found["converter-losses"] = losses(module, partial(distance, module, true))
    return found


def distance(module: Any, true: Tensor) -> Tensor:
    same = torch.full((2,), max(values.LENGTHS))
    made = module(frames(values.WIDTH), same, true)[0]
    return (module.normalize(made) - module.normalize(true)).abs().mean()


if __name__ == "__main__":
    main()
