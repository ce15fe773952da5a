"""Settings in a JSON file, written atomically."""

import json
import os
import subprocess
import tempfile
from pathlib import Path

DEFAULTS = {"theme": "light", "font_size": 12, "recent": []}


class SettingsError(Exception):
    """The file cannot be used."""


def load(path):
    path = Path(path)
    if not path.exists():
        return dict(DEFAULTS)
    try:
        with path.open(encoding="utf-8") as file:
            data = json.load(file)
    except json.JSONDecodeError as error:
        raise SettingsError(f"{path} is not JSON: {error}") from error
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error}") from error
    if not isinstance(data, dict):
        raise SettingsError(f"{path} holds no object")
    return {**DEFAULTS, **data}


def save(path, settings):
    path = Path(path)
    handle, name = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(settings, file, indent=2)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def remember_recent(settings, name, limit=10):
    recent = [known for known in settings["recent"] if known != name]
    recent.insert(0, name)
    return {**settings, "recent": recent[:limit]}


def font_size(settings):
    size = settings.get("font_size")
    if size is None:
        return DEFAULTS["font_size"]
    return max(6, min(int(size), 72))


def open_in_editor(path, editor=None):
    command = [editor or os.environ.get("EDITOR", "vi"), str(path)]
    done = subprocess.run(command, check=False)
    return done.returncode == 0


def count_lines(paths):
    total = 0
    for path in paths:
        with open(path, encoding="utf-8") as file:
            total += sum(1 for _ in file)
    return total


def first_line(path):
    with open(path, encoding="utf-8") as file:
        line = file.readline()
    return line.rstrip("\n")
