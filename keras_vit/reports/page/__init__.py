# SPDX-License-Identifier: MIT
"""The page on a run: one HTML file that needs no network, no script and no other file.

`facts` gathers what is said into one frozen value, with `answers` for what the model makes of its
test images; `charts` and `pictures` draw; `writing` fills in the template.
"""
