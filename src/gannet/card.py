"""The model card: README.md of a run folder, written by the program."""

from __future__ import annotations

from typing import Any

DRAWS = {
    "picture": """![what it draws](samples/last.png)

Drawn by the generator's running average from fixed noise, unpicked. How it learnt: [learning.gif](samples/learning.gif).""",
    "use": 'pictures = gannet.load("PATH OF THIS FOLDER").sample(64, seed=0)  # uint8 (N, H, W, C)',
    "limits": "It draws pictures like those it was trained on and knows nothing else.",
}
TELLS = {
    "picture": """![what it finds hardest](samples/last.png)

Of the pictures kept from training, those that its running average gives the least chance to be what they are, worst first.""",
    "use": 'found = gannet.load("PATH OF THIS FOLDER").predict(["photo.png"])  # a class and its chance for each',
    "limits": "It calls every picture one of its classes, whatever is on it, and was measured on pictures like its own only.",
}

SEES = {
    "picture": """![what it sees](samples/last.png)

Pictures kept from training, unpicked, and what its running average finds in them from the chance that they chose.""",
    "use": 'found = gannet.load("PATH OF THIS FOLDER").predict(["photo.png"])  # classes, chances and boxes in pixels',
    "limits": "It finds things of its own classes only, in pictures like those that it was trained on, 100 in one at most.",
}

KNOWS = {
    "picture": """![the hardest pairs](samples/last.png)

Of people kept from training: two rows of one person's pictures that look least alike to it, two of different people's most.""",
    "use": 'answer = gannet.matching.same(gannet.load("PATH OF THIS FOLDER"), "a.png", "b.png")  # one person or two',
    "limits": "It knows faces like those it learnt from, and neither finds nor aligns them. Ask people before you enrol them.",
}

WRITES = {
    "picture": """What it writes, unpicked, from fixed random numbers: [last.txt](samples/last.txt); the files
beside it are from while it learnt.""",
    "use": 'texts = gannet.load("PATH OF THIS FOLDER").write(3, temperature=0.8)  # or .stream(), piece by piece',
    "limits": "It writes what is likely after what it has read, true or not, and can repeat its training text word for word: "
    "`gannet evaluate` says how often.",
}

PLAYS = {
    "picture": """What it does: `gannet sample` with this folder plays an episode into a film.""",
    "use": 'decision = gannet.load("PATH OF THIS FOLDER").objective.decide(seen)  # observations (E, ...): what to do, and why',
    "limits": "It plays this environment with these settings, and was judged on episodes of it alone: a simulator is no road.",
}


def amount(facts: dict[str, Any]) -> str:
    """How much a training set holds, in a few words."""
    if facts.get("kind") == "play":
        act = f"{facts['actions']} actions" if facts["box"] is None else f"{facts['box']} continuous action(s)"
        return f"sees {'×'.join(map(str, facts['shape']))}, {act}, {facts['played']['environments']} side by side"
    if facts.get("kind") == "episodes":
        return f"{facts['items']:,} steps of {facts['episodes']} recorded episodes"
    if facts.get("kind") == "text":
        return f"{facts['items']:,} texts, {facts['tokens']:,} tokens of {len(facts['vocabulary']['tokens']):,} kinds"
    return f"{facts['items']:,} pictures, {facts['pixels']} pixels"


def _data(facts: dict[str, Any]) -> str:
    """What a training set is, in a sentence."""
    if facts.get("kind") == "play":
        return amount(facts)
    if facts.get("kind") == "episodes":
        return f"{facts['items']:,} steps of {facts['episodes']:,} episodes"
    if facts.get("kind") == "text":
        return f"{amount(facts)}, read {facts['context']} at a time"
    return f"{facts['items']:,} pictures of {facts['pixels']}×{facts['pixels']} pixels,\n{facts['channels']} channel(s)"


