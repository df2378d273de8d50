# SPDX-License-Identifier: MIT
"""One file for each family of checkpoints: everything that is known of it."""
