"""Read every store of the study and list the damaged ones; it fails where there is one."""

from tokengeometry import stores
from tokengeometry.errors import StudyError
from tokengeometry.logs import log_to

with log_to(snakemake.log[0]):
    found = stores.damaged(snakemake.params.folder, leave_out=snakemake.params.others)
    damaged = [error for error in found.values() if error]
    print(*damaged, sep="\n")
    if damaged:
        raise StudyError(f"{len(damaged)} of {len(found)} stores are damaged")
print(f"{len(found)} stores are whole")
