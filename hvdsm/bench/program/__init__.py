"""What a job of ``hvdsm bench network`` runs on each rank: Python 3.8, mpi4py, and nothing of hvdsm's beside it.

It is sent as the job's source, so that its modules import each other by relative names only.
"""
