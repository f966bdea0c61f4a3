"""Settings: where they come from, which one wins, and what is said about a wrong one."""

from __future__ import annotations

import dataclasses
import os
import tomllib
from pathlib import Path

import pytest

from sockui.config import Config, load, template
from sockui.diagnosis.thresholds import Thresholds
from sockui.errors import UsageError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without a configuration file."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return tmp_path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def test_nothing_said_gives_the_defaults() -> None:
    config = load({}, {})
    assert config == Config()
    assert (config.interval, config.source, config.theme, config.mouse) == (2.0, "auto", "dark", True)


def test_flags_win_over_environment_over_file(file: Path) -> None:
    file.write_text('interval = 3\nsource = "psutil"\nlinger = 9\n')
    config = load({"interval": "5"}, {"SOCKUI_INTERVAL": "4", "SOCKUI_SOURCE": "netlink"}, file)
    assert (config.interval, config.source, config.linger) == (5.0, "netlink", 9.0)


def test_the_usual_file_is_read(home: Path) -> None:
    (home / ".config/sockui").mkdir(parents=True)
    (home / ".config/sockui/config.toml").write_text('theme = "light"\n')
    assert load({}, {}).theme == "light"


def test_the_environment_may_name_the_file(file: Path) -> None:
    file.write_text("mouse = false\n")
    assert load({}, {"SOCKUI_CONFIG": str(file)}).mouse is False


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2", 2.0), ("0.5", 0.5), ("500ms", 0.5), ("2s", 2.0), ("1.5m", 90.0), ("100ms", 0.1), ("3600", 3600.0)],
)
def test_intervals_are_understood(text: str, seconds: float, file: Path) -> None:
    assert load({"interval": text}, {}).interval == seconds
    file.write_text(f'interval = "{text}"\n')
    assert load({}, {}, file).interval == seconds


@pytest.mark.parametrize("text", ["0", "0.05", "99ms", "-1", "nan", "inf", "1e3", "2 m", "61m", "1h", "", "3601", "٣"])
def test_intervals_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--interval .*: must be seconds from 0\.1 to 3600"):
        load({"interval": text}, {})


@pytest.mark.parametrize("value", ["nan", "inf", "true", "[2]", "0", "1979-05-27"])
def test_toml_values_that_are_no_interval_are_refused(value: str, file: Path) -> None:
    file.write_text(f"# first\ninterval = {value}\n")
    with pytest.raises(UsageError, match=r"config\.toml, line 2: interval: must be seconds"):
        load({}, {}, file)


@pytest.mark.parametrize(("text", "value"), [("1", True), ("TRUE", True), ("off", False), ("no", False)])
def test_switches_in_the_environment(text: str, value: bool) -> None:
    assert load({}, {"SOCKUI_EXPLAINER": text}).explainer is value


def test_slow_is_five_seconds_and_fewer_colours_unless_those_are_set(file: Path) -> None:
    assert (load({}, {}).slow, load({}, {}).interval) == (False, 2.0)
    slow = load({}, {"SOCKUI_SLOW": "1"})
    assert (slow.slow, slow.interval, slow.theme) == (True, 5.0, "ansi")
    file.write_text('slow = true\ntheme = "mono"\n')
    assert (load({}, {}, file).interval, load({}, {}, file).theme) == (5.0, "mono")
    assert load({"slow": "true", "interval": "1"}, {}).interval == 1.0
    assert load({"slow": "true"}, {"NO_COLOR": "1"}).theme == "mono"


def test_no_color_means_mono_unless_a_theme_is_asked_for(file: Path) -> None:
    file.write_text('theme = "light"\n')
    assert load({}, {"NO_COLOR": "1"}, file).theme == "mono"
    assert load({}, {"NO_COLOR": ""}, file).theme == "light"
    assert load({}, {"NO_COLOR": "1", "SOCKUI_THEME": "ansi"}, file).theme == "ansi"
    assert load({"theme": "dark"}, {"NO_COLOR": "1"}, file).theme == "dark"


@pytest.mark.parametrize(
    ("environ", "ascii_only"),
    [
        ({"LANG": "en_US.UTF-8"}, False),
        ({"LANG": "de_DE.utf8"}, False),
        ({"LC_CTYPE": "C.UTF-8", "LANG": "C"}, False),
        ({}, False),
        ({"LC_ALL": "C", "LANG": "en_US.UTF-8"}, True),
        ({"LANG": "en_US.ISO-8859-1"}, True),
        ({"LANG": "ja_JP.eucJP"}, True),
        ({"LANG": "en_US.ISO-8859-1", "SOCKUI_ASCII": "false"}, False),
        ({"LANG": "en_US.UTF-8", "SOCKUI_ASCII": "yes"}, True),
    ],
)
def test_ascii_follows_the_locale_unless_it_is_set(environ: dict[str, str], ascii_only: bool) -> None:
    assert load({}, environ).ascii is ascii_only


