"""How far α on the train split is from α on the test split.

In: the tables of α of the two splits. Out: a table with a row for each layer.
"""

from tokengeometry.operations.logs import log_to
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    from tokengeometry.tables import read, train_test_table, write

with log_to(snakemake.log[0]):
    train, test = (read(*snakemake.input[split]) for split in ("train", "test"))
    write(snakemake.output.table, train_test_table(train, test))
