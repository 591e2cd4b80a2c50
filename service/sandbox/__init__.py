"""The servers and the counterparts that a demo or a test needs and production gets from elsewhere."""
