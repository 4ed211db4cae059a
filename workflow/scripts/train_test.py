"""Figure: α on the train split against α on the test split.

In: the tables of α of the two splits.
"""

from tokengeometry.figures.style import save
from tokengeometry.figures.train_test import train_test
from tokengeometry.operations.logs import log_to
from tokengeometry.tables import read

with log_to(snakemake.log[0]):
    train, test = (read(*snakemake.input[split]) for split in ("train", "test"))
    save(train_test(train, test), snakemake.params.branches, *snakemake.output)
