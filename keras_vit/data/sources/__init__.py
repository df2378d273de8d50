# SPDX-License-Identifier: MIT
"""Where images come from: folders, tables, archives, arrays and data sets that others name."""
