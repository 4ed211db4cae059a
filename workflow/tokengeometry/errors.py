"""The error a user can act on."""


class StudyError(Exception):
    """A condition that the user, not a developer, has to change.

    The message is one line: what is wrong, by its name, and what would be right.
    Jobs and the Snakefile print it alone, without a traceback.
    """
