"""The one error type a user is meant to read, and the kind of it that some callers live with."""


class LatentSyncError(ValueError):
    """A refusal in one sentence: what was found, what was expected, what to do.

    The command line prints it and exits with code 2; a host shows it on the node.
    Anything else that escapes the library is a bug.
    """


class NoFaceError(LatentSyncError):
    """No frame of a clip shows a face; apart from other refusals, as a comparison goes on without that clip."""
