"""The README's commands do what it says."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e import suite as suites
from tests.e2e.suite import Suite
from tests.support.openai_server import OpenAiServer, Reply

ROOT = Path(__file__).parents[2]
QUESTIONS = ("What pulls the water?", "How often is high tide?")
QUIZ = {
    "title": "Tides",
    "questions": [
        {"question": question, "options": ["a", "b", "c", "d"], "answer": 0, "explanation": "So it is."}
        for question in QUESTIONS
    ],
}


def block(title: str, file: str = "README.md") -> str:
    """The first code block below a heading."""
    section = (ROOT / file).read_text().split(f"\n## {title}\n", 1)[1]
    found = re.search(r"```\w*\n(.*?)```", section, re.DOTALL)
    assert found is not None
    return found[1]


def shell(command: str) -> str:
    """Run a command as a reader would."""
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done.stdout


def test_every_curl_line_is_answered(suite: Suite, provider: OpenAiServer) -> None:
    provider.otherwise = Reply(text="Hello.")
    commands = re.sub(r"\\\n\s*", "", block("By curl")).splitlines()
    curls = [line for line in commands if line.startswith("curl")]
    assert len(curls) >= 6
    run_id = ""
    for line in curls:
        answer = shell(line.replace("localhost:8080", suite.url.removeprefix("http://")).replace("RUN_ID", run_id))
        if "text/event-stream" in answer or "data: " in answer:
            assert "RUN_FINISHED" in answer or "events" in line, answer
        elif answer:
            known = json.loads(answer)
            assert "status" not in known or isinstance(known["status"], str), answer
            run_id = known.get("run_id", run_id)
            if "/api/tasks" in line:
                shell(f"curl -s '{suite.url}/api/tasks/{run_id}?wait=30'")


@pytest.mark.timeout(300)  # each of the many lines starts a process
def test_every_headrace_line_works(suite: Suite, provider: OpenAiServer, tmp_path: Path) -> None:
    provider.otherwise = Reply(text="A notice about late homework.")
    notes = tmp_path / "notes.md"
    notes.write_text("# Notes\n\nLate homework loses one point for each day.\n")
    tried = 0
    for line in block("Use it").splitlines():
        words = re.split(r"\s{2,}", line)[0].removeprefix("headrace ")
        if words in ("chat", "down") or words.endswith("-f"):  # they wait for a person, or end the suite
            continue
        arguments = [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', words)]
        if "quiz" in words:
            provider.script.append(Reply(text=json.dumps(QUIZ)))
        arguments = [str(notes) if word == "notes.md" else word for word in arguments]
        done = suites.headrace(suite.home, *arguments)
        assert done.returncode == 0, f"{line}\n{done.stderr}{done.stdout}"
        tried += 1
    assert tried >= 15


def test_help_teaches() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "headrace_cli", "--help"], capture_output=True, text=True, timeout=30, check=True
    )
    for command in ("up", "down", "status", "logs", "chat", "run", "docs"):
        assert command in done.stdout
