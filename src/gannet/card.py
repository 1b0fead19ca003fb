"""The model card: README.md of a run folder, written by the program."""

from __future__ import annotations

from typing import Any


def write(record: dict[str, Any], seconds: float, start: int) -> str:
    """The card of a finished run.

    Args:
        record: recipe.json
        seconds: what the last stretch of training took, from step `start`
    """
    facts = next(iter(record["data"].values()))
    arguments = "\n".join(f"| {key} | {value} |" for key, value in record["arguments"].items())
    sizes = ", ".join(f"{name} {number:,}" for name, number in record["parameters"].items())
    took = f"{seconds / 60:.1f} minutes" + (f" for the steps after {start} (the run was resumed)" if start else "")
    drawn = (record["steps"] - start) * record["batch"] / max(seconds, 1e-9)
    classes = f"{len(facts['classes'])} classes: {', '.join(facts['classes'])}" if facts["classes"] else "no classes"
    return f"""# {record["recipe"]}: {facts["name"]}

![what it draws](samples/last.png)

Drawn by the generator's running average from fixed noise, unpicked. How it learnt: [learning.gif](samples/learning.gif).

| | |
| --- | --- |
| command | `{record["command"]}` |
| trained | {record["steps"]:,} steps of {record["batch"]}: {record["examples"]:,} pictures |
| took | {took}, {drawn:,.0f} pictures/s |
| machine | {record["machine"]}, {record["processes"]} process(es), {record["precision"]} |
| parameters | {sizes} |
| versions | gannet {record["gannet"]}, torch {record["versions"]["torch"]}, Python {record["versions"]["python"]} |
| seed | {record["seed"]} |
| begun | {record["begun"]} |
{arguments}

## Data

{facts["name"]}, split {facts["split"]}: {facts["items"]:,} pictures of {facts["pixels"]}×{facts["pixels"]} pixels,
{facts["channels"]} channel(s), {classes}. Prepared as {facts["prepared"]}. Licence: {facts["licence"]}.
Source: {facts["source"]}.

## Use

```python
import gannet
pictures = gannet.load("PATH OF THIS FOLDER").sample(64, seed=0)  # uint8 (N, H, W, C)
```

## Limits

It draws pictures like those it was trained on and knows nothing else. This card holds no score: none was measured.
"""