def write(record: dict[str, Any], evaluation: dict[str, Any] | None = None, preflight: dict[str, Any] | None = None) -> str:
    """The card of a finished run.

    Args:
        record: recipe.json
        evaluation: evaluation.json, where there is one
        preflight: preflight.json, where there is one
    """
    facts = next(iter(record["data"].values()))
    of = {"text": "texts", "play": "steps"}.get(facts.get("kind", ""), "pictures")
    drawer = WRITES if of == "texts" else DRAWS
    kind = PLAYS if of == "steps" else drawer if record.get("draws", True) else _told(record["trained"])
    frames = f" ({facts['frames'] * record['examples']:,} frames)" if facts.get("frames", 1) > 1 else ""
    trained = record["trained"]
    arguments = "\n".join(f"| {key} | {value} |" for key, value in record["arguments"].items())
    sizes = ", ".join(f"{name} {number:,}" for name, number in record["parameters"].items())
    drawn = record["examples"] / max(trained["seconds"], 1e-9)
    names = facts["classes"] if len(facts["classes"]) <= 100 else [*facts["classes"][:3], "…", facts["classes"][-1]]
    classes = f"{len(facts['classes'])} classes: {', '.join(names)}" if names else "no classes"
    return f"""# {record["recipe"]}: {facts["name"]}

{kind["picture"]}

| | |
| --- | --- |
| command | `{record["command"]}` |
| trained | {record["steps"]:,} steps of {record["batch"]}: {record["examples"]:,} {of}{frames} |
| took | {trained["seconds"] / 60:.1f} minutes, {drawn:,.0f} {of}/s |
| machine | {record["machine"]}, {record["processes"]} process(es), {record["precision"]} |
| parameters | {sizes} |
| versions | gannet {record["gannet"]}, torch {record["versions"]["torch"]}, Python {record["versions"]["python"]} |
| seed | {record["seed"]} |
| begun | {record["begun"]} |
{arguments}

## Scores

{_scores(evaluation)}
{_watched(trained)}{_set_back(record)}
## Preflight

{_looked_over(preflight)}
## Data

{facts["name"]}, split {facts["split"]}: {_data(facts)}, {classes}.
Prepared as {facts["prepared"]}. Licence: {facts["licence"]}. Source: {facts["source"]}.
{_left_out(facts)}
## Use

```python
import gannet
{kind["use"]}
```

## Limits

{kind["limits"]}
"""


def _told(trained: dict[str, Any]) -> dict[str, str]:
    """Words for what tells classes, things or people apart."""
    return SEES if "f1_watched" in trained else KNOWS if "false_accept" in trained else TELLS


def _left_out(facts: dict[str, Any], most: int = 20) -> str:
    """What else is known of somebody's own pictures, and which of them were left out for which reason."""
    more = facts.get("more", {})
    lines = [f"\n{'; '.join(more['notes'])}."] if more.get("notes") else []
    if left_out := more.get("left_out"):
        lines += [f"\nLeft out, {len(left_out)}:\n"] + [f"- `{name}`: {reason}" for name, reason in left_out[:most]]
        lines += [f"- and {len(left_out) - most} more (recipe.json)"] if len(left_out) > most else []
    return "".join(f"{line}\n" for line in lines)


def _looked_over(preflight: dict[str, Any] | None) -> str:
    """What was checked before the run, and what was left out for which reason."""
    if preflight is None:
        return "This run was not looked over.\n"
    lines = [f"{preflight['counts']['pass']} checks passed before it began (preflight.json)."]
    lines += [f"- warned: {row['name']}: {row['measured']}" for row in preflight["checks"] if row["verdict"] == "warn"]
    lines += [f"- skipped: {row['name']}: {row['reason']}" for row in preflight["checks"] if row["verdict"] == "skipped"]
    return "\n".join(lines) + "\n"


def _scores(evaluation: dict[str, Any] | None) -> str:
    """The table of `gannet evaluate`, in Markdown."""
    if evaluation is None:
        return "Not measured yet: `gannet evaluate` with this folder measures them and writes them here.\n"
    rows = "\n".join("| " + " | ".join(row) + " |" for row in rows_of(evaluation))
    heads = columns(evaluation)
    return f"""| score | {" | ".join(heads)} | better | n | |
| --- |{" --- |" * len(heads)} --- | --- | --- |
{rows}

{about(evaluation)}
{_classes(evaluation)}
![a closer look](samples/closest.png)

{evaluation["picture"]}
"""


