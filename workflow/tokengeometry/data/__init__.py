"""Images of any torchvision data set class: fetched, verified, opened, preprocessed."""
