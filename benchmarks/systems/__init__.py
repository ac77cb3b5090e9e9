"""Who is measured: the service and what it is compared with, behind the same few questions."""
