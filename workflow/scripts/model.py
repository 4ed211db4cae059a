"""A model in the form that every later job reads.

Out: the weights at the study's image size (safetensors) and what there is to know of the model (JSON).
"""

from pathlib import Path

from tokengeometry.logs import log_to
from tokengeometry.models import create_model, describe
from tokengeometry.study import check_model
from tokengeometry.weights import prepare

with log_to(snakemake.log[0]):
    architecture, image_size = snakemake.params.architecture, snakemake.params.image_size
    # Before anything is fetched: does what the configuration asks of the model fit its shape?
    shapes = describe(create_model(architecture, image_size, device="meta"), architecture)
    check_model(snakemake.config, snakemake.wildcards.model, shapes)
    prepare(
        architecture,
        image_size,
        snakemake.params.source,
        snakemake.output.weights,
        snakemake.output.description,
        scratch=Path(snakemake.output.weights).parent,
    )
