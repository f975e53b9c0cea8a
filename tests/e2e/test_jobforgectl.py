"""jobforgectl without a database: the key file, the configuration, and what a wrong command line gets."""

import base64
import json
import os
import pwd
import re
import resource
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from stack import BUILD, child_environment, together

PROGRAM = os.path.join(BUILD, "jobforgectl")


def run(*arguments, environment=None, **options):
    options.setdefault("stdout", subprocess.PIPE)
    return subprocess.run([PROGRAM, *arguments], env={**child_environment(), **(environment or {})}, text=True,
                          stderr=subprocess.PIPE, timeout=30, **options)


def succeed(*arguments, **options):
    done = run(*arguments, **options)
    assert done.returncode == 0 and done.stderr == "", done
    return done.stdout


def fail(status, *arguments, **options):
    """Fails with the status, nothing on standard output, and one sentence, which is returned."""
    done = run(*arguments, **options)
    assert done.returncode == status and not done.stdout, done
    assert re.fullmatch(r"jobforgectl: [^\n]*\.\n", done.stderr), done
    return done.stderr


# --- The key file ---------------------------------------------------------------------------------------------------

class Keys:
    def __init__(self, path):
        self.path = path

    def rotate(self, *arguments):
        return succeed("key", "rotate", "--token-keys=" + str(self.path), *arguments)

    def refuse(self, *arguments):
        return fail(1, "key", "rotate", "--token-keys=" + str(self.path), *arguments)

    def lines(self):
        return [line for line in self.path.read_text().splitlines() if line and not line.startswith("#")]

    def mode(self):
        return self.path.stat().st_mode & 0o7777


@pytest.fixture
def keys(tmp_path):
    return Keys(tmp_path / "token.keys")


def test_first_key(keys):
    old_umask = os.umask(0)
    try:
        said = keys.rotate()
    finally:
        os.umask(old_umask)
    assert keys.mode() == 0o600
    [line] = keys.lines()
    kid, secret = line.split(" ")
    assert re.fullmatch(r"20\d{6}-[0-9a-f]{8}", kid)
    assert len(base64.urlsafe_b64decode(secret + "==")) == 64 and "=" not in secret
    assert said.startswith(f"Key {kid} in {keys.path} signs from now on.\n") and "SIGHUP" in said
    assert secret not in said


def test_rotations(keys):
    keys.rotate()
    [first] = keys.lines()
    said = json.loads(keys.rotate("--json"))
    second, previous = keys.lines()
    assert previous == first and second != first
    assert said == {"file": str(keys.path), "signing": second.split()[0], "previous": first.split()[0]}
    keys.rotate()
    assert keys.lines()[1:] == [second]
    assert keys.mode() == 0o600
    assert os.listdir(keys.path.parent) == ["token.keys"]


def test_json_of_the_first(keys):
    assert json.loads(keys.rotate("--json"))["previous"] is None


def test_own_file_is_kept(keys):
    """A file made by hand: its signing key stays as the second, to the letter."""
    line = "by-hand.1\t" + "A" * 43
    keys.path.write_text(f"# comment\n\n  {line}\r\nother {'E' * 43}")
    keys.path.chmod(0o600)
    keys.rotate()
    assert keys.lines()[1:] == [line]


@pytest.mark.parametrize("text, mode", [
    ("", 0o600),
    ("# no key\n", 0o600),
    ("kid\n", 0o600),
    ("kid short\n", 0o600),
    ("kid " + "A" * 43 + "\nkid " + "E" * 43 + "\n", 0o600),
    ("kid " + "A" * 43 + "\n", 0o640),
    ("kid " + "A" * 43 + "\n", 0o604),
    ("#" * (1 << 20) + "\nkid " + "A" * 43 + "\n", 0o600),
], ids=["empty", "comment", "no secret", "short secret", "twice", "group", "others", "large"])
def test_a_damaged_file_is_left_alone(keys, text, mode):
    keys.path.write_text(text)
    keys.path.chmod(mode)
    assert str(keys.path) in keys.refuse()
    assert keys.path.read_text() == text and keys.mode() == mode
    assert os.listdir(keys.path.parent) == ["token.keys"]


def test_no_directory(keys):
    keys.path = keys.path.parent / "nowhere" / "token.keys"
    assert "make the directory, or set token_keys to another path" in keys.refuse()


def test_directory_in_its_place(keys):
    keys.path.mkdir()
    keys.refuse()
    assert keys.path.is_dir()


