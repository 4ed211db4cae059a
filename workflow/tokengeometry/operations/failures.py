"""What failed jobs said last, to end a run with."""

from pathlib import Path

WITHOUT_A_WORD = "it ended without a word, as a job does that the system kills, for its memory perhaps"


def last_words(log):
    """Why a job failed: the error that ends its log, without what marks it as one; empty where there is none."""
    try:
        lines = [line.strip() for line in Path(log).read_text(errors="replace").splitlines() if line.strip()]
    except FileNotFoundError:
        return ""
    if lines and lines[-1].startswith("error: "):
        return lines[-1].removeprefix("error: ")
    # A fault of the code: the end of its traceback.
    return lines[-1] if "Traceback (most recent call last):" in lines else ""


def failures(failed):
    """A line for each failed job: which one, why, and where there is more.

    Parameters
    ----------
    failed : iterable of list of (str, dict of str to str, path)
        Of each job the rule, the wildcards and the log; of several jobs that ran as one, all of theirs.

    Returns
    -------
    list of str
    """
    lines = []
    for members in failed:
        told = [(*member, words) for member in members if (words := last_words(member[-1]))]
        # The one that was at work when all were ended has the latest log.
        told = told or [(*max(members, key=lambda member: _modified(member[-1])), WITHOUT_A_WORD)]
        for rule, wildcards, log, words in told:
            of = f" ({', '.join(f'{name}={value}' for name, value in wildcards.items())})" if wildcards else ""
            lines.append(f"error: {rule}{of}: {words}. Log: {log}")
    return sorted(lines)


def _modified(log):
    return Path(log).stat().st_mtime if Path(log).exists() else 0.0
