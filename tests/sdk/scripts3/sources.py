"""Ways to give the code, its requirements and its hyperparameters."""

import json
import os
import shutil

import kit
from sagemaker.core.helper.session_helper import Session
from sagemaker.train.configs import SourceCode

session = Session()
archive = shutil.make_archive("code", "gztar", kit.SOURCE)
folder = session.upload_data(kit.SOURCE, key_prefix="code/folder")
stored = session.upload_data(archive, key_prefix="code")
with open("hyperparameters.json", "w") as file:
    json.dump({"epochs": 5, "nested": {"a": [1, "two"]}}, file)
with open("hyperparameters.yaml", "w") as file:
    file.write('epochs: 7\nname: "from yaml"\nlist: [1, 2]\n')
os.makedirs("needy")
with open("needy/requirements.txt", "w") as file:
    file.write("./own_package\n")
shutil.copytree(os.path.join(kit.SOURCE, "package"), "needy/own_package")
with open("needy/train.py", "w") as file:
    file.write("import hvdsm_test_package, json\njson.dump([hvdsm_test_package.VALUE], open('/opt/ml/model/told.json', 'w'))\n")

arguments = {"a": "x y", "b": '"q"', "c": {"k": [1]}, "d": "$HOME"}
trainers = {
    "shell": kit.trainer("s-shell", "run.sh", hyperparameters=arguments),
    "command": kit.trainer(
        "s-command",
        source_code=SourceCode(source_dir=kit.SOURCE, command="bash run.sh --x", args=["a b", "$HOME", 'say "hi"']),
        hyperparameters={"seen": "as SM_HPS"},
    ),
    "no directory": kit.trainer(
        "s-bare", source_code=SourceCode(command="env | grep ^SM_HOSTS= && echo $SM_CURRENT_HOST > /opt/ml/model/host.txt")
    ),
    "archive": kit.trainer("s-archive", source_code=SourceCode(source_dir=archive, entry_script="report.py")),
    "stored folder": kit.trainer("s-folder", source_code=SourceCode(source_dir=folder + "/", entry_script="report.py")),
    "stored archive": kit.trainer("s-stored", source_code=SourceCode(source_dir=stored, entry_script="report.py")),
    "requirements": kit.trainer(
        "s-needy", source_code=SourceCode(source_dir="needy", entry_script="train.py", requirements="requirements.txt")
    ),
    "json": kit.trainer("s-json", hyperparameters="hyperparameters.json"),
    "yaml": kit.trainer("s-yaml", hyperparameters="hyperparameters.yaml"),
}
kit.result(kit.train_all(trainers))
