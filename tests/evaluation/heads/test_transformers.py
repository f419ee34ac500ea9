"""Heads against transformers' models on the same weights: x-vector, CTC, frames, and the translator."""

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    Speech2TextConfig,
    Speech2TextForConditionalGeneration,
    WavLMConfig,
    WavLMForAudioFrameClassification,
    WavLMForCTC,
    WavLMForSequenceClassification,
    WavLMForXVector,
)
from transformers.models.wavlm.modeling_wavlm import WavLMPreTrainedModel

from tests.numerics import require_close
from wavlm.evaluation.heads.ctc import ctc_loss
from wavlm.evaluation.heads.frame_linear import FrameLinear
from wavlm.evaluation.heads.pooled_linear import PooledLinear
from wavlm.evaluation.heads.translation import PADDING_SYMBOL, Translator, translation_loss
from wavlm.evaluation.heads.weighted_sum import WeightedSum
from wavlm.evaluation.heads.xvector import AmSoftmax, XVector

pytestmark = [pytest.mark.numeric, pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")]
WIDTH = 24
LENGTHS = torch.tensor([39, 39])


def config(**changes: object) -> WavLMConfig:
    return WavLMConfig(
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=32,
        conv_dim=[12, 16],
        conv_kernel=[10, 3],
        conv_stride=[5, 2],
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2,
        use_weighted_layer_sum=True,
        vocab_size=7,
        num_labels=5,
        tdnn_dim=[32, 32, 32, 32, 60],
        xvector_output_dim=32,
        **changes,
    )


def waveforms() -> Tensor:
    return torch.randn(2, 409, generator=torch.Generator().manual_seed(0))


def hidden_states(model: WavLMPreTrainedModel) -> Tensor:
    """(B, S, F, D). The model's weights of the layers are no longer those of the start."""
    model.layer_weights.data = torch.linspace(-1, 1, 3)
    return torch.stack(model.wavlm(waveforms(), output_hidden_states=True).hidden_states, dim=1)


def weighted_frames(model: WavLMPreTrainedModel) -> Tensor:
    """(B, F, D), by our weighted sum."""
    states, weighted = hidden_states(model), WeightedSum(3)
    weighted.weights.data = model.layer_weights.data
    return weighted(states)


def as_convolution(kernel: nn.Linear, conv: nn.Conv1d) -> None:
    """The weights of a Linear over unfolded frames, whose inputs are ordered by frame and then by channel."""
    shape = conv.weight.shape
    conv.weight.data = kernel.weight.view(shape[0], shape[2], shape[1]).transpose(1, 2).contiguous()
    conv.bias.data = kernel.bias


@torch.no_grad()
@pytest.mark.parametrize("num_classes", [[5], [2, 3]])
def test_pooled_linear(num_classes: list[int]) -> None:
    """Ours has the mean over time first, theirs last: the head is linear."""
    torch.manual_seed(1)
    model = WavLMForSequenceClassification(config(classifier_proj_size=10)).eval()
    pooled = hidden_states(model).mean(dim=2)
    head = PooledLinear(3, WIDTH, 10, num_classes)
    head.sum.weights.data = model.layer_weights.data
    head.projection, head.classifier = model.projector, model.classifier
    require_close(torch.cat(head(pooled), dim=1), model(waveforms()).logits, 5000)
    assert [logits.shape[1] for logits in head(pooled)] == num_classes


@torch.no_grad()
def test_x_vector_and_its_loss() -> None:
    torch.manual_seed(1)
    model = WavLMForXVector(config()).eval()
    frames, speakers = weighted_frames(model), torch.tensor([3, 1])
    head, margin = XVector(WIDTH, hidden=32, pooled=60), AmSoftmax(32, 5)
    head.projection, head.embedding, head.last = model.projector, model.feature_extractor, model.classifier
    for layer, conv in zip(model.tdnn, head.convs, strict=True):
        as_convolution(layer.kernel, conv)
    margin.speakers.data = model.objective.weight.T
    theirs = model(waveforms(), labels=speakers)
    # transformers has no ReLU behind the last two layers; s3prl has.
    require_close(head.embed(frames, LENGTHS), theirs.embeddings.relu(), 5000)
    require_close(margin(theirs.logits, speakers), theirs.loss, 200)


@torch.no_grad()
def test_one_linear_layer_per_frame() -> None:
    """The first of our two layers is the identity here."""
    torch.manual_seed(1)
    model = WavLMForAudioFrameClassification(config()).eval()
    head = FrameLinear(WIDTH, 5, hidden=WIDTH)
    head.projection.weight.data, head.projection.bias.data = torch.eye(WIDTH), torch.zeros(WIDTH)
    head.output = model.classifier
    frames = weighted_frames(model)
    require_close(head(frames, LENGTHS), model(waveforms()).logits, 5000)


@torch.no_grad()
def test_ctc() -> None:
    torch.manual_seed(1)
    transcripts = [[1, 2, 2, 6], [3]]
    model = WavLMForCTC(config(ctc_loss_reduction="mean", ctc_zero_infinity=True, pad_token_id=0)).eval()
    labels = torch.tensor([transcripts[0], transcripts[1] + [-100] * 3])
    theirs = model(waveforms(), labels=labels)
    require_close(ctc_loss(theirs.logits, LENGTHS, transcripts), theirs.loss, 1000)
    head = FrameLinear(WIDTH, 7, hidden=WIDTH)
    head.projection.weight.data, head.projection.bias.data = torch.eye(WIDTH), torch.zeros(WIDTH)
    head.output = model.lm_head
    frames = model.wavlm(waveforms()).last_hidden_state
    require_close(head(frames, LENGTHS), theirs.logits, 5000)


# Ours to theirs, for each of our layers.
ATTENTION = {"self_attn": "self_attn", "multihead_attn": "encoder_attn"}
NORMS = {
    "encoder": {"norm1": "self_attn_layer_norm", "norm2": "final_layer_norm"},
    "decoder": {"norm1": "self_attn_layer_norm", "norm2": "encoder_attn_layer_norm", "norm3": "final_layer_norm"},
}


def in_transformers(head: Translator, num_symbols: int) -> Speech2TextForConditionalGeneration:
    """The same translator as transformers' Speech2Text, which is a port of fairseq's s2t_transformer."""
    model = Speech2TextForConditionalGeneration(
        Speech2TextConfig(
            vocab_size=num_symbols,
            d_model=32,
            input_feat_per_channel=WIDTH,
            conv_channels=64,
            encoder_layers=2,
            decoder_layers=2,
            encoder_attention_heads=4,
            decoder_attention_heads=4,
            encoder_ffn_dim=128,
            decoder_ffn_dim=128,
            scale_embedding=True,
            tie_word_embeddings=False,
        )
    ).eval()
    theirs = model.model
    for number, conv in enumerate(head.convs):
        theirs.encoder.conv.conv_layers[number].load_state_dict(conv.state_dict())
    theirs.decoder.embed_tokens.load_state_dict(head.embedding.state_dict())
    model.lm_head.load_state_dict(head.output.state_dict())
    for side, ours in (("encoder", head.encoder), ("decoder", head.decoder)):
        other = getattr(theirs, side)
        other.layer_norm.load_state_dict(ours.norm.state_dict())
        for mine, its in zip(ours.layers, other.layers, strict=True):
            its.fc1.load_state_dict(mine.linear1.state_dict())
            its.fc2.load_state_dict(mine.linear2.state_dict())
            for name, name_there in NORMS[side].items():
                getattr(its, name_there).load_state_dict(getattr(mine, name).state_dict())
            for name, name_there in ATTENTION.items():
                if hasattr(mine, name):
                    copy_attention(getattr(mine, name), getattr(its, name_there))
    return model


def copy_attention(ours: nn.MultiheadAttention, theirs: nn.Module) -> None:
    theirs.out_proj.load_state_dict(ours.out_proj.state_dict())
    weights, biases = ours.in_proj_weight.chunk(3), ours.in_proj_bias.chunk(3)
    for name, weight, bias in zip(("q_proj", "k_proj", "v_proj"), weights, biases, strict=True):
        getattr(theirs, name).load_state_dict({"weight": weight, "bias": bias})


@torch.no_grad()
def test_translator() -> None:
    torch.manual_seed(2)
    head = Translator(WIDTH, 11, hidden=32, num_heads=4, num_layers=2).eval()
    for parameter in head.parameters():
        parameter.add_(torch.randn_like(parameter) * 0.1)  # biases and norms are not those of the start
    frames = torch.randn(2, 21, WIDTH)
    symbols = torch.tensor([[2, 5, 4, 7], [2, 9, 10, 6]])
    theirs = in_transformers(head, 11)(frames, decoder_input_ids=symbols).logits
    require_close(head(frames, torch.tensor([21, 21]), symbols), theirs, 4000)


def test_the_loss_of_a_translation_is_that_of_fairseq() -> None:
    """fairseq, criterions/label_smoothed_cross_entropy.py: (1 - e - e_i) nll + e_i smooth, e_i = e / (C - 1)."""
    logits = torch.randn(2, 3, 7, generator=torch.Generator().manual_seed(3))
    following = torch.tensor([[4, 5, 2], [6, 2, PADDING_SYMBOL]])
    each, expected = 0.1 / 6, 0.0
    for row, symbol in zip(logits.flatten(0, 1).log_softmax(-1), following.flatten().tolist(), strict=True):
        if symbol != PADDING_SYMBOL:
            expected += float((1 - 0.1 - each) * -row[symbol] - each * row.sum())
    require_close(translation_loss(logits, following), torch.tensor(expected / 2), 100)
