"""What a person who works on the service runs on their machine, and never in production."""
