"""What the service reaches on this machine, as ratios to what the machine can do in the same run.

`python -m bench` starts everything it measures, on loopback and with fsync on; it never touches another database.
"""
