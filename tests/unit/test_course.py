"""Where a job is in its plan, as the launcher knows it: what is asked of whom, and when."""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

from hvdsm.compose.plan import parse_plan
from hvdsm.container.course import Course
from hvdsm.model import Cluster, InstanceGroup

ROLES = [
    {"name": "scheduler", "command": ["a"], "hosts": "first"},
    {"name": "server", "command": ["b"], "after": "scheduler"},
]
STEP = {"command": ["c"]}


class Job:
    """A course with what it has asked and said."""

    def __init__(self, plan: Dict[str, Any], cluster: Cluster) -> None:
        self.asked: List[Tuple[str, str, str]] = []
        self.said: List[str] = []
        self.warnings: List[str] = []
        self.halted = False
        self.over = False
        self.course = Course(
            cluster,
            tell=lambda host, message: self.asked.append((host, message["do"], message["name"])),
            phase=lambda name, _text: self.said.append(name),
            warn=self.warnings.append,
            halted=lambda: self.halted,
        )
        self.course.plan = parse_plan(plan)

    def begin(self, restart: int = 0) -> None:
        self.over = False
        self.course.begin(restart, self._then)

    def conclude(self) -> None:
        self.over = False
        self.course.conclude(self._then)

    def _then(self) -> None:
        assert not self.over
        self.over = True

    def answer(self, host: str, said: str, name: str, **more: Any) -> None:
        self.course.hear(host, {"say": said, "name": name, **more})

    def new(self) -> List[Tuple[str, str, str]]:
        """What has been asked since the last time."""
        found, self.asked = self.asked, []
        return found


def two(plan: Dict[str, Any]) -> Job:
    return Job(plan, Cluster(("algo-1", "algo-2"), "algo-1"))


def test_nothing_runs_before_the_slowest_host_has_prepared() -> None:
    job = two({"prepare": STEP})
    job.begin()
    assert job.new() == [("algo-1", "step", "prepare"), ("algo-2", "step", "prepare")]
    assert job.course.hosts == {"algo-1", "algo-2"}
    job.answer("algo-2", "step-done", "prepare")
    assert not job.over and job.course.hosts == {"algo-1"}
    job.answer("algo-1", "step-done", "prepare")
    assert job.over and job.said == ["prepared"] and job.course.hosts == set()


def test_several_steps_follow_each_other_and_one_may_be_for_the_first_host() -> None:
    job = two({"prepare": [STEP, {**STEP, "hosts": "first"}]})
    job.begin()
    assert len(job.new()) == 2
    job.answer("algo-1", "step-done", "prepare-1")
    assert job.new() == []
    job.answer("algo-2", "step-done", "prepare-1")
    assert job.new() == [("algo-1", "step", "prepare-2")] and not job.over
    job.answer("algo-1", "step-done", "prepare-2")
    assert job.over


def test_a_role_waits_until_the_one_before_it_is_ready_and_ends_before_it() -> None:
    job = two({"roles": ROLES})
    job.begin()
    assert job.new() == [("algo-1", "role", "scheduler")]
    job.answer("algo-1", "role-ready", "scheduler")
    assert job.new() == [("algo-1", "role", "server"), ("algo-2", "role", "server")]
    job.answer("algo-1", "role-ready", "server")
    assert not job.over
    job.answer("algo-2", "role-ready", "server")
    assert job.over and job.said == ["roles ready"]
    job.conclude()
    assert job.new() == [("algo-1", "end-role", "server"), ("algo-2", "end-role", "server")]
    job.answer("algo-2", "role-ended", "server", warning="server was slow")
    job.answer("algo-1", "role-ended", "server")
    assert job.warnings == ["algo-2: server was slow"]
    assert job.new() == [("algo-1", "end-role", "scheduler")] and not job.over
    job.answer("algo-1", "role-ended", "scheduler")
    assert job.over and job.said == ["roles ready", "roles ended"]


