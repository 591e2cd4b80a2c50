"""Every SQL statement on messages, attempts, receipts and gateway_pauses, by the use case that runs it.

Two rules hold for all of them. Time is the database's: no process's clock decides when something is due. And a
statement locks its messages first, in the order of their keys, before it touches anything that hangs on them, so that
groups of answers and groups of receipts cannot deadlock.
"""
