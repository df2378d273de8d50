# SPDX-License-Identifier: MIT
"""What may come from a stranger: files, words and addresses, read within limits.

Whoever opens a file that this program has not just written does it with this room. Standard
library only, but for `npy`.
"""
