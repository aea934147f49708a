"""A directory for PYTHONPATH, not a package to import from: see :mod:`hvdsm.sdk.local`."""
