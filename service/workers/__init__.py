"""The process that delivers: the dispatcher, its retry table, and the jobs that wake it."""
