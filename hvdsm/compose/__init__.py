"""Pure functions from frozen records and probed facts to text, lists and dicts: no I/O, locked by golden files."""
