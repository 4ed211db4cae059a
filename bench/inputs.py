"""The model and the images of a fetched study, for what is measured beside the workflow.

Everything is read from a working directory in which `snakemake fetch` has run: `config.yaml` and `results/`.
"""

import json
import os
from pathlib import Path

import timm
import torch
import yaml
from safetensors.torch import load_file
from tokengeometry.data import splits

from bench.workflow import only_branch


def read_config(directory="."):
    return yaml.safe_load(Path(directory, "config.yaml").read_text())


def use_all_cores():
    """Let torch use every core that this process may; how many they are."""
    cores = len(os.sched_getaffinity(0))
    torch.set_num_threads(cores)
    return cores


def load_model(config):
    """The timm model with its weights, in the study's precision, and the content of its `model.json`."""
    folder = Path("results", "models", only_branch(config).model)
    description = json.loads((folder / "model.json").read_text())
    model = timm.create_model(
        description["architecture"], pretrained=False, num_classes=0, img_size=tuple(description["image_size"])
    )
    model.load_state_dict(load_file(folder / "weights.safetensors"))
    return model.to(getattr(torch, config["forward"]["precision"])).eval(), description


def image_batches(config, description, *, workers):
    """The study's preprocessed images in its batches: float32 (sample, in_chans, height, width)."""
    branch = only_branch(config)
    dataset = config["datasets"][branch.dataset]
    arguments = dataset["splits"][branch.split]["arguments"]
    root = Path("results", "data", branch.dataset)
    split = splits.open_split(dataset["class"], arguments, root, dataset.get("white"))
    samples = splits.subset(len(split), config["samples"], config["seed"])
    return splits.batches(
        split, samples, description, batch_size=config["compute"]["batch_size"], workers=workers, **config["images"]
    )
