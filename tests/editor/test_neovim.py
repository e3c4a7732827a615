"""Headless Neovim with the lines of docs/editors.md: it shows an error, applies its fix, and shows the shapes.

pytest tests/editor/test_neovim.py -m slow     a few seconds; needs Neovim 0.7 to 0.9 or newer ones with vim.lsp.start_client
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import DOCS

TEXT = "net Small\ninput 1x28x28\ncnv 8 k=5\nrelu\nfc 10\n"
DRIVE = """
local buffer = vim.api.nvim_get_current_buf()
local function has_shapes() return #vim.api.nvim_buf_get_extmarks(buffer, vim.api.nvim_create_namespace("cnnc"), 0, -1, {}) == 3 end
vim.wait(20000, function() local d = vim.diagnostic.get(buffer)[1]; return d and d.message:find("help") end)
for _, d in ipairs(vim.diagnostic.get(buffer)) do print("error: " .. d.lnum .. " " .. d.message:gsub("\\n", " ") .. "\\n") end
vim.ui.select = function(items, _, choose) choose(items[1], 1) end
vim.api.nvim_win_set_cursor(0, { 3, 0 })
vim.lsp.buf.code_action()
vim.wait(20000, function() return vim.api.nvim_buf_get_lines(buffer, 2, 3, true)[1] == "conv 8 k=5" end)
print("line: " .. vim.api.nvim_buf_get_lines(buffer, 2, 3, true)[1] .. "\\n")
vim.cmd("doautocmd TextChanged")
vim.wait(20000, has_shapes)
for _, mark in ipairs(vim.api.nvim_buf_get_extmarks(buffer, vim.api.nvim_create_namespace("cnnc"), 0, -1, { details = true })) do
  print("shape: " .. mark[2] .. " " .. mark[4].virt_text[1][1] .. "\\n")
end
vim.cmd("qa!")
"""


@pytest.mark.slow
def test_an_error_its_fix_and_the_shapes(tmp_path: Path) -> None:
    pytest.importorskip("pygls", reason="pygls is not installed")
    if shutil.which("nvim") is None:
        pytest.skip("Neovim is not installed")
    blocks = re.findall(
        r"^```lua\n(.*?)^```$", (DOCS / "editors.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    (tmp_path / "init.lua").write_text(blocks[1])
    (tmp_path / "drive.lua").write_text(DRIVE)
    (tmp_path / "net.cnn").write_text(TEXT)
    command = ["nvim", "--headless", "-u", "init.lua", "net.cnn", "-c", "luafile drive.lua"]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "XDG_STATE_HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    assert said == [
        "error: 2 unknown layer `cnv` help: did you mean `conv`?",
        "line: conv 8 k=5",
        "shape: 2 8x24x24, 208 parameters",
        "shape: 3 8x24x24",
        "shape: 4 10, 46,090 parameters",
    ]
