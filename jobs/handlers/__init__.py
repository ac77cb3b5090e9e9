"""The kinds of task that come with the service, one file per subject."""

from jobs.outgoing.addresses import Network, Rules
from jobs.outgoing.mail_server import mail_server

SHIPPED = ("jobs.handlers.example", "jobs.handlers.http", "jobs.handlers.email")


def configure(
    *, allow_networks: tuple[Network, ...] = (), smtp_url: str = "", smtp_from: str = ""
) -> None:
    """Tell the shipped handlers of this process what the settings say.

    Call it before the first attempt, in the worker or in its horses: nothing is opened yet. Raises
    `ValueError` with a sentence that names a wrong setting.
    """
    from jobs.handlers import email, http  # importing them registers their kinds

    http.configure(Rules(allow_networks))
    email.configure(mail_server(smtp_url, smtp_from) if smtp_url else None)
