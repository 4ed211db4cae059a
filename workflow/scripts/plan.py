"""What the study costs, before it runs: jobs, memory, disk and operations of every branch and rule.

In: the configuration alone. Out: a table, printed.
"""

import sys

from tokengeometry.operations.logs import log_to

with log_to(snakemake.log[0]):
    print(snakemake.params.text)
    # Past the log, to the terminal.
    print(f"\n{snakemake.params.text}\n", file=sys.__stdout__)