def test_no_room(keys):
    """A file system that takes no byte more, by way of a limit: what is there stays, and no other file."""
    keys.rotate()
    before = keys.path.read_bytes()
    done = run("key", "rotate", f"--token-keys={keys.path}", restore_signals=False,
               preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)))
    assert done.returncode == 1 and "cannot be written: File too large." in done.stderr, done
    assert keys.path.read_bytes() == before and os.listdir(keys.path.parent) == ["token.keys"]


def test_symbolic_link(keys):
    target = keys.path.parent / "elsewhere"
    keys.path.symlink_to(target)
    target.write_text("kid " + "A" * 43 + "\n")
    target.chmod(0o600)
    keys.rotate()
    assert keys.path.is_symlink() and keys.lines()[1] == "kid " + "A" * 43


def test_rotations_at_once_take_turns(keys):
    said = together(8, lambda index: json.loads(keys.rotate("--json")))
    order = {each["previous"]: each["signing"] for each in said}
    assert len(order) == 8, "two rotations began from the same file"
    signing = None
    while signing in order:
        previous, signing = signing, order[signing]
    assert [line.split()[0] for line in keys.lines()] == [signing, previous]
    assert os.listdir(keys.path.parent) == ["token.keys"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_output_that_cannot_be_written():
    with open("/dev/full", "w", encoding="ascii") as full:
        done = run("version", stdout=full)
    assert done.returncode == 1 and "standard output cannot be written" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_owner(keys):
    nobody = pwd.getpwnam("nobody")
    keys.rotate("--user=nobody")
    assert (keys.path.stat().st_uid, keys.path.stat().st_gid) == (nobody.pw_uid, nobody.pw_gid)
    keys.rotate()
    assert (keys.path.stat().st_uid, keys.mode()) == (nobody.pw_uid, 0o600)
    keys.path.unlink()
    assert "there is no account no-such-account" in keys.refuse("--user=no-such-account")
    assert not keys.path.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="root is needed to become another account")
def test_of_another_account():
    """In a directory that anybody may write to, which neither the build's nor pytest's own is."""
    with tempfile.TemporaryDirectory(prefix="jf-", dir="/tmp") as directory:
        os.chmod(directory, 0o777)
        keys = Keys(Path(directory, "token.keys"))
        keys.rotate()
        before = keys.path.read_bytes()
        program = shutil.copy(PROGRAM, directory)
        done = subprocess.run([program, "key", "rotate", f"--token-keys={keys.path}"], env=child_environment(),
                              text=True, capture_output=True, timeout=30, user="nobody", cwd="/")
        assert done.returncode == 1 and done.stdout == "" and str(keys.path) in done.stderr, done
        assert keys.path.read_bytes() == before


# --- The configuration ----------------------------------------------------------------------------------------------

def test_sources(tmp_path):
    file = tmp_path / "conf"
    file.write_text("api_workers = 5\nauth_workers = 6\n# from here on\nlogin_attempts = 7\n")
    said = json.loads(succeed("config", "--json", "--config", str(file), "--login-attempts=9",
                              environment={"JOBFORGE_AUTH_WORKERS": "8"}))
    assert (said["api_workers"], said["auth_workers"], said["login_attempts"]) == (5, 8, 9)
    assert succeed(f"--config={file}", "--login-attempts=9", "--json", "config",
                   environment={"JOBFORGE_AUTH_WORKERS": "8"}) == json.dumps(said, separators=(",", ":")) + "\n"


def test_round_trip(tmp_path):
    file = tmp_path / "conf"
    first = succeed("config", "--api-workers=9", "--token-issuer=a \"b\" # \\ c", "--server-timing")
    file.write_text(first)
    assert succeed("config", "--config", str(file)) == first


def test_example(tmp_path):
    file = tmp_path / "conf"
    file.write_text(succeed("config", "--example", environment={"JOBFORGE_API_WORKERS": "bad"}))
    assert succeed("config", "--config", str(file)) == succeed("config")


def test_passwords_are_hidden():
    said = succeed("config", "--database=host=a password=geheim", "--admin-database=postgresql://u:geheim@h/d")
    assert "geheim" not in said and "password=***" in said and "u:***@h" in said


@pytest.mark.parametrize("text, sentence", [
    ("api_workers = 0", ":1: api_workers must be a whole number from 1 to 512."),
    ("\nno_such_key = 1", ":2: there is no key no_such_key; see jobforged.conf(5)."),
    ("user = a\nuser = a", ":2: user is set a second time."),
    ("password geheim", ":1: a line is \"key = value\", a comment that starts with '#', or empty."),
])
def test_bad_file(tmp_path, text, sentence):
    file = tmp_path / "conf"
    file.write_text(text)
    assert fail(1, "config", "--config", str(file)) == f"jobforgectl: {file}{sentence}\n"


