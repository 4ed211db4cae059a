"""How many tokens go at each block, so that a policy has the operations of its budget.

In: the model; what of its geometry the schedule is made from; for a schedule that is tuned, weights and other images.
Out: JSON.
"""

import json
from pathlib import Path

from tokengeometry.operations.logs import log_to
from tokengeometry.operations.quick_imports import quick_imports

with quick_imports():
    import torch
    from tokengeometry.data import splits
    from tokengeometry.model.token_chain import create_model
    from tokengeometry.operations import devices
    from tokengeometry.reduction import flops, forward, schedules, signature, tuning
    from tokengeometry.reduction.runs import policy_of
    from tokengeometry.storage.whole_files import whole

with log_to(snakemake.log[0]):
    inputs, params, compute = snakemake.input, snakemake.params, snakemake.config["compute"]
    model = json.loads(Path(inputs.model).read_text())
    budget, schedule = int(snakemake.wildcards.budget) / 100, policy_of(snakemake.wildcards.policy).schedule
    blocks = flops.blocks_of(create_model(model["architecture"], tuple(model["image_size"]), device="meta"))

    def cost(its):
        return flops.count(blocks, its)

    def solve(shape):
        return schedules.solve(shape, blocks.spatial, cost, budget)

    if params.tuning:
        split = splits.open_described(inputs.dataset, params.dataset_class, params.arguments, params.white)
        images = splits.others(len(split), params.samples, params.tuning["images"], params.seed)
        device = devices.prepare_shared(compute["device"], snakemake.threads)
        network = forward.load_network(model, inputs.weights, device=device)
        batches = splits.batches(
            split, images, model, batch_size=compute["batch_size"], workers=snakemake.threads, **params.images
        )
        pieces = list(forward.pieces(batches, network))
        with torch.inference_mode():
            tokens = [network.forward_features(piece).float() for piece in pieces]
        score = forward.mean_cosine(network, pieces, tokens)
        if schedule == "searched":
            tuned = tuning.search(score, solve, blocks.depth, params.tuning["steps"], params.seed)
        else:
            tuned = tuning.best_rate(score, solve, blocks.depth)
        passes = tuned.evaluations * len(images)
        print(f"{tuned.evaluations} schedules tried, {passes} forward passes of an image, each of {budget:.0%}")
        found = {"r": tuned.schedule, "tuned": {"score": tuned.score, "passes": passes, **tuned.how}}
    else:
        shape = signature.shape_of(
            schedule,
            model,
            alpha="".join(inputs.alpha),
            correlation=inputs.correlation,
            rank="".join(inputs.rank),
        )
        found = {"r": solve(shape), "shape": list(map(float, shape))}
    found |= {
        "policy": snakemake.wildcards.policy,
        "budget": budget,
        "share": cost(found["r"]) / cost([0] * blocks.depth),
    }
    with whole(snakemake.output.schedule) as partial:
        partial.write_text(json.dumps(found, indent=1) + "\n")
