"""GraphStorm jobs: from the arguments of its SageMaker scripts to requests; and the source that such a job runs."""
