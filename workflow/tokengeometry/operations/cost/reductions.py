"""What fewer tokens cost."""

import math

from tokengeometry.operations.cost.forward import link_flops, link_memory, loading_bytes
from tokengeometry.operations.cost.sizes import CLUSTERS_BYTES, LIGHT_PROCESS_BYTES, Cost, array_bytes, layer_shape
from tokengeometry.reduction.runs import images_of
from tokengeometry.reduction.schedules import RATES
from tokengeometry.storage.chunk_sizes import TOKENS_BYTES, batch_rows


def reduction(rule, model, study, job, gpu=False):
    """Of a rule of `reduction.smk`; those that only read tables and stores take next to nothing but memory."""
    config, on_cpu = study.config, not gpu
    section, samples = config["reduction"], images_of(study, job["dataset"], job["split"])
    shape = layer_shape(model, 1)
    image = sum(link_flops(model, 1, layer) for layer in range(1, model["depth"] + 1))
    batch = min(config["compute"]["batch_size"], samples)
    share = int(job.get("budget", 100)) / 100
    at_work = min(batch, max(1, batch_rows(*shape, batch_bytes=TOKENS_BYTES))) if on_cpu else batch
    memory = link_memory(at_work, *shape) + 4 * model["parameters"]
    memory += loading_bytes(batch, model["in_chans"] * math.prod(model["image_size"]), 1, 2)
    whole = array_bytes((samples, *shape), "float32", max(1, batch_rows(*shape, batch_bytes=TOKENS_BYTES)))
    match rule:
        case "reduction_whole":
            return Cost(memory, (whole,), samples * image)
        case "reduction_tokens":
            return Cost(memory, (2 * array_bytes((samples, shape[1]), "float32"),), int(samples * share * image))
        case "reduction_speed":
            batch = section["speed"]["batch_size"]
            passes = 2 * section["speed"]["repeats"] + 2
            both = sum(1 + budget for budget in section["budgets"])
            return Cost(link_memory(batch, *shape), (), int(passes * both * batch * image))
        case "reduction_schedule":
            tuning = section["tuning"]
            tuned = {"searched": tuning["steps"] + 2 + len(RATES), "exponential": len(RATES)}
            evaluations = tuned.get(job["policy"].partition("-")[2], 0)
            flops = int(tuning["images"] * image * (1 + share * evaluations)) if evaluations else 0
            return Cost(memory + 4 * tuning["images"] * math.prod(shape), (), flops)
        case "reduction_scores":
            return Cost(CLUSTERS_BYTES + 8 * 8 * samples * shape[1] + 4 * 8 * samples**2)
    return Cost(LIGHT_PROCESS_BYTES)
