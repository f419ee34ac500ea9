"""The network: a pure torch module that knows no data, no files of ours but its own, no trainer."""

from wavlm.nn.files import ModelFileError as ModelFileError
from wavlm.nn.files import load_model as load_model
from wavlm.nn.files import save_model as save_model
from wavlm.nn.head import LossTerms as LossTerms
from wavlm.nn.wavlm import WavLM as WavLM
from wavlm.specs.shapes import num_frames as num_frames