def test_roles_that_do_not_wait_for_each_other_start_together() -> None:
    job = two({"roles": [{**ROLES[0]}, {"name": "cache", "command": ["d"], "hosts": "first"}]})
    job.begin()
    assert job.new() == [("algo-1", "role", "scheduler"), ("algo-1", "role", "cache")]


def test_a_host_that_answers_at_once_starts_nothing_twice() -> None:
    job = Job({"roles": ROLES, "finish": STEP}, Cluster(("algo-1",), "algo-1"))
    answers = {"role": "role-ready", "end-role": "role-ended", "step": "step-done"}
    asked: List[Tuple[str, str]] = []

    def tell(host: str, message: Dict[str, Any]) -> None:
        asked.append((message["do"], message["name"]))
        job.answer(host, answers[message["do"]], message["name"])

    job.course._tell = tell
    job.begin()
    assert job.over and asked == [("role", "scheduler"), ("role", "server")]
    asked.clear()
    job.conclude()
    assert job.over and asked == [("end-role", "server"), ("end-role", "scheduler"), ("step", "finish")]
    assert job.said == ["roles ready", "roles ended", "finished"]


def test_finish_comes_after_the_roles_and_prepare_is_not_repeated_by_a_restart() -> None:
    job = two({"prepare": STEP, "roles": ROLES[:1], "finish": STEP})
    job.begin(restart=1)
    assert job.new() == [("algo-1", "role", "scheduler")]
    job.answer("algo-1", "role-ready", "scheduler")
    assert job.over
    job.conclude()
    assert job.new() == [("algo-1", "end-role", "scheduler")]
    job.answer("algo-1", "role-ended", "scheduler")
    assert job.new() == [("algo-1", "step", "finish"), ("algo-2", "step", "finish")] and not job.over


def test_nothing_follows_a_failure() -> None:
    job = two({"prepare": STEP, "roles": ROLES})
    job.begin()
    job.new()
    job.halted = True
    job.answer("algo-2", "role-failed", "prepare")
    assert job.course.hosts == {"algo-1"}
    job.answer("algo-1", "step-done", "prepare")
    assert job.new() == [] and not job.over and job.course.hosts == set()


def test_a_lost_host_is_not_waited_for() -> None:
    job = two({"prepare": STEP})
    job.begin()
    job.halted = True
    job.course.lost("algo-2")
    assert job.course.hosts == {"algo-1"}
    job.course.failed("algo-1")
    assert job.course.hosts == set() and not job.over


def test_without_a_plan_everything_follows_at_once() -> None:
    job = two({})
    job.course.plan = None
    job.begin()
    assert job.over
    job.conclude()
    assert job.over and job.asked == [] and job.said == []


def test_an_empty_plan_is_like_none() -> None:
    job = two({})
    job.begin()
    assert job.over
    job.conclude()
    assert job.over and job.asked == [] and job.said == []


def test_of_instance_groups_steps_are_on_all_hosts_and_roles_where_ranks_are() -> None:
    groups = (InstanceGroup("data", "ml.c5", ("algo-1",)), InstanceGroup("gpu", "ml.p3", ("algo-2", "algo-3")))
    cluster = Cluster(("algo-1", "algo-2", "algo-3"), "algo-2", instance_groups=groups, distribution_groups=("gpu",))
    job = Job({"prepare": [STEP, {**STEP, "hosts": "first"}], "roles": ROLES}, cluster)
    job.begin()
    assert [host for host, _, _ in job.new()] == ["algo-1", "algo-2", "algo-3"]
    for host in cluster.hosts:
        job.answer(host, "step-done", "prepare-1")
    assert job.new() == [("algo-2", "step", "prepare-2")]
    job.answer("algo-2", "step-done", "prepare-2")
    assert job.new() == [("algo-2", "role", "scheduler")]
    job.answer("algo-2", "role-ready", "scheduler")
    assert [host for host, _, _ in job.new()] == ["algo-2", "algo-3"]
