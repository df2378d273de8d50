# SPDX-License-Identifier: MIT
"""Fails unless the newest run on the digits is as good as README.md says."""

import json
import pathlib

folder = max(pathlib.Path("runs").glob("digits-*"), key=lambda path: path.stat().st_mtime)
report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
print(f"{folder}: top-1 {report['top1']:.4f}")
differing = [e for e in report["exports"] if e["agreement"] < 1 or e["max_abs_diff"] > 1e-3]
if report["top1"] < 0.97 or differing:
    raise SystemExit(f"below the bars: {report}")
