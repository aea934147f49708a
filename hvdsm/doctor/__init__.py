"""What works on this machine: ``hvdsm doctor``, as data.

A goal (``local``, ``docker``, ``sagemaker``, ``container``) has checks; each has its remedy.  What runs inside of images is in
:mod:`hvdsm.container.doctor`.
"""
