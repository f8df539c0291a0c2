"""What a user can put right: each is one line on stderr and exit code 2, never a traceback."""


class UserError(Exception):
    """A wrong option, recipe or path."""


class DataError(UserError):
    """A data file that is missing or damaged: which file, what was expected and what came."""
