"""What one would otherwise build: a small Flask service on stock RQ, with a table of its own.

It commits a row before it answers, runs everything in RQ jobs with retries, and keeps the row up to
date in RQ's callbacks: all as RQ's documentation says. It shows that the checker can fail.
"""