def test_missing_file(tmp_path):
    assert "cannot be read: No such file or directory" in fail(1, "config", "--config", str(tmp_path / "none"))


def test_bad_environment():
    assert fail(1, "config", environment={"JOBFORGE_API_WORKERS": "many"}) == \
        "jobforgectl: JOBFORGE_API_WORKERS: api_workers must be a whole number from 1 to 512.\n"
    succeed("config", environment={"JOBFORGE_API_WORKER": "many"})


# --- The command line -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("arguments, sentence", [
    ((), "there is no command."),
    (("frobnicate",), "there is no command frobnicate."),
    (("key",), "there is no command key."),
    (("key", "spin"), "there is no command key spin."),
    (("help", "frobnicate"), "there is no command frobnicate."),
    (("version", "now"), "version takes no argument now."),
    (("help",) + ("x",) * 20, "there are too many arguments."),
    (("--frobnicate=geheim", "version"),
     "there is no option --frobnicate here; a command's own options follow its name."),
    (("--dry-run", "migrate"), "there is no option --dry-run here; a command's own options follow its name."),
    (("-x", "version"), "there is no option -x here; a command's own options follow its name."),
    (("-", "version"), "there is no option - here; a command's own options follow its name."),
    (("--", "version"), "there is no option -- here; a command's own options follow its name."),
    (("config", "--config"), "--config needs a value: --config FILE."),
    (("migrate", "--directory"), "--directory needs a value: --directory DIR."),
    (("version", "--json=1"), "--json takes no value."),
    (("config", "--example", "--json"), "config --example has no JSON form."),
    (("completion", "--json"), "completion has no JSON form."),
    (("restore",), "restore needs FILE."),
    (("monitor", "--every", "0"), "--every must be a whole number from 1 to 3600."),
    (("bench-db", "--seconds=3x"), "--seconds must be a whole number from 1 to 60."),
])
def test_usage(arguments, sentence):
    assert fail(2, *arguments) == f"jobforgectl: {sentence} See jobforgectl help.\n"


def test_help():
    whole = succeed("help")
    assert whole == succeed("--help") and "\n  key rotate " in whole
    one = succeed("help", "key", "rotate")
    assert one == succeed("key", "rotate", "--help") and one.startswith("usage: jobforgectl [options] key rotate\n")
    listed = json.loads(succeed("help", "--json"))
    names = [command["name"] for command in listed["commands"]]
    assert {"backup", "doctor", "key rotate", "migrate", "restore", "verify-backup"} <= set(names)
    assert names == sorted(names)
    for name in names:
        assert f"\n  {name} " in whole
        assert succeed("help", *name.split()).startswith(f"usage: jobforgectl [options] {name}")


# --- Completion -----------------------------------------------------------------------------------------------------

def complete(*words):
    """What bash offers for the last word."""
    script = succeed("completion") + """
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_jobforgectl
printf '%s\\n' "${COMPREPLY[@]}"
"""
    done = subprocess.run(["bash", "-u", "-c", script, "bash", "jobforgectl", *words], text=True, capture_output=True,
                          timeout=30, check=True)
    assert done.stderr == ""
    return done.stdout.split()


def test_completion_knows_what_help_knows():
    """Each command can be typed by completing, word after word, and then offers its own options."""
    listed = json.loads(succeed("help", "--json"))
    for command in listed["commands"]:
        words = command["name"].split()
        for count, word in enumerate(words):
            assert complete(*words[:count], word[:-1]) .count(word) == 1, words
        wanted = {option["name"] for option in command["options"] + listed["options"]}
        assert wanted == set(complete(*words, "--")), words
    assert set(complete("")) - {option["name"] for option in listed["options"]} == \
        {command["name"].split()[0] for command in listed["commands"]}


@pytest.mark.parametrize("words, offered", [
    (("mig",), ["migrate"]),
    (("--json", "mig",), ["migrate"]),
    (("key", ""), ["rotate"]),
    (("key", "rotate", "--dry"), []),
    (("migrate", "--dry-run", "--dir"), ["--directory"]),
    (("help", "key", "r"), ["rotate"]),
    (("no-such-command", "--js"), ["--json"]),
])
def test_completion(words, offered):
    assert [word for word in complete(*words) if not (words[-1] == "" and word.startswith("-"))] == offered


# --- Version ---------------------------------------------------------------------------------------------------------

def test_version():
    assert succeed("version") == succeed("--version")
    said = json.loads(succeed("version", "--json"))
    assert set(said) == {"version", "schema", "configuration", "migrations", "sockets"}
    assert f"schema version: {said['schema']}\n" in succeed("version")
