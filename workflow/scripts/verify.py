"""Read every store of the study and list the damaged ones; it fails where there is one."""

from tokengeometry.operations.logs import log_to
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    from tokengeometry.errors import StudyError
    from tokengeometry.storage import zarr_store

with log_to(snakemake.log[0]):
    found = zarr_store.damaged(snakemake.params.folder, leave_out=snakemake.params.others)
    damaged = [error for error in found.values() if error]
    print(*damaged, sep="\n")
    if damaged:
        raise StudyError(f"{len(damaged)} of {len(found)} stores are damaged")
print(f"{len(found)} stores are whole")
