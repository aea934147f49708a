"""The program inside the training container: the only thing that ever starts ranks.

The same on an emulated host, in a compose service and on a SageMaker instance.  Standard library only.

Where things happen: ``train`` is the entry; ``config`` reads the platform's files; ``source`` brings the code; ``rendezvous``
joins the hosts; ``ssh`` makes keys and starts sshd; ``launcher`` conducts the job; ``agent`` does a host's part of it;
``rank`` and ``script`` wrap each rank; ``relay`` carries its lines; ``report`` writes what became of it.
"""
