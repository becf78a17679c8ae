import os
import stat
from pathlib import Path

import pytest

from local.state import (
    StackAlreadyRunning,
    StackNotRunning,
    StackState,
    check_free,
    claimed_home,
    home,
    nearest_home,
    publish,
    running_stack,
)

STATE = StackState("http://127.0.0.1:1", "eu-west-2", "123456789012", "/run/pg", 5432, "postgres", "/run/logs", 4711)


def test_home_is_the_variable_or_the_current_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TOTES_HOME", raising=False)
    assert home() == tmp_path / ".totes"

    monkeypatch.setenv("TOTES_HOME", "elsewhere")
    assert home() == tmp_path / "elsewhere"


def test_stack_is_found_from_a_subfolder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TOTES_HOME", raising=False)
    below = tmp_path / "a" / "b"
    # A folder without a stack's file is no stack's.
    (below / ".totes").mkdir(parents=True)
    monkeypatch.chdir(below)
    with claimed_home(tmp_path / ".totes") as file:
        publish(STATE, file)
        assert nearest_home() == tmp_path / ".totes"
        assert running_stack() == STATE
        monkeypatch.setenv("TOTES_HOME", str(tmp_path / "elsewhere"))
        with pytest.raises(StackNotRunning, match=r"No stack runs in .*/elsewhere: start one"):
            running_stack()


def test_nearest_stack_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TOTES_HOME", raising=False)
    below = tmp_path / "a"
    below.mkdir()
    monkeypatch.chdir(below)
    with claimed_home(tmp_path / ".totes"), claimed_home(below / ".totes"):
        assert nearest_home() == below / ".totes"


@pytest.mark.parametrize("link", [False, True], ids=["folder", "link to ours"])
def test_stack_of_another_user_is_not_trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, link: bool) -> None:
    if os.getuid():
        pytest.skip("only root can give a folder away")
    monkeypatch.delenv("TOTES_HOME", raising=False)
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    with claimed_home(tmp_path / "real") as file:
        publish(STATE, file)
        (tmp_path / ".totes").symlink_to(tmp_path / "real")
        assert running_stack() == STATE
        os.chown(tmp_path / (".totes" if link else "real"), 4711, -1, follow_symlinks=False)
        with pytest.raises(StackNotRunning, match=f"you started none in {tmp_path}/a or in a folder above it"):
            running_stack()


def test_free_home_stays_as_it_is(tmp_path: Path) -> None:
    check_free(tmp_path / "new")
    assert not (tmp_path / "new").exists()
    (tmp_path / "stack.json").write_text("left behind")
    check_free(tmp_path)
    assert (tmp_path / "stack.json").read_text() == "left behind"


def test_home_that_is_held_is_not_free(tmp_path: Path) -> None:
    with claimed_home(tmp_path) as file:
        publish(STATE, file)
        with pytest.raises(StackAlreadyRunning, match="process 4711"):
            check_free(tmp_path)
        assert running_stack(tmp_path) == STATE


def test_published_state_is_found_and_private(tmp_path: Path) -> None:
    with claimed_home(tmp_path) as file:
        publish(STATE, file)

        assert running_stack(tmp_path) == STATE
        assert running_stack(tmp_path) == STATE
        assert stat.S_IMODE((tmp_path / "stack.json").stat().st_mode) == 0o600


def test_home_without_a_stack_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(StackNotRunning, match="start one with `totes up`"):
        running_stack(tmp_path)


def test_starting_stack_asks_for_patience(tmp_path: Path) -> None:
    with claimed_home(tmp_path), pytest.raises(StackNotRunning, match="still starting"):
        running_stack(tmp_path)


def test_file_that_nobody_holds_is_stale_and_replaced(tmp_path: Path) -> None:
    # The named process is running: it is ours.
    (tmp_path / "stack.json").write_text(f'{{"pid": {os.getpid()}, "much": "{"x" * 1000}"}}')

    with pytest.raises(StackNotRunning, match="left behind by a stack that no longer runs"):
        running_stack(tmp_path)
    with claimed_home(tmp_path) as file:
        publish(STATE, file)
        assert running_stack(tmp_path) == STATE


def test_held_home_is_refused_with_its_process(tmp_path: Path) -> None:
    with claimed_home(tmp_path) as file:
        publish(STATE, file)

        with pytest.raises(StackAlreadyRunning, match=r"process 4711.*TOTES_HOME"), claimed_home(tmp_path):
            pass

        assert running_stack(tmp_path) == STATE


def test_home_is_removed_only_if_it_was_created(tmp_path: Path) -> None:
    with claimed_home(tmp_path / "new" / "home"):
        pass
    (tmp_path / "old").mkdir()
    with claimed_home(tmp_path / "old"):
        pass

    assert not (tmp_path / "new" / "home").exists()
    assert (tmp_path / "old").is_dir()


def test_somebody_elses_file_keeps_the_home(tmp_path: Path) -> None:
    with claimed_home(tmp_path / "home"):
        (tmp_path / "home" / "notes").touch()

    assert (tmp_path / "home" / "notes").exists()


def test_pointing_at_the_stack_drops_what_would_take_precedence() -> None:
    environment = {"AWS_PROFILE": "production", "AWS_ENDPOINT_URL_S3": "https://s3", "HOME": "/home/me"}
    STATE.point_here(environment)

    assert environment == {"HOME": "/home/me", **STATE.environment()}
    assert environment["AWS_ENDPOINT_URL"] == STATE.endpoint_url
