"""Networks that are there: facts read by EC2, and whether a job can run in them."""