@pytest.mark.parametrize(
    ("text", "sort"),
    [
        ("age", "age"),
        ("-age", "-age"),
        ("age:desc", "-age"),
        ("age:asc", "age"),
        ("recvq", "recv_queue"),
        ("-attention", "-attention"),
    ],
)
def test_sorts_are_understood(text: str, sort: str, file: Path) -> None:
    assert load({"sort": text}, {}).sort == sort
    file.write_text(f'sort = "{text}"\n')
    assert load({}, {}, file).sort == sort


def test_columns_may_have_their_short_names(file: Path) -> None:
    assert load({"columns": "state, recvq,pid"}, {}).columns == ("state", "recv_queue", "pid")
    file.write_text('columns = ["state", "pid"]\n')
    assert load({}, {}, file).columns == ("state", "pid")
    assert load({"columns": ""}, {}, file).columns == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("intervall = 2\n", r'line 1: there is no setting intervall, did you mean "interval"\?'),
        ('\ntheme = "drak"\n', r'line 2: theme: must be dark, light, ansi or mono, did you mean "dark"\?'),
        ('mouse = "yes"\n', r"line 1: mouse: must be true or false"),
        ("filter = 3\n", r"line 1: filter: must be a filter"),
        ('view = ["sockets"]\n', r"line 1: view: must be auto, findings, sockets or processes"),
        ('columns = "state"\n', r"line 1: columns: must be names of columns"),
        ('columns = ["state", 4]\n', r"line 1: columns: must be names of columns"),
        ('columns = ["stat"]\n', r'there is no column "stat", did you mean "state"\?'),
        ('sort = "age:down"\n', r'there is no column "age:down"'),
        ('sort = "--age"\n', r'there is no column "-age"'),
        ('sort = "-age:desc"\n', r'there is no column "-age"'),
        ('sort = "agee"\n', r'there is no column "agee", did you mean "age"\?'),
        ('[theme]\nname = "dark"\n', r"line 1: theme: must be dark"),
        ("interval = 2\ntheme = dark\n", r"config\.toml: is not TOML: .*line 2"),
        ('ascii = "maybe"\n', r'ascii: must be true, false or "auto"'),
    ],
)
def test_a_wrong_file_is_pointed_at(text: str, message: str, file: Path) -> None:
    file.write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        load({}, {}, file)
    assert caught.value.exit_code == 2
    assert str(file) in str(caught.value)


def test_a_wrong_variable_is_named() -> None:
    with pytest.raises(UsageError, match=r'^SOCKUI_SOURCE=netlnk: must be auto, netlink or psutil, did you mean "netl'):
        load({}, {"SOCKUI_SOURCE": "netlnk"})


def test_variables_that_are_no_settings_are_left_alone() -> None:
    # Kubernetes gives every container in a namespace with a service "sockui" these.
    assert load({}, {"SOCKUI_PORT": "tcp://10.0.0.1:80", "SOCKUI_SERVICE_HOST": "10.0.0.1"}) == Config()


def test_a_file_that_is_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent\.toml: cannot be read: No such file"):
        load({}, {}, tmp_path / "absent.toml")
    with pytest.raises(UsageError, match="Is a directory"):
        load({}, {"SOCKUI_CONFIG": str(tmp_path)})


def test_a_file_that_is_not_text_is_said(file: Path) -> None:
    file.write_bytes(b"interval = 2 # \xff\n")
    with pytest.raises(UsageError, match="is not UTF-8"):
        load({}, {}, file)


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 5000, "{a=" * 2000])
def test_what_the_parser_gives_up_on_is_said(value: str, file: Path) -> None:
    file.write_text(f"interval = {value}\n")
    with pytest.raises(UsageError, match=r"config\.toml: is not TOML"):
        load({}, {}, file)


def test_a_tilde_in_the_working_directory_is_nobodys_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", "~nobody-has-this-name/.config")
    trap = tmp_path / "~nobody-has-this-name/.config/sockui"
    trap.mkdir(parents=True)
    (trap / "config.toml").write_text('theme = "light"\n')
    assert load({}, {}).theme == "dark"


