"""A job that changes its machine; and one that is left running."""

import kit

intruder = kit.trainer("i-intruder", "intrudes.sh")
found = kit.train_all({"intruder": intruder})
found["lines"] = kit.lines(intruder._latest_training_job)
left_running = kit.trainer("i-left", "fails.py", 2, hyperparameters={"how": "stay"})
left_running.train(wait=False)
while "about to fail" not in "".join(kit.lines(left_running._latest_training_job)):
    left_running._latest_training_job.refresh()
kit.result(found)
