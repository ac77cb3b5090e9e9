"""Why a request from a task to the outside brought no answer."""


class Refused(Exception):
    """This request may not be made; trying again would change nothing."""


class NoAnswer(Exception):
    """The other side could not be reached or did not answer properly; it may later."""