def _classes(evaluation: dict[str, Any]) -> str:
    """The table of the classes, in Markdown."""
    rows = classes_of(evaluation)
    if not rows:
        return ""
    head, *rest = ("| " + " | ".join(row) + " |" for row in rows)
    return "\n".join(["", head, "|" + " --- |" * len(rows[0]), *rest, ""])


def columns(evaluation: dict[str, Any]) -> tuple[str, ...]:
    """What a score's value and the numbers beside it are of."""
    return tuple(evaluation.get("columns", ("drawn", "real")))


def classes_of(evaluation: dict[str, Any]) -> list[list[str]]:
    """A table with a row for each class of a classifier; empty for others and for more than forty classes."""
    found = evaluation.get("classes", {}) if "confusion" in evaluation else {}
    if not 0 < len(found) <= 40:
        return []
    head = ["class", *next(iter(found.values()))]
    return [
        head,
        *(
            [name, *(f"{v:.4f}" if isinstance(v, float) and key != "n" else f"{v:,.0f}" for key, v in row.items())]
            for name, row in found.items()
        ),
    ]


def rows_of(evaluation: dict[str, Any]) -> list[list[str]]:
    """Name, drawn, real (and what else stands beside), better, n, meaning: a row for each score, as text."""
    rows = []
    for name, score in evaluation["scores"].items():
        spread = "" if score["spread"] is None else f" ± {score['spread']:.4f}"
        if score.get("interval"):
            spread = " [{:.4f}, {:.4f}]".format(*score["interval"])
        beside = ["–" if value is None else f"{value:.4f}" for value in (score["floor"], *score.get("also", ()))]
        better = {"floor": "as real"}.get(score["better"], score["better"])
        cells = [name, f"{score['value']:.4f}{spread}", *beside, better, f"{score['n']:,}", score["meaning"]]
        rows.append(cells)
    return rows


def about(evaluation: dict[str, Any]) -> str:
    """What stands behind the scores, in a few sentences."""
    if "about" in evaluation:
        return f"Weights: {evaluation['weights']} (step {evaluation['step']:,}). {evaluation['about']}"
    net, floor, reference = evaluation["features"], evaluation["floor"], evaluation["reference"]
    return (
        f"Weights: {evaluation['weights']} (step {evaluation['step']:,}). n pictures drawn with each of the seeds "
        f"{', '.join(map(str, evaluation['seeds']))}: mean ± standard deviation; with the first alone where none stands. "
        f'"real" is what {floor["data"]} gets in their place. Reference: {reference["data"]}, '
        f"all {reference['items']:,} for {reference['of']}. "
        f"Features: {net['name']}, {net['layer']}, sha256 {net['sha256'][:12]}; {net['note']}."
    )


def _set_back(record: dict[str, Any]) -> str:
    """What went wrong and was undone."""
    return "".join(
        f"It collapsed at step {one['at']:,} ({one['why']}) and went on from step {one['to']:,} at half the rate.\n"
        for one in record.get("setbacks", ())
    )


def _watched(trained: dict[str, Any]) -> str:
    if "best" not in trained:
        return ""
    (name, last), *_ = ((key, value) for key, value in trained["last"].items() if key != "step")
    best, life = trained["best"], trained.get("half_life")
    return (
        f"While training, on a part (for following a run only): {name} {last:.4f} at the end, "
        f"{best[name]:.4f} at best, at step {best['step']:,}. The last weights are judged unless said otherwise.\n"
        + (f"{trained['trend'][:1].upper()}{trained['trend'][1:]}.\n" if "trend" in trained else "")
        + (f"Their average, chosen of several by that score, has a half-life of {life:,.0f} examples.\n" if life else "")
    )
