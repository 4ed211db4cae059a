"""What is said of splits that have changed since they were described in `splits/SPLIT.json`."""


def changed(folder, before, now, description):
    """One line on a split that has other images than when it was described.

    Parameters
    ----------
    folder : path
        Of its files.
    before, now : int
        Numbers of images.
    description : path
        The JSON file.
    """
    numbers = f"{before} images then, {now} now" if before != now else f"{now} images, but not the same"
    return (
        f"{folder} has changed since its images were first read ({numbers}): put it back as it was, or "
        f"delete {description} and run again, which makes all that comes from this split anew"
    )
