"""The network: a torch module that depends on no data, no trainer, and no files but its own."""

from wavlm.nn.files import ModelFileError as ModelFileError
from wavlm.nn.files import load_model as load_model
from wavlm.nn.files import save_model as save_model
from wavlm.nn.head import LossTerms as LossTerms
from wavlm.nn.wavlm import WavLM as WavLM
from wavlm.specs.shapes import num_frames as num_frames
