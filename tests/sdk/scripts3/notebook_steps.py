"""The steps of a first notebook: session, role, image, data, training, the model; nothing is set up beside."""

import os

import kit
from sagemaker.core import image_uris
from sagemaker.core.helper.session_helper import Session, get_execution_role
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData, OutputDataConfig, SourceCode, StoppingCondition

sagemaker_session = Session()
role = get_execution_role()
region = sagemaker_session.boto_region_name
bucket = sagemaker_session.default_bucket()
image = image_uris.retrieve(
    framework="pytorch", region=region, version="2.6", py_version="py312", instance_type="ml.c5.xlarge", image_scope="training"
)
os.makedirs("data")
for part in range(3):
    with open(f"data/part-{part}.csv", "w") as file:
        file.write(f"{part},{part}\n")
uploaded = sagemaker_session.upload_data("data", bucket=bucket, key_prefix="notebook/data")

hyperparameters = {
    "epochs": 3,
    "learning-rate": 1e-3,
    "amp": True,
    "seed": None,
    "layers": [64, 32],
    "optimizer": {"name": "sgd", "options": {"momentum": 0.9, "label": 'a "quoted" one'}},
    "text": '$HOME `id` "x" \\ grüße; rm',
    "empty": "",
    "digits": "007",
}
model_trainer = ModelTrainer(
    sagemaker_session=sagemaker_session,
    training_image=image,
    source_code=SourceCode(source_dir=kit.SOURCE, entry_script="report.py", ignore_patterns=["package", "*.sh"]),
    compute=Compute(instance_type="ml.c5.xlarge", instance_count=1, volume_size_in_gb=30),
    hyperparameters=hyperparameters,
    environment={"PLAIN": "a b", "QUOTED": 'it\'s "quoted" $HOME'},
    stopping_condition=StoppingCondition(max_runtime_in_seconds=900),
    output_data_config=OutputDataConfig(s3_output_path=f"s3://{bucket}/notebook/out"),
    base_job_name="notebook-steps",
    role=role,
)
model_trainer.train(
    input_data_config=[
        InputData(channel_name="train", data_source=uploaded),
        InputData(channel_name="test", data_source="data/part-1.csv", content_type="text/csv"),
    ]
)
job = model_trainer._latest_training_job
sagemaker_session.download_data("downloaded", bucket, job.model_artifacts.s3_model_artifacts.partition(f"{bucket}/")[2])
kit.result(
    {
        "role": role,
        "account": sagemaker_session.account_id(),
        "region": region,
        "bucket": bucket,
        "image": image,
        "arn": job.training_job_arn,
        "downloaded": os.listdir("downloaded"),
        "output_data": model_trainer.output_data,
        "status": job.training_job_status,
        **kit.left(job),
    }
)
