"""The README's Python runs as it stands there, from the first block to the last."""

import re
from pathlib import Path


def test_the_readmes_python_runs(root: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (root / "README.md").read_text(), re.DOTALL)
    assert blocks
    exec("\n".join(blocks), {"__name__": "readme"})
