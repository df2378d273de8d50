# SPDX-License-Identifier: MIT
"""`python -m keras_vit.apps COMMAND ...`, the same as `keras-vit COMMAND ...`."""

from keras_vit.processes import drop_current_folder

drop_current_folder()  # before anything is imported by a name that a file there may have

from keras_vit.apps.cli import main  # noqa: E402

main()
