"""Workers: each molecule is done once, whatever happens to some of them and to other workers."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from boltzgen.campaign import worker
from boltzgen.campaign.child import Limits, memory_limit, run_in_child
from boltzgen.campaign.folder import CampaignFolder
from boltzgen.campaign.molecule import Ending, clear, smaller, time_limit
from boltzgen.campaign.worker import MOST_KILLED, Worker, next_size
from boltzgen.errors import InputError
from boltzgen.records.campaign import Attempt
from boltzgen.training.config import TrainingConfig
from tests.campaign import works
from tests.campaign.works import SAMPLE, campaign

ROOT = Path(__file__).parents[2]
# Works without processes of its own, as fast as claims and files allow.
RACER = """
import sys
from pathlib import Path
from boltzgen.campaign.folder import CampaignFolder
from boltzgen.campaign.worker import Worker
from tests.campaign.works import noted
for line in sys.stdin:
    folder = CampaignFolder(Path(line.strip()))
    print(Worker(folder, work=noted, run=lambda work, given, limits, log: work(*given)).run(), flush=True)
"""
SLOW = """
import sys
from pathlib import Path
from boltzgen.campaign.folder import CampaignFolder
from boltzgen.campaign.worker import Worker
from boltzgen.interruption import ignore_repeated_signals, raising_on_signals
from tests.campaign.works import slow
if __name__ == "__main__":
    ignore_repeated_signals()
    with raising_on_signals():
        Worker(CampaignFolder(Path(sys.argv[1])), work=slow).run()
