"""The check digit in the browser says the same as the one in the service: run in node, on the file that is served."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from pathlib import Path

import pytest
from stdnum import damm

from service.vouchers.codes import make_code, show_code

SCRIPT = Path(__file__).parents[3] / "templates" / "assets" / "code.js"
NODE = shutil.which("node")


@pytest.mark.skipif(NODE is None, reason="node is not installed")
def test_the_browser_finds_the_slips_that_the_service_finds_and_no_others() -> None:
    dice = random.Random(27)
    codes = [make_code(dice.randrange) for _ in range(50)]
    typed = [*codes, *(str(dice.randrange(10**11, 10**12)) for _ in range(500))]
    for code in codes:
        place = dice.randrange(11)
        typed.append(code[:place] + code[place + 1] + code[place] + code[place + 2 :])
        typed.append(code[:place] + str((int(code[place]) + 1) % 10) + code[place + 1 :])
    program = (
        f"import {{ grouped, slipIn }} from {json.dumps(SCRIPT.as_uri())};"
        f"console.log(JSON.stringify({json.dumps(typed)}.map((code) => [slipIn(code, 12), grouped(code)])));"
    )
    assert NODE is not None
    ran = subprocess.run(
        [NODE, "--no-warnings", "--input-type=module", "--eval", program], capture_output=True, text=True, check=True
    )
    for code, (slip, shown) in zip(typed, json.loads(ran.stdout), strict=True):
        is_wrong = code[0] == "0" or damm.checksum(code) != 0
        assert slip == ("wrong" if is_wrong else None), code
        assert shown == show_code(code)


@pytest.mark.skipif(NODE is None, reason="node is not installed")
def test_too_few_and_too_many_digits_are_told_apart() -> None:
    program = (
        f"import {{ slipIn }} from {json.dumps(SCRIPT.as_uri())};"
        'console.log(JSON.stringify([slipIn("", 12), slipIn("4827 0315", 12), slipIn("1".repeat(13), 12)]));'
    )
    assert NODE is not None
    ran = subprocess.run(
        [NODE, "--no-warnings", "--input-type=module", "--eval", program], capture_output=True, text=True, check=True
    )
    assert json.loads(ran.stdout) == [None, "short", "long"]
