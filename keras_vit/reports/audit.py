# SPDX-License-Identifier: MIT
"""What is wrong with a data set, as text."""

from keras_vit.data.checks.audit import Audit
from keras_vit.untrusted.text import visible

_SHOWN = 10  # lines of a warning; those of a problem are all shown


def audit_table(audit: Audit) -> str:
    """What `keras-vit audit` prints."""
    lines = []
    for split, counts in audit.images.items():
        lines.append(f"{split:<12}{sum(counts.values()):,} images, {len(counts):,} classes")
    for finding in audit.findings:
        lines.append(f"{'PROBLEM' if finding.problem else 'warning'}     {visible(finding.text)}")
        shown = finding.items if finding.problem else finding.items[:_SHOWN]
        lines += [f"  {visible(item)}" for item in shown]
        if len(shown) < len(finding.items):
            lines.append(f"  and {len(finding.items) - len(shown):,} more; --format json has all")
    problems = sum(finding.problem for finding in audit.findings)
    warnings = len(audit.findings) - problems
    if audit.findings:
        lines.append(f"{_count(problems, 'problem')}, {_count(warnings, 'warning')}")
    else:
        lines.append("nothing is wrong")
    return "\n".join(lines)


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'s' * (number != 1)}"
