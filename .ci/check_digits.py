# SPDX-License-Identifier: MIT
"""Fails unless the newest run on the digits is as good as README.md says."""

import pathlib

from keras_vit.run_folder import RunFolder

newest = max(pathlib.Path("runs").glob("digits-*"), key=lambda path: path.stat().st_mtime)
run = RunFolder.open(newest)
print(f"{run.path}: top-1 {run.report['top1']:.4f}")
differing = [e for e in run.report["exports"] if e["agreement"] < 1 or e["max_abs_diff"] > 1e-3]
if run.report["top1"] < 0.97 or differing:
    raise SystemExit(f"below the bars: {run.report}")
