"""Answers that take seconds to find, kept for the next start of Snakemake.

The Snakefile is read at every start and in every job. What it has to know of a model or of a large file is found out
once.
"""

import contextlib
import hashlib
import json
import os
from pathlib import Path

FOLDER = Path(".snakemake", "tokengeometry")


def kept(question, folder=FOLDER):
    """The answer that was kept to a question (anything that JSON holds), or None."""
    try:
        found = json.loads(_file(question, folder).read_text())
    except (OSError, ValueError):
        # Not there, not for this user to read, or cut short: it is found out again.
        return None
    return found["answer"] if isinstance(found, dict) and found.get("question") == question else None


def keep(question, answer, folder=FOLDER):
    """Keep an answer; it takes its name once it is whole."""
    file = _file(question, folder)
    partial = file.with_suffix(f".{os.getpid()}")
    # Who may only read a study may still ask what it would run.
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps({"question": question, "answer": answer}))
        os.replace(partial, file)


def _file(question, folder):
    return Path(folder, hashlib.sha256(json.dumps(question).encode()).hexdigest()[:32] + ".json")