"""


def python(code, *arguments, **pipes):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], env=environment, text=True, **pipes
    )


def directly(work, arguments, limits, log):
    """Without a process."""
    return work(*arguments)


def until(condition, seconds=60.0):
    ended = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ended, "waited in vain"
        time.sleep(0.05)


def test_two_workers_racing_for_200_tasks_20_times_do_each_once(tmp_path):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    racers = [python(RACER, **pipes) for _ in range(2)]
    names = [f"m{k}" for k in range(200)]
    shares = []
    for number in range(20):
        folder = campaign(tmp_path / str(number), names)
        for racer in racers:
            racer.stdin.write(f"{folder.path}\n")
            racer.stdin.flush()
        shares.append([int(racer.stdout.readline()) for racer in racers])
        assert sum(shares[-1]) == 200
        assert folder.ended() == set(names)
        assert folder.claimed() == set()
        for name in names:
            done = (folder.path / "molecules" / f"{name}.done").read_text().splitlines()
            assert len(done) == 1, name
    for racer in racers:
        racer.communicate()
    assert min(sum(share) for share in zip(*shares, strict=True)) > 0


def test_what_happens_to_one_molecule_happens_to_no_other(tmp_path):
    """Crashes, hangs and lack of memory are tried again smaller, once; the others never notice."""
    tried = {"fine": 1, "refuse": 1, "fail": 2, "fail-once": 2, "abort": 2, "exit": 2, "memory": 2}
    tried |= {"kill": 2 * MOST_KILLED, "hang-once": 2, "last": 1}
    folder = campaign(tmp_path / "runs", list(tried), time_limit=1.0)
    said = []
    assert Worker(folder, said.append, works.misbehaves).run() == len(tried)
    outcomes = {name: folder.outcome(name) for name in tried}
    assert {name: outcome.attempts for name, outcome in outcomes.items()} == tried
    assert Counter(outcome.state for outcome in outcomes.values()) == {
        "converged": 4, "refused": 1, "failed": 5,
    }  # fmt: skip
    assert outcomes["refuse"].sentence == "it cannot be used"
    assert outcomes["fail-once"].smaller
    assert not outcomes["fine"].smaller
    again = "; again with a quarter of the samples and the batch: "
    for name, why in {
        "abort": "its process died of SIGABRT",
        "exit": "its process died with exit code 7",
        "kill": "its process was killed",
        "memory": "there was too little memory",
    }.items():
        assert outcomes[name].sentence == f"{why}{again}{why}"
    assert folder.attempts("hang-once")[0].sentence.startswith("it had not ended after 1 s")
    for name, n in tried.items():
        assert len(folder.run_folder(name).with_suffix(".done").read_text().splitlines()) == n
    # the same again does nothing
    assert Worker(folder, said.append, works.misbehaves).run() == 0
    assert folder.outcome("fail") == outcomes["fail"]


def test_memory_beyond_the_limit_is_a_failure_of_that_molecule(tmp_path):
    def ending(gigabytes):
        return run_in_child(
            works.allocates, (tmp_path, 0.5), Limits(memory=int(gigabytes * 1e9)), tmp_path / "log"
        )

    assert ending(8.0) == Ending("converged")
    assert ending(0.4) == Ending("failed", "there was too little memory")


def test_a_limit_of_memory_that_cannot_be_kept_to_is_refused(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert memory_limit(2.0, 4, "cpu") == 2_000_000_000
    assert memory_limit(None, 4, "auto") is None
    with pytest.raises(InputError, match="--memory 2 cannot be kept to on a GPU"):
        memory_limit(2.0, 4, "auto")


def test_a_worker_that_is_asked_to_stop_gives_its_molecule_back(tmp_path):
    folder = campaign(tmp_path / "runs", ["one"])
    with python(SLOW, folder.path, stderr=subprocess.PIPE) as process:
        until((folder.path / "molecules" / "one.begun").exists)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert "InterruptedRunError" in said
    assert folder.claimed() == set()
    assert not (folder.run_folder("one") / ".lock").exists()
    assert [attempt.ended for attempt in folder.attempts("one")] == ["interrupted"]
    assert Worker(folder, work=works.noted, run=directly).run() == 1
    assert folder.outcome("one").attempts == 2


def test_a_dead_worker_is_replaced_and_leaves_no_process(tmp_path):
    folder = campaign(tmp_path / "runs", ["one"])
    with python(SLOW, folder.path) as process:
        until((folder.path / "molecules" / "one.begun").exists)
        process.kill()
    assert folder.claimed() == {"one"}
    until(lambda: not (folder.run_folder("one") / ".lock").exists())  # its child ends by itself
    assert Worker(folder, work=works.noted, run=directly).run() == 1
    assert [attempt.ended for attempt in folder.attempts("one")] == ["", ""]
    assert folder.outcome("one").state == "converged"


def test_a_worker_leaves_when_others_do_the_rest_and_waits_for_the_dead(tmp_path, monkeypatch):
    """One claim is renewed from elsewhere; of another the worker waits for the end of the lease."""
    monkeypatch.setattr(worker, "LOOK", 0.05)
    folder = campaign(tmp_path / "runs", ["alive", "dead"])
    for name in ("alive", "dead"):
        folder.claim(name).path.write_text('{"machine": "elsewhere", "token": "1", "pid": 1}')
    looks = []
    whole = worker._SignsOfLife.all_alive

    def looked(signs, names):
        looks.append(sorted(names))
        os.utime(folder.claim("alive").path)
        if len(looks) == 3:
            os.utime(folder.claim("dead").path, (0.0, 0.0))
        return whole(signs, names)

    monkeypatch.setattr(worker._SignsOfLife, "all_alive", looked)
    assert Worker(folder, work=works.noted, run=directly).run() == 1
    assert folder.ended() == {"dead"}
    assert looks[-1] == ["alive"]


def test_a_molecule_that_another_process_still_works_on_is_left_to_it(tmp_path):
    folder = campaign(tmp_path / "runs", ["one", "two"])

    def busy_once(work, given, limits, log):
        seen.append(given[1].name)
        return Ending("busy", "in use") if seen == ["one"] else Ending("converged")

    seen = []
    assert Worker(folder, run=busy_once).run() == 2
    assert seen == ["one", "two", "one"]
    assert folder.outcome("one").attempts == 1


def attempt(ended, small=False):
    return Attempt(worker="w", smaller=small, began="", ended=ended)


@pytest.mark.parametrize(
    ("attempts", "size"),
    [
        ([], "as asked"),
        ([attempt("interrupted")] * 20, "as asked"),
        ([attempt("")] * (MOST_KILLED - 1), "as asked"),
        ([attempt(""), attempt("killed"), attempt("interrupted"), attempt("")], "smaller"),
        ([attempt("failed")], "smaller"),
        ([attempt("failed"), attempt("interrupted", True)], "smaller"),
        ([attempt("failed"), attempt("failed", True)], "none"),
        ([attempt("failed"), *[attempt("", True)] * MOST_KILLED], "none"),
    ],
)
def test_what_is_tried_next(attempts, size):
    assert next_size(attempts) == size


def test_a_second_try_is_smaller():
    config = SAMPLE.model_copy(
        update={"effective_samples": 1000, "training": TrainingConfig(batch_size=512, processes=2)}
    )
    second = smaller(config)
    assert second.n_samples == config.n_samples // 4
    assert second.effective_samples == 250
    assert (second.training.batch_size, second.training.processes) == (128, 1)
    few = smaller(config.model_copy(update={"n_samples": 50}))
    assert few.n_samples == 50


def test_the_time_of_a_molecule_is_twice_its_budget_and_a_minute():
    assert time_limit(SAMPLE, 20, None) == 80.0
    assert time_limit(SAMPLE, 20, 5.0) == 5.0
    unlimited = SAMPLE.model_copy(update={"budget_seconds": None})
    assert time_limit(unlimited, 20, None) > time_limit(unlimited, 14, None) > 60.0
    assert time_limit(SAMPLE.model_copy(update={"training": TrainingConfig(max_steps=9)}), 20, None) is None


def test_a_cleared_folder_keeps_what_is_not_the_runs(tmp_path):
    for name in ("config.toml", "checkpoint.safetensors", "notes.txt"):
        (tmp_path / name).touch()
    clear(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_outcome_is_written_once(tmp_path):
    folder = campaign(tmp_path / "runs", ["one"])
    Worker(folder, work=works.noted, run=directly).run()
    first = folder.outcome("one")
    assert not folder.end(first.model_copy(update={"state": "failed"}))
    assert CampaignFolder(folder.path).outcome("one") == first
    folder.forget("one")
    assert folder.attempts("one") == []
    assert Worker(folder, work=works.noted, run=directly).run() == 1
