"""The suite: real PostgreSQL and Redis, no mocks of our own code, no sleeps."""