class TestTemplate:
    """What --print-config prints."""

    def test_it_parses_back_to_the_defaults(self, file: Path) -> None:
        file.write_text(template())
        assert load({}, {}, file) == Config()

    def test_every_setting_is_there_with_its_meaning_and_what_is_allowed(self) -> None:
        text = template()
        settings = [setting.name for setting in dataclasses.fields(Config)]
        assert list(tomllib.loads(text)) == [name for name in settings if name != "allow_actions"]
        assert tomllib.loads(text)["thresholds"] == dataclasses.asdict(Thresholds())
        paragraphs = text.strip().split("\n\n")
        paragraphs.remove("# From how much on something is a finding, and why from there.\n[thresholds]")
        for paragraph in paragraphs[1:]:
            meaning, allowed, _ = paragraph.split("\n")
            assert meaning.startswith("# ")
            assert allowed.startswith("# Allowed: ")

    def test_the_whole_file_copied_does_not_freeze_what_depends_on_the_terminal(self, file: Path) -> None:
        file.write_text(template())
        assert load({}, {"LC_ALL": "C", "NO_COLOR": "1"}, file).ascii is True
        assert load({}, {"NO_COLOR": "1"}, file).theme == "mono"


class TestThresholds:
    """The table that says from how much on something is a finding."""

    def test_what_is_not_said_stays(self, file: Path) -> None:
        file.write_text("theme = 'light'\n[thresholds]\nclose_wait_seconds = 300\nports_warning = 0.5\n")
        config = load({}, {}, file)
        assert config.theme == "light"
        assert config.thresholds == Thresholds(close_wait_seconds=300.0, ports_warning=0.5)
        assert load({}, {}).thresholds == Thresholds()

    def test_dotted_keys_are_the_same(self, file: Path) -> None:
        file.write_text("thresholds.close_wait_seconds = 300\n")
        assert load({}, {}, file).thresholds.close_wait_seconds == 300.0

    def test_every_default_is_allowed_and_so_are_both_ends(self, file: Path) -> None:
        for end in ("low", "high"):
            allowed = {each.name: each.metadata[end] for each in dataclasses.fields(Thresholds)}
            file.write_text("[thresholds]\n" + "".join(f"{name} = {value}\n" for name, value in allowed.items()))
            assert dataclasses.asdict(load({}, {}, file).thresholds) == allowed
        for each in dataclasses.fields(Thresholds):
            assert each.metadata["low"] <= each.default <= each.metadata["high"]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("close_wait_second = 30", r'line 3: there is no threshold close_wait_second, did you mean "close_wait_s'),
            ("nonsense = 30", r"line 3: there is no threshold nonsense; there are close_wait_seconds, "),
            ("theme = 'dark'", r"line 3: theme is no threshold; settings stand above \[thresholds\]"),
            ("close_wait_seconds = 0.5", r"line 3: close_wait_seconds: must be a number from 1 to 86400"),
            ("close_wait_seconds = '30s'", r"line 3: close_wait_seconds: must be a number"),
            ("close_wait_seconds = true", r"line 3: close_wait_seconds: must be a number"),
            ("ports_warning = nan", r"line 3: ports_warning: must be a number from 0\.1 to 1"),
        ],
    )
    def test_what_is_wrong_is_pointed_at(self, text: str, message: str, file: Path) -> None:
        file.write_text(f"# mine\n[thresholds]\n{text}\n")
        with pytest.raises(UsageError, match=message):
            load({}, {}, file)

    def test_it_must_be_a_table(self, file: Path) -> None:
        file.write_text("thresholds = 3\n")
        with pytest.raises(UsageError, match=r"line 1: thresholds: must be a table"):
            load({}, {}, file)

    def test_a_variable_of_that_name_is_none_of_ours(self) -> None:
        assert load({}, {"SOCKUI_THRESHOLDS": "x"}) == Config()


def test_actions_are_off_unless_this_start_asks_for_them(file: Path) -> None:
    assert load({}, {}).allow_actions is False
    assert load({}, {}, allow_actions=True).allow_actions is True
    assert load({}, {"SOCKUI_ALLOW_ACTIONS": "true"}).allow_actions is False
    file.write_text("allow_actions = true\n")
    with pytest.raises(UsageError, match="line 1: there is no setting allow_actions"):
        load({}, {}, file)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody who may not read the file")
def test_somebody_elses_home_counts_as_without_a_file(home: Path) -> None:
    """Sudo -u keeps HOME in many configurations."""
    (home / ".config/sockui").mkdir(parents=True)
    (home / ".config/sockui/config.toml").write_text('theme = "light"\n')
    (home / ".config").chmod(0o700)
    os.seteuid(65534)
    try:
        assert load({}, {}).theme == "dark"
    finally:
        os.seteuid(0)
