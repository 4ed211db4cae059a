"""The files of a data set's split, and how many images it has.

Out: the files, two folders above a JSON table of the number of images.
"""

import json
from pathlib import Path

from tokengeometry.datasets import fetch
from tokengeometry.logs import log_to
from tokengeometry.study import check_dataset

with log_to(snakemake.log[0]):
    description = Path(snakemake.output.description)
    dataset, split = snakemake.wildcards.dataset, snakemake.wildcards.split
    sizes = fetch(snakemake.params.dataset_class, {split: snakemake.params.arguments}, description.parents[1])
    check_dataset(snakemake.config, dataset, sizes)
    description.write_text(json.dumps(sizes, indent=1) + "\n")
