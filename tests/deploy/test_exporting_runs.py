# SPDX-License-Identifier: MIT
import pytest

from keras_vit import UserError
from keras_vit.deploy import export_run


@pytest.mark.parametrize("inside", [".", "export", "new/folder"])
def test_a_run_takes_no_second_set_of_exports(tmp_path, inside):
    for name in ("recipe.json", "command.txt"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(UserError, match=r"--out: .* belongs to the run .*outside of it"):
        export_run(tmp_path, tmp_path / inside, ["litert"])
    assert len(list(tmp_path.iterdir())) == 2
