"""Images: built by docker, podman or buildah, and pushed to Amazon ECR.

``names``, ``dockerfile``, ``commands``, ``listing`` and the plans of ``building`` and ``pushing`` are pure; ``engines``,
``staging`` and ``running`` touch this machine.
"""
