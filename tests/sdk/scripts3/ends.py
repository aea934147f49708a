"""Jobs that fail, that are stopped, that take too long; and the list of all."""

import kit
from pydantic import ValidationError
from sagemaker.core.resources import TrainingJob
from sagemaker.train.configs import SourceCode, StoppingCondition

HOWS = ("raise", "exit", "module", "segfault", "own")
# It begins first, so that the others pass its time.
limit = StoppingCondition(max_runtime_in_seconds=15)
trainers = {"limit": kit.trainer("e-limit", "fails.py", hyperparameters={"how": "wait"}, stopping_condition=limit)}
trainers.update({how: kit.trainer(f"e-{how}", "fails.py", hyperparameters={"how": how}) for how in HOWS})
trainers["command"] = kit.trainer("e-command", source_code=SourceCode(source_dir=kit.SOURCE, command="python no_such_script.py"))
trainers["shell exit"] = kit.trainer("e-shell", source_code=SourceCode(source_dir=kit.SOURCE, command="exit 9"))
trainers["quote"] = kit.trainer("e-quote", hyperparameters={"text": "it's"})
trainers["one host"] = kit.trainer("e-host", "fails.py", 2, hyperparameters={"how": "one host"})
found = kit.train_all(trainers)
try:
    kit.trainer("e-nothing", "no_such_script.py")
except ValidationError as error:
    found["no script"] = str(error)

stopped = kit.trainer("e-stop", "fails.py", hyperparameters={"how": "wait"})
stopped.train(wait=False)
job = stopped._latest_training_job
while "about to fail" not in "".join(kit.lines(job)):
    job.refresh()
job.stop()
found["stopped"] = kit.end_of(job)
try:
    job.stop()
except Exception as error:
    found["stop again"] = str(error)
same = TrainingJob.get(job.training_job_name)
found["transitions"] = [change.status for change in same.secondary_status_transitions]
found["failed"] = [one.training_job_name for one in TrainingJob.get_all(status_equals="Failed", name_contains="e-raise")]
found["latest"] = next(iter(TrainingJob.get_all(sort_by="CreationTime", sort_order="Descending"))).training_job_name
found["all"] = len([one for one in TrainingJob.get_all(name_contains="e-") if one.training_job_name.startswith("e-")])
same.delete()
try:
    TrainingJob.get(job.training_job_name)
except Exception as error:
    found["deleted"] = str(error)
kit.result({**found, "name": job.training_job_name})
