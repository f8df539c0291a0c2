"""Measurements against other libraries, on the machine at hand: `python -m train.bench`."""
