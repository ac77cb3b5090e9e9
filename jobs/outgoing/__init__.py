"""Requests from tasks to the outside: never to the inside, and bounded in time and size.

A URL is taken apart once (`target`), its host is resolved once, the addresses are judged
(`addresses`), and the connection is made to one that passed (`connection`), while TLS still
verifies the host's name. Each redirect is a new request under the same rules (`client`).
"""
