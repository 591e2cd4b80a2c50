"""The use cases of people's log-ins, each one transaction of its caller's."""
