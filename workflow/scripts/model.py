"""A model in the form that every later job reads.

Out: the weights at the study's image size (safetensors) and what there is to know of the model (JSON).
"""

from pathlib import Path

from tokengeometry.operations.logs import log_to
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    from tokengeometry.errors import StudyError, of_model
    from tokengeometry.model.token_chain import create_model, describe
    from tokengeometry.model.weights import prepare
    from tokengeometry.study import check_model

with log_to(snakemake.log[0]):
    name = snakemake.wildcards.model
    architecture, image_size = snakemake.params.architecture, snakemake.params.image_size
    source = dict(snakemake.config["models"][name]["weights"])
    if snakemake.params.content:
        # The file that this run was planned with, and no other that took its place since.
        source["sha256"] = snakemake.params.content
    try:
        # Before anything is fetched: does what the configuration asks of the model fit its shape?
        shapes = describe(create_model(architecture, image_size, device="meta"), architecture)
    except StudyError as error:
        raise StudyError(of_model(name, str(error))) from error
    check_model(snakemake.config, name, shapes)
    try:
        prepare(
            architecture,
            image_size,
            source,
            snakemake.output.weights,
            snakemake.output.description,
            scratch=Path(snakemake.output.weights).parent,
        )
    except StudyError as error:
        raise StudyError(of_model(name, str(error))) from error
