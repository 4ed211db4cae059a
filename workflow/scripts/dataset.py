"""The files of a data set's split, and how many images it has.

Out: the files, two folders above a JSON table: the data set's class, the split's arguments, how many images it has.
"""

import json
from pathlib import Path

from tokengeometry.fetching import fetch
from tokengeometry.logs import log_to
from tokengeometry.study import check_dataset

with log_to(snakemake.log[0]):
    description = Path(snakemake.output.description)
    dataset, split = snakemake.wildcards.dataset, snakemake.wildcards.split
    dataset_class, arguments = snakemake.params.dataset_class, snakemake.params.arguments
    sizes = fetch(dataset_class, {split: arguments}, description.parents[1])
    check_dataset(snakemake.config, dataset, sizes)
    made = {"class": dataset_class, "arguments": arguments, "images": sizes[split]}
    description.write_text(json.dumps(made, indent=1) + "\n")
