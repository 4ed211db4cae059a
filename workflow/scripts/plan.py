"""What the study costs, before it runs: jobs, memory, disk and operations of every branch and rule.

In: the configuration alone; models are made without weights. Out: a table, printed.
"""

import os
import sys

from tokengeometry.jobs import Size, study_jobs, table
from tokengeometry.logs import log_to
from tokengeometry.models import create_model, describe, weight_counts
from tokengeometry.study import Study, check_model

with log_to(snakemake.log[0]):
    study = Study(snakemake.config)
    sizes = {}
    for name, settings in study.config["models"].items():
        network = create_model(settings["architecture"], settings["image_size"], device="meta")
        sizes[name] = Size(describe(network, settings["architecture"]), *weight_counts(network))
        check_model(study.config, name, sizes[name].model)
    threads = study.config["compute"]["threads"]
    if threads == "auto":
        threads = max(1, os.cpu_count() // 2)
    text = table(study_jobs(study, sizes, threads))
    print(text)
    # Past the log, to the terminal.
    print(f"\n{text}\n", file=sys.__stdout__)
