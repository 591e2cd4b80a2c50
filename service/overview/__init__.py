"""The overview for an organiser's people: figures of its weeks, and of its region where they tell nobody apart."""
