"""``hvdsm bench network``: how fast the network between the hosts of a job is, measured by a job of the same kind.

``program/`` runs in the container, on Python 3.8 with mpi4py only; ``running`` launches it and fetches what it found;
``record`` is the document, of ``parts``; ``analysis`` names slow hosts and pairs; ``page`` and ``compare`` show it.
"""
