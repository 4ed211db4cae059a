"""The bare forward pass: timm's model over the study's images, nothing kept.

    PYTHONPATH=REPOSITORY:REPOSITORY/workflow python -m bench.forward [BUDGET]

in the working directory of a fetched study prints JSON: wall and CPU seconds of the loop over the batches. Starting
up, loading the model and preprocessing the images are not in them. With a budget, tokens are merged at every block
(ToMe), so that the model has this share of its operations.
"""

import contextlib
import json
import sys
import time

import torch
from tokengeometry.reduction import flops, schedules
from tokengeometry.reduction.patching import reduce

from bench.inputs import image_batches, load_model, read_config, use_all_cores


def schedule_of(model, budget):
    """How many tokens go at each block, the same number at all, for a share of the model's operations."""
    blocks = flops.blocks_of(model)
    shape = schedules.constant(blocks.depth)
    return schedules.solve(shape, blocks.spatial, lambda its: flops.count(blocks, its), budget)


def main(budget=None):
    cores = use_all_cores()
    config = read_config()
    model, description = load_model(config)
    dtype = next(model.parameters()).dtype
    batches = [batch.to(dtype) for batch in image_batches(config, description, workers=cores)]
    merging = reduce(model, schedule_of(model, float(budget))) if budget else contextlib.nullcontext()
    with torch.inference_mode(), merging:
        # What torch prepares once for all batches is start-up too.
        model(batches[0])
        start, cpu_start = time.perf_counter(), time.process_time()
        for batch in batches:
            model(batch)
    print(json.dumps({"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu_start}))


if __name__ == "__main__":
    main(*sys.argv[1:])
