"""The caseworker's desk: what an organiser's people see and do, over the operations of the other nouns."""
