# SPDX-License-Identifier: MIT
"""Whether image files can be used, what is wrong with them, and whether they have changed."""
