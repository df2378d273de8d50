# SPDX-License-Identifier: MIT
"""A model and images become a file of features: one row of numbers for each image."""
