"""The files of a data set's split, and which images it has.

Out: the files, two folders above a JSON table: the data set's class, the split's arguments, how many images it has
and their identity.
"""

import json
from pathlib import Path

from tokengeometry.operations.logs import log_to
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    from tokengeometry.data.download import fetch
    from tokengeometry.data.split_identity import describe
    from tokengeometry.data.splits import open_split
    from tokengeometry.data.torchvision_classes import folder_of
    from tokengeometry.study import check_dataset

with log_to(snakemake.log[0]):
    description = Path(snakemake.output.description)
    dataset, split = snakemake.wildcards.dataset, snakemake.wildcards.split
    dataset_class, arguments = snakemake.params.dataset_class, snakemake.params.arguments
    root, white = description.parents[1], snakemake.params.white
    sizes = fetch(dataset_class, {split: arguments}, root, white=white)
    check_dataset(snakemake.config, dataset, sizes)
    # As the jobs that read the images will open it.
    opened = open_split(dataset_class, arguments, root, white)
    made = describe(opened, dataset_class, arguments, folder_of(arguments, root))
    description.write_text(json.dumps(made, indent=1) + "\n")
