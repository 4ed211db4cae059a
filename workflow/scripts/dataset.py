"""A data set's files, and how many images each of its splits has.

Out: the files beside a JSON table of sizes.
"""

import json
from pathlib import Path

from tokengeometry.datasets import fetch
from tokengeometry.logs import log_to
from tokengeometry.study import check_dataset

with log_to(snakemake.log[0]):
    description = Path(snakemake.output.description)
    sizes = fetch(snakemake.params.dataset_class, snakemake.params.arguments, description.parent)
    check_dataset(snakemake.config, snakemake.wildcards.dataset, sizes)
    description.write_text(json.dumps(sizes, indent=1) + "\n")
