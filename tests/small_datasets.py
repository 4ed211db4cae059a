"""What the tests of data sets share."""

import hashlib

import numpy as np
import torch
import torchvision.datasets
from tokengeometry.data import splits
from torchvision.transforms.functional import pil_to_tensor

FashionMNIST = torchvision.datasets.FashionMNIST
SPLITS = {"train": {"train": True}, "test": {"train": False}}


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def pixels(dataset, index):
    return np.asarray(dataset[index][0])


def raw_tensors(dataset, indices):
    """(sample, channel, height, width) uint8 of the RGB images that the study's transform gets."""
    images = splits.Images(dataset, indices, pil_to_tensor)
    return torch.stack([images[i] for i in range(len(images))]).numpy()


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)
