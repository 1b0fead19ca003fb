"""Look before you fly: A. Karpathy's "A Recipe for Training Neural Networks" (2019) as a program.

Every check is a hypothesis, a measurement and a verdict. `gannet train` runs the fast ones before it begins; `gannet preflight`
runs all. The `check_…` functions take anybody's nets, tensors and losses in plain PyTorch.
"""

# Importing a module enlists its checks: data first, since nothing after them means anything on bad data.
from gannet.preflight import data, boxes, texts, play, nets, contest, machine, artefact  # noqa: F401, I001
from gannet.preflight.case import CHECKS, Case, Check, Finding, check, found
from gannet.preflight.machine import fitting
from gannet.preflight.plain import (
    check_causality,
    check_dependencies,
    check_initial_loss,
    check_inputs,
    check_inputs_used,
    check_labels,
    check_logits,
    check_overfit,
    check_parameters,
    check_range,
    check_schedule,
    check_shared_items,
    check_units,
)
from gannet.preflight.report import LOST, Row, check_skip, failed, fed_text, fly, record, refuse, sheet, table, why

__all__ = [
    "CHECKS",
    "LOST",
    "Case",
    "Check",
    "Finding",
    "Row",
    "check",
    "check_causality",
    "check_dependencies",
    "check_initial_loss",
    "check_inputs",
    "check_inputs_used",
    "check_labels",
    "check_logits",
    "check_overfit",
    "check_parameters",
    "check_range",
    "check_schedule",
    "check_shared_items",
    "check_skip",
    "check_units",
    "failed",
    "fed_text",
    "fitting",
    "fly",
    "found",
    "record",
    "refuse",
    "sheet",
    "table",
    "why",
]
