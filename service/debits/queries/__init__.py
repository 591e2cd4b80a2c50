"""Every statement about requests, entries, holds and the functions of the rule book, by the use case that runs it."""
