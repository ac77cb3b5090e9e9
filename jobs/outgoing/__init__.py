"""From tasks to the outside: requests never reach the inside, and all is bounded in time and size.

A URL is taken apart once (`target`), its host is resolved once, the addresses are judged
(`addresses`), and the connection is made to one that passed (`connection`), while TLS still
verifies the host's name. Each redirect is a new request under the same rules (`client`). Mail goes
to the one server that the operator names (`mail_server`, `mail`).
"""
