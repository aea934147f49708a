"""What holds for `hvdsm launch`: types, precedence, entries, paths and secrets, by the options of the real command."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List

import click
import pytest
from settings_support import COMMANDS, parsed, values, write

from hvdsm.cli.defaults import configured, hyperparameters_of, options_of, settled, sources, target_of
from hvdsm.cli.launch import command as launch
from hvdsm.errors import ConfigError, UsageError
from hvdsm.settings.configured import Configured, option_of
from hvdsm.settings.layers import BOTH
from hvdsm.settings.options import NUMBER, SWITCH, WHOLE, Option
from hvdsm.settings.variables import variables

OPTIONS = options_of(launch)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, below that of the configuration; no variable of the caller's counts."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "SAGEMAKER_ROLE", "S3_PATH", "HVDSM_PROFILE", "HVDSM_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    below = tmp_path / "project" / "below"
    below.mkdir(parents=True)
    (tmp_path / "project" / ".git").mkdir()
    monkeypatch.chdir(below)
    return tmp_path / "project"


def given(project: Path, text: str, profile: str = "", **environ: str) -> Configured:
    """What a configuration and an environment say to launch."""
    write(project / "hvdsm.toml", text)
    return configured("launch", launch, environ, str(project / "below"), profile or None, commands=COMMANDS)


def refused(project: Path, text: str, profile: str = "", **environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        given(project, text, profile, **environ)
    assert caught.value.exit_code == 78
    return str(caught.value)


def test_without_a_file_nothing_is_said(project: Path) -> None:
    found = configured("launch", launch, {}, str(project / "below"), commands=COMMANDS)
    assert (found.default_map, found.document, found.warnings) == ({}, None, [])
    with pytest.raises(ConfigError, match="--profile cloud"):
        configured("launch", launch, {}, str(project / "below"), "cloud", commands=COMMANDS)
    with pytest.raises(ConfigError, match="HVDSM_PROFILE=cloud"):
        configured("launch", launch, {"HVDSM_PROFILE": "cloud"}, str(project / "below"), commands=COMMANDS)


def examples(option: Option) -> List[Any]:
    """A value as TOML writes it, and what the command then gets; made of what the option says of itself."""
    if option.choices:
        return [f'"{option.choices[-1]}"', option.choices[-1]]
    if option.named:
        return ['["a=b:1"]', ("a=b:1",)]
    if option.multiple:
        return ['["one", "two"]', ("one", "two")]
    return {WHOLE: ["7", 7], NUMBER: ["2.5", 2.5], SWITCH: ["true", True]}.get(option.kind, ['"/abs"', "/abs"])


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.key)
def test_every_option_by_every_name(project: Path, monkeypatch: pytest.MonkeyPatch, option: Option) -> None:
    """From the file with underscores and dashes, from a profile, and from its variable."""
    written, wanted = examples(option)
    if option.named and option.name == "channels":
        written, wanted = '["a=/b"]', ("a=/b",)
    texts = [wanted] if not isinstance(wanted, tuple) else list(wanted)
    for key in option.keys:
        if option_of(OPTIONS, key, option.multiple) is not option:
            continue
        for text in (key, key.replace("_", "-")):
            write(project / "hvdsm.toml", f"{text} = {written}\n")
            assert values()[option.name] == wanted
        write(project / "hvdsm.toml", f"[profile.p]\n{key} = {written}\n")
        assert values("--profile", "p")[option.name] == wanted
        (project / "hvdsm.toml").unlink()
        with monkeypatch.context() as patch:
            patch.setenv(f"HVDSM_LAUNCH_{key.upper()}", "\n".join(map(str, texts)))
            context = parsed()
            assert context.params[option.name] == wanted
            assert str(sources(context)[option.name]) == f"environment variable HVDSM_LAUNCH_{key.upper()}"


def test_every_option_of_the_command_is_known() -> None:
    taken = {option.name for option in OPTIONS}
    assert taken == {parameter.name for parameter in launch.params if isinstance(parameter, click.Option)}
    first = [option.key for option in OPTIONS]
    assert len(set(first)) == len(first)


def test_no_option_of_launch_is_called_like_a_table() -> None:
    keys = {key for option in OPTIONS for key in option.keys}
    assert keys & {*COMMANDS, "profile", "extends"} == set(BOTH)


def test_a_table_called_like_an_option_is_the_commands_and_a_text_is_the_options(project: Path) -> None:
    from hvdsm.cli.image import command as image

    assert isinstance(image, click.Group)
    push = image.get_command(click.Context(image), "push")
    assert push is not None

    def of_push(*profile: str) -> Any:
        return configured("image push", push, {}, str(project), *profile, group=image).default_map.get("device")

    write(project / "hvdsm.toml", 'image = "uri:1"\n[profile.p.image.push]\ndevice = "cpu"\n')
    assert (values()["image"], of_push(), of_push("p")) == ("uri:1", None, "cpu")
    write(project / "hvdsm.toml", '[image]\ndevice = "cpu"\n[launch]\nimage = "uri:2"\n[profile.p]\nimage = "uri:3"\n')
    assert (values()["image"], values("--profile", "p")["image"], of_push(), of_push("p")) == ("uri:2", "uri:3", "cpu", "cpu")
    write(project / "hvdsm.toml", "image = 3\n")
    with pytest.raises(ConfigError, match=r"hvdsm\.toml:1: image"):
        values()


def test_no_variable_of_an_option_is_one_of_the_container_program() -> None:
    from test_docs_tables import JOB, rows

    target = target_of(("launch",), launch, None, COMMANDS)
    own = {name for option in OPTIONS for name in variables(target, option)}
    containers = set(rows(JOB, "## Settings of the container program"))
    assert "HVDSM_STOP_GRACE" in containers and not own & {*containers, "HVDSM_CONFIG", "HVDSM_PROFILE"}


def test_a_new_option_needs_no_change(project: Path) -> None:
    @click.command()
    @click.option("--brand-new", type=click.IntRange(1))
    @click.option("--thing", "things", multiple=True, metavar="K=V")
    def command(**given: Any) -> None:
        """Do nothing."""

    write(project / "hvdsm.toml", 'brand-new = 3\n[things]\na = "b"\n')
    found = configured("launch", command, {"HVDSM_LAUNCH_THINGS": "c=d"}, str(project))
    assert found.default_map == {"brand_new": 3, "things": ["a=b", "c=d"]}


PRECEDENCE = """
    instance_count = 2
    [profile.base]
    instance_count = 3
    [profile.cloud]
    extends = "base"
    instance_count = 4
    """


def test_flags_over_environment_over_profile_over_file_over_built_in(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def said(*flags: str) -> tuple[Any, str]:
        context = parsed(*flags)
        return context.params["instance_count"], str(sources(context)["instance_count"])

    file = str(project / "hvdsm.toml")
    assert said() == (1, "default")
    write(project / "hvdsm.toml", PRECEDENCE)
    assert said() == (2, f"{file}:1")
    assert said("--profile", "base") == (3, f"{file}:3, profile base")
    assert said("--profile", "cloud") == (4, f"{file}:6, profile cloud")
    monkeypatch.setenv("HVDSM_PROFILE", "base")
    assert said() == (3, f"{file}:3, profile base")
    assert said("--profile", "cloud") == (4, f"{file}:6, profile cloud")
    monkeypatch.setenv("HVDSM_LAUNCH_INSTANCE_COUNT", "5")
    assert said("--profile", "cloud") == (5, "environment variable HVDSM_LAUNCH_INSTANCE_COUNT")
    assert said("--profile", "cloud", "--instance-count", "6") == (6, "flag")


def test_an_empty_variable_is_no_variable(project: Path) -> None:
    assert given(project, "instance_count = 2\n", HVDSM_LAUNCH_INSTANCE_COUNT="").default_map == {"instance_count": 2}


def test_a_switch_of_the_file_is_turned_off_by_flag_and_variable(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(project / "hvdsm.toml", "spot = true\nwait = false\n")
    assert (values()["spot"], values()["wait"]) == (True, False)
    assert (values("--no-spot")["spot"], values("--wait")["wait"]) == (False, True)
    monkeypatch.setenv("HVDSM_LAUNCH_SPOT", "False")
    assert values()["spot"] is False


ENTRIES = """
    [hyperparameters]
    data = "CIFAR10DataModule"
    "data.batch_size" = 32
    optimizer.lr = 0.001
    devices = "1"
    layers = [1, 2]
    [profile.one.hyperparameters]
    "data.batch_size" = 64
    note = "a=b"
    """


def test_entries_are_merged_one_by_one(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(project / "hvdsm.toml", ENTRIES)
    monkeypatch.setenv("HVDSM_LAUNCH_HP", "layers=[3]\nseed=7")
    context = parsed("--profile", "one", "--hp", "optimizer.lr=1=2", "--hyperparameter", "new=x y")
    assert context.params["hyperparameters"] == (
        "data=CIFAR10DataModule", 'devices="1"', "data.batch_size=64", "note=a=b", "layers=[3]", "seed=7",
        "optimizer.lr=1=2", "new=x y",
    )  # fmt: skip
    file, origin = str(project / "hvdsm.toml"), sources(context)
    assert {name[16:]: str(origin[name]) for name in origin if name.startswith("hyperparameters.")} == {
        "data": f"{file}:2",
        "data.batch_size": f"{file}:8, profile one",
        "optimizer.lr": "flag",
        "devices": f"{file}:5",
        "layers": "environment variable HVDSM_LAUNCH_HP",
        "note": f"{file}:9, profile one",
        "seed": "environment variable HVDSM_LAUNCH_HP",
        "new": "flag",
    }


def test_lists_and_json_say_the_same_as_tables(project: Path) -> None:
    table = given(project, 'env = { A = "b", N = 1 }\ntags.team = "x"\n').default_map
    lists = given(project, 'env = ["A=b", "N=1"]\ntags = ["team=x"]\n').default_map
    json = given(project, "", HVDSM_LAUNCH_ENV='{"A": "b", "N": 1}', HVDSM_LAUNCH_TAGS='["team=x"]').default_map
    assert table == lists == json == {"environment": ["A=b", "N=1"], "tags": ["team=x"]}


def test_words_without_names_replace_those_below(project: Path) -> None:
    text = 'subnets = ["a", "b"]\n[profile.p]\nsubnets = ["c"]\n[profile.none]\nsubnets = []\n'
    assert given(project, text).default_map["subnets"] == ["a", "b"]
    assert given(project, text, "p").default_map["subnets"] == ["c"]
    assert given(project, text, "none").default_map["subnets"] == []
    assert values("--subnet", "d", "--profile", "p")["subnets"] == ("d",)


def test_a_flag_given_twice_is_still_an_error_of_the_command(project: Path) -> None:
    write(project / "hvdsm.toml", "[hyperparameters]\na = 1\n")
    assert values("--hp", "a=2", "--hp", "a=3")["hyperparameters"] == ("a=2", "a=3")


def test_fields_of_the_request_by_their_path(project: Path) -> None:
    found = given(
        project,
        """
        set.RemoteDebugConfig.EnableRemoteDebug = true
        [profile.p.set]
        ExperimentConfig = { ExperimentName = "x" }
        "InputDataConfig[0].ShuffleConfig.Seed" = 3
        """,
        "p",
    )
    assert found.default_map["settings"] == [
        "RemoteDebugConfig.EnableRemoteDebug=true",
        'ExperimentConfig={"ExperimentName": "x"}',
        "InputDataConfig[0].ShuffleConfig.Seed=3",
    ]


def test_a_table_and_a_file_of_hyperparameters(project: Path) -> None:
    found = given(project, 'hyperparameters = "hp.yaml"\n[profile.p.hyperparameters]\nlr = 1\n', "p").default_map
    assert found == {"hyperparameters_file": str(project / "hp.yaml"), "hyperparameters": ["lr=1"]}
    assert given(project, "", HVDSM_LAUNCH_HYPERPARAMETERS="hp.yaml").default_map == {"hyperparameters_file": "hp.yaml"}
    assert given(project, "", HVDSM_LAUNCH_HYPERPARAMETERS="lr=1").default_map == {"hyperparameters": ["lr=1"]}


def test_paths_are_relative_to_the_file(project: Path) -> None:
    text = """
        output = "runs"
        source_dir = "."
        checkpoint = "s3://b/k"
        s3_root = "~/s3"
        mpirun = "mpirun.openmpi"
        request = "-"
        channels = { a = "data/a", b = "../b", c = "s3://b/c", d = "/d", e = "file:///e" }
        job_name = "data"
        env.PLACE = "data"
        """
    found = given(project, text).default_map
    channels = found.pop("channels")
    assert found == {
        "output": f"{project}/runs", "source_dir": str(project), "checkpoint": "s3://b/k", "s3_root": "~/s3",
        "mpirun": "mpirun.openmpi", "request_file": "-", "job_name": "data", "environment": ["PLACE=data"],
    }  # fmt: skip
    assert channels == [f"a={project}/data/a", f"b={project.parent}/b", "c=s3://b/c", "d=/d", "e=file:///e"]
    assert given(project, 'mpirun = "bin/mpirun"\n').default_map == {"mpirun": f"{project}/bin/mpirun"}
    assert given(project, "", HVDSM_LAUNCH_OUTPUT="runs").default_map == {"output": "runs"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("instance_cuont = 2\n", ["hvdsm.toml:1: instance_cuont", "did you mean instance_count?", "hvdsm launch --help"]),
        ("[profile.p]\nx = 1\nspto = true\n", ["hvdsm.toml:2: x", "hvdsm.toml:3: spto", "did you mean spot?", "2 things"]),
        ("[hyperparameter]\na = 1\n[jbos]\n", ["hvdsm.toml:3: jbos", "did you mean jobs?"]),
        ("[launch]\nhots = 'single'\n", ["hvdsm.toml:2: launch.hots", "did you mean hosts?"]),
        ('launch = "x"\n', ["hvdsm.toml:1: launch", "a table is expected"]),
        ('script = "train.py"\n', ["hvdsm.toml:1: script", "no such option"]),
        ('instance_count = "4"\n', ["hvdsm.toml:1: instance_count", "a whole number is expected, not a text"]),
        ("instance_count = 4.0\n", ["a whole number is expected, not 4.0"]),
        ("instance_count = true\n", ["a whole number is expected, not true"]),
        ("instance_count = 0\n", ["0 is not in the range x>=1"]),
        ("spot = 1\n", ["true or false is expected, not 1"]),
        ('hang_timeout = "x"\n', ["a number is expected, not a text"]),
        ("job_name = 5\n", ["a text in quotes is expected, not 5"]),
        ("job_name = 2026-01-31\n", ["a text in quotes is expected, not a date or time"]),
        ('backend = "sagemkaer"\n', ["one of local, docker, sagemaker is expected", '"sagemkaer"']),
        ("instance_count = 1\ninstance-count = 2\n", ["hvdsm.toml:2: instance-count", "says the same as instance_count"]),
        ('env = { A = "b" }\nenvironment = ["A=c"]\n', ["hvdsm.toml:2", "says the same as env"]),
        ('env = "A=b"\n', ["a table, or a list of K=V in quotes, is expected, not a text"]),
        ('env = ["A"]\n', ["K=V is expected in each entry"]),
        ("env = { A = true }\n", ["A: a text in quotes is expected, not true"]),
        ("env = { A = 1.5 }\n", ["A: a text in quotes is expected, not 1.5"]),
        ("env = { A = ['x'] }\n", ["A: a text in quotes is expected, not a list"]),
        ('env = { "A=B" = "x" }\n', ["equals sign"]),
        ("subnets = 'x'\n", ["a list of texts in quotes (ID) is expected, not a text"]),
        ("subnets = { a = 'x' }\n", ["a list of texts in quotes (ID) is expected, not a table"]),
        ("hyperparameters.a = nan\n", ["a: JSON cannot express nan"]),
        ("hyperparameters.a = 12:00:00\n", ["a: JSON cannot express a value of type time"]),
        ("profile = 1\n", ["profile", "table"]),
    ],
)
def test_what_a_file_cannot_say(project: Path, text: str, said: list[str]) -> None:
    message = refused(project, text, "p" if "[profile.p]" in text else "")
    for word in said:
        assert word in message, message


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("INSTANCE_COUNT", "x", 'a whole number is expected, not "x"'),
        ("INSTANCE_COUNT", "0", "not in the range"),
        ("SPOT", "perhaps", "true or false is expected"),
        ("HOSTS", "two", "one of auto, namespaces, single is expected"),
        ("ENV", "{", "is no JSON"),
        ("ENV", "A=1\nB", "K=V is expected in each entry"),
        ("ENV", "[1]", "a JSON list of texts is expected"),
        ("SUBNETS", "{}", "a JSON list"),
    ],
)
def test_what_a_variable_cannot_say(project: Path, name: str, text: str, said: str) -> None:
    message = refused(project, "", **{f"HVDSM_LAUNCH_{name}": text})
    assert f"HVDSM_LAUNCH_{name}" in message and said in message


def test_two_variables_of_one_option(project: Path) -> None:
    assert given(project, "", HVDSM_LAUNCH_HP="a=1", HVDSM_LAUNCH_HYPERPARAMETER="a=1").default_map
    message = refused(project, "", HVDSM_LAUNCH_HP="a=1", HVDSM_LAUNCH_HYPERPARAMETER="a=2")
    assert "HVDSM_LAUNCH_HP and HVDSM_LAUNCH_HYPERPARAMETER" in message


def test_a_variable_of_no_option_is_warned_of(project: Path) -> None:
    (warning,) = given(project, "", HVDSM_LAUNCH_INSTANCE_CUONT="2").warnings
    assert "HVDSM_LAUNCH_INSTANCE_CUONT" in warning and "did you mean HVDSM_LAUNCH_INSTANCE_COUNT?" in warning
    # The container program's own, which look alike.
    assert given(project, "", HVDSM_LAUNCH_TIMEOUT="5", HVDSM_STOP_GRACE="7", HVDSM_MPIRUN="/x").warnings == []


def test_variables_that_others_have_named(project: Path) -> None:
    text = 'region = "eu-west-1"\nrole = "file"\ns3_prefix = "s3://file"\naws_profile = "file"\n'
    assert given(project, text).default_map["region"] == "eu-west-1"
    both = given(project, text, AWS_REGION="us-east-1", AWS_DEFAULT_REGION="us-east-2", SAGEMAKER_ROLE="arn", S3_PATH="s3://env")
    assert both.default_map == {"region": "us-east-1", "role": "arn", "s3_prefix": "s3://env", "aws_profile": "file"}
    assert str(both.sources["role"]) == "environment variable SAGEMAKER_ROLE"
    assert given(project, text, AWS_DEFAULT_REGION="us-east-2").default_map["region"] == "us-east-2"
    own = given(project, text, HVDSM_LAUNCH_REGION="ap-east-1", AWS_REGION="us-east-1")
    assert own.default_map["region"] == "ap-east-1"


def test_s3_path_of_another_program_is_told_and_not_used(project: Path) -> None:
    found = given(project, "", S3_PATH="/mnt/s3")
    assert found.default_map == {} and "S3_PATH" in found.warnings[0]


def test_aws_profile_is_left_to_the_aws_library(project: Path) -> None:
    # Named to it explicitly, it would hide AWS_ACCESS_KEY_ID, which for every other AWS tool wins over AWS_PROFILE.
    found = given(project, 'aws_profile = "file"\n', AWS_PROFILE="env")
    assert "aws_profile" not in found.default_map
    assert str(found.left["aws_profile"]) == "environment variable AWS_PROFILE"


def test_secrets_are_warned_of_and_never_told(project: Path) -> None:
    found = given(
        project,
        """
        custom_mpi_options = "-x HF_TOKEN=sesame1"
        image = "https://me:sesame2@host/image"
        [env]
        PLAIN = "x"
        WANDB_API_KEY = "sesame3"
        [hyperparameters]
        api_key = "sesame4"
        [tags]
        token = ""
        [secrets]
        DB_PASSWORD = "arn:aws:secretsmanager:us-east-1:123456789012:secret:x-AbCdEf"
        """,
    )
    told = "\n".join(found.warnings)
    assert "sesame" not in told and len(found.warnings) == 4
    for place in (":1: custom_mpi_options", ":2: image", ":5: env.WANDB_API_KEY", ":7: hyperparameters.api_key"):
        assert place in told
    message = refused(project, '[env]\nDB_PASSWORD = ["sesame"]\nWANDB_API_KEY = 1.5\n')
    assert "sesame" not in message
    assert "sesame" not in refused(project, 'backend = "-x DB_PASSWORD=sesame"\n')


def test_other_commands_have_tables_of_their_own(project: Path) -> None:
    @click.group()
    def jobs() -> None:
        """Jobs."""

    @jobs.command("list")
    @click.option("--region")
    @click.option("--output", default="hvdsm-out", metavar="DIR")
    @click.option("--status", type=click.Choice(["Completed", "Failed"]))
    def listed(**given: Any) -> None:
        """List."""

    @jobs.command()
    @click.option("--region")
    @click.option("--output", default="here.tar.gz", metavar="FILE")
    @click.option("--follow", is_flag=True)
    def logs(**given: Any) -> None:
        """Show logs."""

    def said(name: str, command: click.Command, profile: str = "", **environ: str) -> Any:
        cwd = str(project / "below")
        return configured(name, command, environ, cwd, profile or None, group=jobs, commands=COMMANDS).default_map

    text = """
        region = "eu-west-1"
        output = "runs"
        instance_count = 2
        no_option_of_launch = 1
        [jobs]
        status = "Failed"
        [jobs.logs]
        follow = true
        [profile.p]
        region = "eu-west-2"
        [profile.p.jobs]
        region = "eu-west-3"
        """
    write(project / "hvdsm.toml", text)
    assert said("jobs list", listed) == {"region": "eu-west-1", "output": f"{project}/runs", "status": "Failed"}
    assert said("jobs logs", logs) == {"region": "eu-west-1", "follow": True}
    assert said("jobs logs", logs, "p") == {"region": "eu-west-3", "follow": True}
    assert said("jobs logs", logs, HVDSM_JOBS_LOGS_FOLLOW="no", AWS_REGION="x") == {"region": "x", "follow": False}
    for wrong, hint in (("[jobs]\nfolow = true\n", "follow"), ("[jobs.lsit]\n", "list"), ("[jobs.list]\nstaus = 1\n", "status")):
        write(project / "hvdsm.toml", wrong)
        with pytest.raises(ConfigError, match=f"did you mean {hint}"):
            said("jobs list", listed)


def settle(*flags: str, request: Any = None) -> Any:
    context = parsed(*flags)
    return settled(context, context.params, request)


def test_a_request_is_changed_by_flags_alone(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(
        project / "hvdsm.toml",
        'instance_count = 4\noutput = "runs"\nrole = "file"\nmax_run = 5\nimage = "x"\nhyperparameters = {lr = 1, a = 2}\n'
        'subnets = ["s"]\ns3_root = "s3"\n',
    )
    found = settle("--request", "job.json", "--hp", "lr=3", "--max-run", "9", request={"RoleArn": "its own"})
    assert (found["instance_count"], found["role"], found["image"], found["subnets"]) == (1, None, None, ())
    assert (found["hyperparameters"], found["max_run"]) == (("lr=3",), 9)
    assert (found["output"], found["s3_root"]) == (f"{project}/runs", f"{project}/s3")
    assert settle("--request", "job.json", request={})["role"] == "file"
    assert settle("--request", "job.json", "--role", "flag", request={"RoleArn": "its own"})["role"] == "flag"
    context = parsed("--request", "job.json")
    settled(context, context.params, {})
    assert context.get_parameter_source("instance_count") is click.core.ParameterSource.DEFAULT


def test_a_default_gives_way_to_flags_that_mean_something_else(project: Path) -> None:
    write(
        project / "hvdsm.toml",
        'instance_groups = ["a=ml.c5.xlarge:1"]\nmax_wait = 7200\nsubnets = ["s"]\nsecurity_groups = ["g"]\n'
        'request = "job.json"\n'
        'custom_mpi_options = "-x A=1"\nprocesses_per_host = 2\n[profile.spot]\nspot = true\n',
    )
    assert settle()["instance_groups"] == ("a=ml.c5.xlarge:1",)
    assert settle("--instance-type", "ml.m5.large")["instance_groups"] == ()
    assert settle("--instance-type", "x", "--instance-group", "b=y:1")["instance_groups"] == ("b=y:1",)
    assert settle()["max_wait"] is None
    assert settle("--profile", "spot")["max_wait"] == 7200
    assert settle("--profile", "spot", "--no-spot")["max_wait"] is None
    assert settle("--max-wait", "5")["max_wait"] == 5
    assert settle()["subnets"] == ("s",)
    assert (settle("--vpc-stack", "v")["subnets"], settle("--vpc-stack", "v")["security_groups"]) == ((), ())
    assert settle()["request_file"] == f"{project}/job.json"
    assert settle("train.py")["request_file"] is None
    assert settle("--distribution", "none")["custom_mpi_options"] == ""
    assert settle("--distribution", "none")["processes_per_host"] is None
    assert settle("--distribution", "mpi")["custom_mpi_options"] == "-x A=1"
    assert settle("--distribution", "torch_distributed")["processes_per_host"] == 2


def test_hyperparameters_of_the_file_the_configuration_and_the_flags(project: Path) -> None:
    def found(*flags: str, request: Any = None) -> Any:
        context = parsed(*flags)
        given = settled(context, context.params, request)
        return hyperparameters_of(context, given["hyperparameters"], given["hyperparameters_file"])

    write(project / "below" / "hp.yaml", "b: 3\nc: 3\n")
    write(project / "hvdsm.toml", '[hyperparameters]\na = 1\nb = 2\n[profile.file]\nhyperparameters_file = "below/hp.yaml"\n')
    assert found() == {"a": 1, "b": 2}
    assert found("--hyperparameters", "hp.yaml", "--hp", "c=x=y") == {"a": 1, "b": 3, "c": "x=y"}
    assert found("--profile", "file", "--hp", "c=4") == {"a": 1, "b": 2, "c": 4}
    assert found("--request", "job.json", "--hp", "a=9", request={}) == {"a": 9}
    assert found("--request", "job.json", request={}) == {}
    with pytest.raises(UsageError, match="a is given twice"):
        found("--hp", "a=2", "--hp", "a=3")
    bare = launch.make_context("launch", ["--hyperparameters", "hp.yaml", "--hp", "c=4"])
    assert hyperparameters_of(bare, bare.params["hyperparameters"], "hp.yaml") == {"b": 3, "c": 4}


def test_without_configuration_nothing_is_settled() -> None:
    context = launch.make_context("launch", ["--max-wait", "5"])
    assert settled(context, context.params) == context.params
