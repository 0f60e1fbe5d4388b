"""Objects that a configuration names outside the package."""

import subprocess
import sys


def test_a_script_finds_a_module_in_the_current_folder(tmp_path):
    (tmp_path / "scripts").mkdir()
    (tmp_path / "my_rules.py").write_text("class Rule:\n    pass\n")
    script = tmp_path / "scripts" / "use.py"
    script.write_text("from sage.support.plugins import load_object\nprint(load_object('my_rules:Rule').__name__)\n")
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "Rule\n", done.stderr
