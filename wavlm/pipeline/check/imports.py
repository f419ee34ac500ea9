"""Models and labels from elsewhere: there, of the network that the spec says, with the layers that are clustered."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from wavlm.errors import BadDataError, CodedError
from wavlm.errors.boundary import code_errors
from wavlm.export.sources import check_network, read_model_network
from wavlm.features.layers import check_grid, check_layers
from wavlm.pipeline.artifacts import Codebook, ImportedModel
from wavlm.pipeline.check.wanted import Finding, Remark, Wanted
from wavlm.pipeline.imported import describe_source, find_files, network_of, place_of
from wavlm.specs import SAMPLE_RATE_HZ, ExternalLabelsSpec, ModelFolder, ModelVersion, hidden_features
from wavlm.specs.frames import FrameGrid


def check_models(wanted: Wanted) -> Iterator[Finding]:
    """Models that are folders are there and describe their network; which version of a registry is meant."""
    for artifact in wanted.of(ImportedModel):
        source = artifact.spec.source
        if isinstance(source, ModelFolder):
            yield from _look(artifact, source)
        elif isinstance(source, ModelVersion) and not artifact.is_known:
            yield Remark(f"{artifact.called}: {describe_source(artifact)}: the run asks the registry")
        else:
            yield Remark(f"{artifact.called}: {describe_source(artifact)}")


def _look(artifact: ImportedModel, source: ModelFolder) -> Iterator[Finding]:
    place = place_of(source)
    if not os.path.lexists(place):
        where = f" (see {artifact.spec.homepage})" if artifact.spec.homepage else ""
        yield BadDataError(
            "MODEL_UNUSABLE",
            f"the model {artifact.called} is not there; at {place}; put it there{where}, or correct `path` of its "
            "source",
        )
        return
    try:
        with code_errors(place):
            files = find_files(artifact.spec, place)
            network = read_model_network(files)
        if network:
            check_network(network, artifact.spec.network, place)
    except CodedError as error:
        yield error
        return
    yield Remark(f"{artifact.called}: {place} is there, layout {files.layout}")


def check_labels_of_others(wanted: Wanted) -> Iterator[Finding]:
    """Files of labels that others made are there. Their bytes are compared by the codebook stage."""
    for codebook in wanted.of(Codebook):
        spec = codebook.spec
        if isinstance(spec, ExternalLabelsSpec) and not Path(spec.file).is_file():
            yield BadDataError(
                "EXTERNAL_FILE",
                f"the file of labels is not there; at {spec.file}; put it there, or correct `file` of the codebook",
            )


def check_teachers(wanted: Wanted) -> Iterator[Finding]:
    """The layers that are clustered are in their teachers, as far as the network is known."""
    for codebook in wanted.of(Codebook):
        hidden = hidden_features(codebook.spec)
        if hidden is None or codebook.teacher is None:
            continue
        try:
            network = network_of(codebook.teacher, wanted.store)
            if network:
                rate_hz = codebook.shards[0].spec.sample_rate_hz if codebook.shards else SAMPLE_RATE_HZ
                where = f"{codebook.name}, a codebook of {codebook.teacher.name}"
                check_grid(FrameGrid.of(network), codebook.grid or FrameGrid.standard(rate_hz), where)
                check_layers(network, (hidden.layer,), hidden.output, where)
        except CodedError as error:
            if error.code in ("LAYER_MISSING", "SAMPLE_RATE"):  # else `check_models` says so
                yield error
