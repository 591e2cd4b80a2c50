"""One file for each company or protocol that carries messages; each speaks the contract of `gateway.py`."""
