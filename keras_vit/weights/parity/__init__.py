# SPDX-License-Identifier: MIT
"""Layer-by-layer certificates that a checkpoint computes here what it computes at home."""
