"""What the one-machine run gives the template."""

from __future__ import annotations

import base64
import re
import tomllib

from local import config, deploy


def test_integrations_may_be_on_the_machine_and_their_secrets_have_a_key_of_the_stack_s_own(tmp_path):
    made, other = (config.load({"SPANDREL_LOCAL_DIR": str(tmp_path / name)}) for name in ("one", "other"))
    for each in (made, other):
        each.home.mkdir()
    first, second = (deploy._parameters(made, "postgresql:///x") for _ in range(2))
    assert first == second
    assert first["AllowLoopback"] == "true"
    assert len(base64.b64decode(first["SecretKey"], validate=True)) == 32
    assert first["SecretKey"] != deploy._parameters(other, "postgresql:///x")["SecretKey"]
    assert (made.home / "secret-key").stat().st_mode & 0o077 == 0


def test_every_parameter_is_one_of_the_template(tmp_path):
    made = config.load({"SPANDREL_LOCAL_DIR": str(tmp_path)})
    text = (config.ROOT / "template.yaml").read_text()
    declared = re.findall(
        r"^  (\w+):$", text[text.index("Parameters:\n  Database") : text.index("\nRules:")], re.MULTILINE
    )
    assert set(deploy._parameters(made, "postgresql:///x")) <= set(declared)


def test_what_sam_reads_from_its_file_is_lists_of_pairs_that_the_template_knows():
    """SAM CLI falls over a table of tags."""
    stages = tomllib.loads((config.ROOT / "samconfig.toml").read_text())
    template = (config.ROOT / "template.yaml").read_text()
    for stage in ("dev", "prod"):
        given = stages[stage]["deploy"]["parameters"]
        assert all(re.fullmatch(r"\w+=\w+", tag) for tag in given["tags"])
        assert isinstance(given["parameter_overrides"], list)
        for pair in given["parameter_overrides"]:
            assert f"\n  {pair.partition('=')[0]}:\n    Type:" in template
