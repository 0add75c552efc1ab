"""The program around the verbs: exit statuses, one-line errors, imports on demand."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from caffezoo.cli.main import VERBS, main


def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "caffezoo", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)  # type: ignore[call-overload]


def test_a_users_error_is_one_line_and_an_exit_status() -> None:
    done = run("show", "dpn-29")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("caffezoo: error: unknown network 'dpn-29'; did you mean dpn-")
    assert done.stderr.count("\n") == 1


def test_version_and_help_answer_without_a_verb() -> None:
    assert run("--version").stdout.startswith("caffezoo 0.")
    text = run("--help").stdout
    assert all(verb in text for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0
    assert f"caffezoo {verb}" in text.split("Options")[0].replace("Usage: caffezoo", "")


def test_an_unknown_verb_is_a_usage_error() -> None:
    done = run("evalute")
    assert done.returncode == 2
    assert "evalute" in done.stderr


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    done = subprocess.run(
        f"{shlex.quote(sys.executable)} -m caffezoo show resnet152 | head -n 1",
        shell=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.startswith("layer")
    assert done.stderr == ""


def test_a_verb_imports_no_runtime_of_another() -> None:
    code = (
        "import sys; from caffezoo.cli.main import make_app; make_app('list'); print(json.dumps(sorted(sys.modules)))"
    )
    loaded = json.loads(subprocess.check_output([sys.executable, "-c", "import json; " + code], text=True))
    assert not {"openvino", "onnx", "onnxruntime", "torch", "cv2", "pandas", "requests", "numpy"} & set(loaded)


def test_help_groups_the_verbs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    groups = [text.index(f" {group} ─") for group in ("Get", "Look", "Run", "Measure", "Convert", "Keep")]
    assert groups == sorted(groups)
    assert groups[0] < text.index(" fetch ") < groups[1] < text.index(" show ") < groups[2] < text.index(" classify ")


def test_the_help_says_what_arguments_are(capsys):
    with pytest.raises(SystemExit):
        main(["show", "--help"])
    assert "or a prototxt and its weights" in " ".join(capsys.readouterr().out.replace("│", " ").split())


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on the address space")
def test_what_memory_does_not_hold_is_one_line(tmp_path: Path) -> None:
    import resource

    net = tmp_path / "net.prototxt"
    net.write_text(
        'input: "data" input_shape { dim: 1 dim: 3072 } layer { name: "l" type: "InnerProduct" bottom: "data" '
        'top: "y" inner_product_param { num_output: 690000 } }'  # weights of 7.9 GiB
    )
    limit = 6 << 30
    done = run("time", str(net), preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("caffezoo: error: Unable to allocate 7.90 GiB")
    assert "Traceback" not in done.stderr
