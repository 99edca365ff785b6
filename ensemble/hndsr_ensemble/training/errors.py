"""What can go wrong between imagery and weights, and whoever ran the command can put right."""


class TrainingError(Exception):
    """Base of all errors of this package: the command prints one as a line and exits with 2.

    Each module that has errors derives them from it and writes their messages from facts.
    """
