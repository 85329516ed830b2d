"""The one exception that the command lines turn into a line of text and exit code 2."""


class InputError(ValueError):
    """Something that the user gave is wrong: a file, a field, an option, a run folder.

    The message is one line: what is wrong, where, the value received and, when it is known, the
    cure. Anything that is not an `InputError` is a fault of the program and keeps its traceback.
    """
