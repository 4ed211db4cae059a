"""Delete the study's activations and moments that the configuration does not keep, and say how much that freed."""

import sys

from tokengeometry.errors import StudyError
from tokengeometry.operations.logs import log_to
from tokengeometry.operations.running import being_made
from tokengeometry.operations.space import free, in_words
from tokengeometry.study import Study

with log_to(snakemake.log[0]):
    # The versions are for the report's head.
    study = Study({key: its for key, its in snakemake.config.items() if key != "versions"})
    made = being_made([f"{study.folder}/{model}" for model in study.config["models"]])
    if made:
        raise StudyError(f"another run is making {made[0]}; wait for its end")
    freed = free(study)
    said = f"freed: {in_words(freed)}" if freed else "there is nothing to free: all that is there is to be kept"
    print(said)
# Past the log, to the terminal.
print(said, file=sys.__stdout__)
