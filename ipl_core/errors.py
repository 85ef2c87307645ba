"""The one error that means "the request was wrong", so that every surface can show it as one plain sentence."""


class InputError(ValueError):
    """A request that can't be carried out as asked; its text is meant for the person who asked.

    The text says what was wrong, the value that was given, and what to do about it. The command line
    prints it and exits with status 2, the app shows it beside the field; neither shows a traceback.
    """
