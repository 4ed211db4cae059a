"""What the study costs, before it runs: jobs, memory, disk and operations of every branch and rule.

In: the configuration alone; models are made without weights. Out: a table, printed.
"""

import os
import sys

from tokengeometry.model.token_chain import create_model, describe
from tokengeometry.operations.jobs import study_jobs, table
from tokengeometry.operations.logs import log_to
from tokengeometry.study import Study, check_model

with log_to(snakemake.log[0]):
    study = Study(snakemake.config)
    models = {}
    for name, settings in study.config["models"].items():
        network = create_model(settings["architecture"], settings["image_size"], device="meta")
        models[name] = describe(network, settings["architecture"])
        check_model(study.config, name, models[name])
    threads = direct_threads = study.config["compute"]["threads"]
    if threads == "auto":
        # As the rules' resources have it, on all of this machine's cores.
        threads, direct_threads = max(1, os.cpu_count() // 2), os.cpu_count()
    text = table(study_jobs(study, models, threads, direct_threads)) + f"\n\nresults: {study.folder}/"
    print(text)
    # Past the log, to the terminal.
    print(f"\n{text}\n", file=sys.__stdout__)
