"""The command. Verbs are thin: they read words, call the library, and turn `Wrong` into one line on stderr.

`gannet --help` must be quick, so torch, and tyro too, are imported inside the verbs.
"""

import contextlib
import difflib
import functools
import inspect
import io
import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from gannet import __version__
from gannet.errors import Wrong


class Done(Exception):
    """Help was printed; there is nothing more to do."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0 success, 1 the work failed, 2 wrong usage."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    if isinstance(sys.stdout, io.TextIOWrapper):  # a file's name may hold bytes that are no text
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        _dispatch(words)
        return 0
    except Done:
        return 0
    except BrokenPipeError:  # `gannet list | head` is no failure
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            raise
        print(f"gannet: {_explain(error)}", file=sys.stderr)
        return error.status if isinstance(error, Wrong) else 1


def _explain(error: BaseException) -> str:
    """One line for anything that can go wrong."""
    if isinstance(error, Wrong):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    text = " ".join(str(error).split()) or "no message"
    return f"{type(error).__name__}: {text} (--debug shows where)"


def _dispatch(words: list[str]) -> None:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview())
    elif words[0] in ("-V", "--version"):
        print(f"gannet {__version__}")
    elif words[0] in VERBS:
        VERBS[words[0]](words[1:])
    else:
        near = difflib.get_close_matches(words[0], VERBS, 1, 0.5)
        raise Wrong("no such verb", got=words[0], try_=f"gannet {near[0]}" if near else "gannet --help", usage=True)


def _overview() -> str:
    verbs = "\n".join(f"  {verb:10}{(inspect.getdoc(do) or '').splitlines()[0]}" for verb, do in VERBS.items())
    return f"""gannet {__version__}: nets that learn by contest and by skip connection

usage: gannet VERB [flags]

{verbs}

`gannet VERB --help` tells more; `--debug` shows where an error came from.
Begin with: gannet train digits --minutes 3"""


def parse(function: Callable[..., Any], prog: str, words: list[str]) -> dict[str, Any]:
    """The arguments that a function would be called with: its signature and docstring are the flags and their help."""
    import tyro

    @functools.wraps(function)
    def collect(*given: Any, **named: Any) -> dict[str, Any]:
        return dict(inspect.signature(function).bind(*given, **named).arguments)

    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(collect, prog=prog, args=words)
    except SystemExit as leave:
        if leave.code in (0, None):
            raise Done from None
        raise _one_line(complaint.getvalue(), prog) from None


def _one_line(box: str, prog: str) -> Wrong:
    """tyro's complaint, a box of several paragraphs, as one line: what is wrong, and the nearest flag if it offers one.

    The box is drawn with lines where the terminal can, else with dashes and spaces alone.
    """
    plain = re.sub(r"\x1b\[[0-9;]*m", "", box).replace("─", "-")
    lines = [line.strip("│╭╮╰╯ ") for line in plain.splitlines()]
    body = " ".join(line for line in lines[1:] if line).removeprefix("-").lstrip("- ")
    parts = [part.strip() for part in re.split(r"-{5,}", body) if part.strip()] or ["the command line cannot be read"]
    near = re.search(r"Perhaps you meant:.*?(--?\w[\w-]*)", body)
    return Wrong(parts[0][:1].lower() + parts[0][1:], try_=near.group(1) if near else f"{prog} --help", usage=True)


def train(words: list[str]) -> None:
    """look a recipe over, then train it into a run folder; the same command again goes on with it"""
    import tyro

    def shared(
        *,
        minutes: float | None = None,
        steps: int | None = None,
        out: str | None = None,
        new: bool = False,
        more: int | None = None,
        offline: bool = False,
        precision: Literal["auto", "float32", "bfloat16"] = "auto",
        skip: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
        start: str | None = None,
        until: str | None = None,
    ) -> None:
        """Train a recipe.

        Args:
            minutes: train for about this long: the first steps are timed, which fixes the number of steps
            steps: train for this many steps instead
            out: the run folder; otherwise the newest unfinished run of the same command, else runs/RECIPE-NUMBER
            new: begin a new run even where an unfinished one could go on
            more: lengthen the finished run in --out by this many steps
            offline: never touch the network: use what is cached, or the embedded 8x8 digits
            precision: of forward and backward pass; auto: bfloat16 where recipe and machine gain by it; weights are float32
            skip: NAME=reason: leave out a preflight check, and write the reason into the run; all=reason leaves out all
            start: a run whose nets the new run begins with, where sizes are the same; of ResNets also a file of weights
            until: stop as soon as the watched score is low enough, as in --until 'fid<0.5'
        """

    given = _of_recipe("train", words, shared)
    skip = _reasons(given.pop("skip", ()))

    from gannet.run import train

    run = train(words[0], **given, skip=skip, command=shlex.join(["gannet", "train", *words]))
    if os.environ.get("RANK", "0") == "0":  # of torchrun's processes one speaks
        print(run.folder)  # alone on stdout, so that a script can go on with it


def preflight(words: list[str]) -> None:
    """check data, nets, objective, machine and folder before a run; status 1 where a check fails"""
    import tyro

    def shared(
        *,
        out: str | None = None,
        skip: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
        offline: bool = False,
        precision: Literal["auto", "float32", "bfloat16"] = "auto",
        json: bool = False,
    ) -> None:
        """All preflight checks of a recipe.

        Args:
            out: folder for preflight.json and fed.png or fed.txt, what the nets are really fed; otherwise preflight/RECIPE
            skip: NAME=reason: leave out a check
            offline: never touch the network
            precision: of the forward and backward pass
            json: print preflight.json instead of the table
        """

    given = _of_recipe("preflight", words, shared)
    as_json, skip = given.pop("json", False), _reasons(given.pop("skip", ()))

    from gannet import preflight
    from gannet.run import look_over

    def tell(row: preflight.Row) -> None:
        if sys.stderr.isatty():
            print(f"\r{row.name:20}{row.verdict:8}", end="", file=sys.stderr, flush=True)

    rows = look_over(words[0], **given, skip=skip, tell=tell)
    if sys.stderr.isatty():
        print("\r" + " " * 28 + "\r", end="", file=sys.stderr)
    print(json.dumps(preflight.record(rows), indent=2) if as_json else preflight.table(rows))
    if bad := preflight.failed(rows):
        raise preflight.refuse(bad)


def _reasons(skip: Sequence[str]) -> dict[str, str]:
    """--skip NAME=reason as a dictionary."""
    for word in skip:
        if "=" not in word:
            raise Wrong("a check is skipped for a reason", got=f"--skip {word}", try_=f"--skip '{word}=why'", usage=True)
    return dict(word.split("=", 1) for word in skip)


def _of_recipe(verb: str, words: list[str], shared: Callable[..., None]) -> dict[str, Any]:
    """The flags of a verb whose first word is a recipe: the recipe's own and those that all recipes share."""
    from gannet import recipe

    if not words or words[0] in ("-h", "--help"):
        print(f"usage: gannet {verb} RECIPE [flags]     (or ./mine.py, a recipe file of your own)\n\nrecipes:")
        print("\n".join(f"  {card.name:12}{card.summary}" for card in recipe.available()))
        print(f"\n`gannet {verb} RECIPE --help` shows a recipe's own flags. All recipes take:\n")
        parse(shared, f"gannet {verb} RECIPE", ["--help"])
    if words[0].startswith("-"):
        raise Wrong("the recipe comes first", got=words[0], try_=f"gannet {verb} digits", usage=True)
    card = recipe.find(words[0])

    def everything(**named: Any) -> None: ...

    own, common = card.parameters(), list(inspect.signature(shared).parameters.values())
    # A recipe of one's own may have a flag named like a shared one: its own wins, as it knows better.
    common = [p for p in common if p.name not in {q.name for q in own}]
    everything.__signature__ = inspect.Signature([*own, *common])  # type: ignore[attr-defined]
    everything.__annotations__ = {p.name: p.annotation for p in [*own, *common]}
    helps = "".join(f"    {flag.name}: {flag.help}\n" for flag in card.flags)
    everything.__doc__ = f"{card.summary}\n\n{card.description}\n\nArgs:\n{helps}{_args(shared)}"
    return parse(everything, f"gannet {verb} {words[0]}", words[1:])


def _args(function: Callable[..., Any]) -> str:
    """The lines under `Args:` of a docstring, indented by four."""
    return (inspect.getdoc(function) or "").partition("Args:\n")[2] + "\n"


def sample(words: list[str]) -> None:
    """draw from a run: pictures, a film, what is most like a given one; texts, as they are written; episodes, as films"""
    import tyro

    def flags(
        run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")],
        n: Annotated[int | None, tyro.conf.arg(aliases=["-n"])] = None,
        out: str | None = None,
        seed: int = 0,
        label: Annotated[str | None, tyro.conf.arg(name="class")] = None,
        truncation: float = 1.0,
        best_of: int = 1,
        film: int | None = None,
        like: str | None = None,
        prompt: str | None = None,
        prompt_file: str | None = None,
        temperature: float = 1.0,
        top_p: float = 1.0,
        length: int | None = None,
        greedy: bool = False,
        record: bool = False,
        weights: Literal["last", "best"] = "last",
        trust: bool = False,
    ) -> None:
        """Draw from a run folder; no data set and no network is needed.

        Args:
            run: the run folder
            n: how many; without, 64 pictures, one text or one episode
            out: folder to write into; otherwise RUN/drawn, of episodes RUN/played; texts are printed, and written into files
                where --out is given
            seed: of the noise; picture k is the same whatever n is
            label: one class, by name or number, of a run that learnt classes
            truncation: what noise is multiplied by: below 1, pictures are more usual and more alike
            best_of: draw so many for each picture and keep the one that the critic takes most for real
            film: instead film.gif and film.mp4, from noise to noise through so many pictures and back to the first
            like: instead like.png, this picture beside what the run draws most like it, with the noise found
            prompt: of texts: what they begin with
            prompt_file: of texts: a file that they go on with
            temperature: of texts: below 1 the likely is likelier still; at 0 nothing is left to chance
            top_p: of texts: only the likeliest tokens that together have this chance
            length: of texts: tokens of each at most; otherwise as long as texts of its kind are
            greedy: of an agent: its likeliest action is taken always, instead of being drawn
            record: of an agent: also episode-00000.npz …, what was seen and done, to be imitated
            weights: last, or best by the score that was watched while training
            trust: run the folder's own recipe.py, or an environment of somebody's own that it names
        """

    given = parse(flags, "gannet sample", words)
    film, like = given.get("film"), given.get("like")
    if film is not None and like is not None:
        raise Wrong("--film and --like are both given: keep one", got=f"{film} and {like}", usage=True)
    other = "--film" if film is not None else "--like" if like is not None else ""
    if other and given["best_of"] != 1:
        raise Wrong(f"{other} goes with every noise on its way and rejects none", got="--best-of", usage=True)
    if given["n"] is not None and given["n"] < 1:
        raise Wrong("the number of samples must be at least 1", got=f"-n {given['n']}", try_="-n 64", usage=True)
    if given["prompt"] is not None and given["prompt_file"] is not None:
        raise Wrong("--prompt and --prompt-file are both given: keep one", got=given["prompt_file"], usage=True)

    from gannet import sampling
    from gannet.run import load

    loaded = load(given["run"], weights=given["weights"], trust=given["trust"])
    kind = "plays" if hasattr(loaded.objective, "decide") else "writes" if hasattr(loaded.objective, "write") else "draws"
    _check_kind(given, kind)
    if kind == "plays":
        _play(loaded, given)
        return
    if hasattr(loaded.objective, "write"):
        wishes = {key: given[key] for key in ("seed", "label", "temperature", "top_p", "length")}
        wishes["prompt"] = sampling.prompt_from(given["prompt"], given["prompt_file"])
        for piece in sampling.write_out(loaded, given["n"] or 1, Path(given["out"]) if given["out"] else None, **wishes):
            print(piece, end="", flush=True)
        return
    given["n"] = 64 if given["n"] is None else given["n"]
    what = "film" if film is not None else "like" if like is not None else "drawn"
    folder = Path(given["out"] or loaded.folder / what)
    shared = {"seed": given["seed"], "label": given["label"]}
    if film is not None:
        for path in sampling.film_into(loaded, folder, film, truncation=given["truncation"], **shared):
            print(path)
    elif like is not None:
        found = sampling.like_into(loaded, Path(like), folder, **shared)
        near = f"{found.distance:.1f} of 255 apart (root mean square), the nearest of 1,024 random noises {found.untrained:.1f}"
        print(f"{folder}/like.png\n{near}")
    else:
        sampling.draw_into(loaded, folder, given["n"], truncation=given["truncation"], best_of=given["best_of"], **shared)
        print(f"{folder}/grid.png")


def _play(loaded: Any, given: dict[str, Any]) -> None:
    """`gannet sample` of an agent."""
    from gannet import episodes

    folder = Path(given["out"] or loaded.folder / "played")
    words = {key: given[key] for key in ("seed", "greedy", "record")}
    for one in episodes.play_into(loaded, folder, 1 if given["n"] is None else given["n"], **words):
        if one.blind:
            print(f"episode {one.number} is played without a film: {one.blind}", file=sys.stderr)
        end = "" if one.terminated else ", then cut off"
        print(f"episode {one.number}: return {one.returns:g} in {one.length} steps{end}", flush=True)
        print("".join(f"{path}\n" for path in one.files), end="", flush=True)


#: Flags of `sample` that only some runs have, by what these do; with what they are when nobody gives them.
FLAGS: dict[str, dict[str, Any]] = {
    "draws": {"truncation": 1.0, "best_of": 1, "film": None, "like": None},
    "writes": {"prompt": None, "prompt_file": None, "temperature": 1.0, "top_p": 1.0, "length": None},
    "plays": {"greedy": False, "record": False},
}


def _check_kind(given: dict[str, Any], kind: str) -> None:
    """One line for a flag of what this run does not do: of pictures where texts are written, and so on."""
    does = {"draws": "draws pictures", "writes": "writes texts", "plays": "plays"}[kind]
    foreign = {name: usual for other, flags in FLAGS.items() if other != kind for name, usual in flags.items()}
    if kind == "plays":
        foreign["label"] = None
    for name, usual in foreign.items():
        if given[name] != usual:
            flag = "--class" if name == "label" else f"--{name.replace('_', '-')}"
            raise Wrong(f"this run {does}, and {flag} means nothing to it", got=given[name], try_=f"without {flag}", usage=True)


def predict(words: list[str]) -> None:
    """say what pictures show, by a run that tells classes apart, finds things, or knows faces"""
    import tyro

    def flags(
        run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")],
        files: tyro.conf.Positional[tuple[str, ...]],
        top: int = 3,
        least: float | None = None,
        gallery: str | None = None,
        out: str | None = None,
        json: bool = False,
        weights: Literal["last", "best"] = "last",
        trust: bool = False,
    ) -> None:
        """Say what pictures show; no data set and no network is needed.

        Args:
            run: the run folder
            files: pictures; a classifier looks at the middle square of each, a detector at the whole; of faces two are compared
            top: so many of the likeliest classes or people
            gallery: of faces: who is on the pictures, of the people with a folder in this one, or of a gallery that was written
            least: of a detector: chance from which a thing is told; otherwise the one that was chosen in training
            out: of a detector: folder for pictures with boxes, coco.json and labels/ as YOLO has them; otherwise RUN/predicted;
                of faces: where the gallery is written, so that nobody need be enrolled again
            json: as JSON, with all classes
            weights: last, or best by the loss that was watched while training
            trust: run the folder's own recipe.py, where the run was made by somebody's own recipe
        """

    given = parse(flags, "gannet predict", words)
    if not given["files"] and not (given["gallery"] and given["out"]):
        raise Wrong("there is no picture to look at", try_="gannet predict RUN photo.png", usage=True)
    if given["top"] < 1:
        raise Wrong("--top must be at least 1", got=given["top"], usage=True)
    if given["least"] is not None and not 0 <= given["least"] <= 1:
        raise Wrong("--least is a chance, from 0 to 1", got=given["least"], try_="--least 0.3", usage=True)

    from gannet import telling
    from gannet.run import load

    loaded = load(given["run"], weights=given["weights"], trust=given["trust"])
    if hasattr(loaded.objective, "embed"):
        _match(loaded, given)
        return
    if given["gallery"] is not None:
        raise Wrong("this run knows no faces", got=f"--gallery {given['gallery']}", try_="a run of faces", usage=True)
    for flag in ("least", "out") if hasattr(loaded.objective, "logits") else ():
        if given[flag] is not None:
            raise Wrong("this run tells classes and finds no boxes", got=f"--{flag} {given[flag]}", usage=True)
    found = loaded.predict(given["files"], least=given["least"])
    usable = [one for one in found if "wrong" not in one]
    ids = next(iter(loaded.record["data"].values())).get("more", {}).get("category_ids")
    drawn = telling.boxes_into(usable, loaded.classes, Path(given["out"] or loaded.folder / "predicted"), ids)
    if given["json"]:
        print(json.dumps(found, indent=2))
    else:
        for one in usable:
            print(f"{one['file']}: {telling.in_words(one, given['top'])}")
        print("".join(f"{path}\n" for path in drawn), end="")
    if broken := [one["wrong"] for one in found if "wrong" in one]:
        more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
        raise Wrong(f"{len(broken)} of {len(found)} pictures cannot be used", got=f"{broken[0]}{more}")


def _match(loaded: Any, given: dict[str, Any]) -> None:
    """`gannet predict` of a run that knows faces: are two pictures of one person, or who is on each."""
    from gannet import matching

    files = given["files"]
    if given["least"] is not None:
        what = "faces are told apart at the threshold that the run keeps"
        raise Wrong(what, got=f"--least {given['least']}", usage=True)
    if given["out"] is not None and given["gallery"] is None:
        raise Wrong("a pair of faces leaves nothing to keep", got=f"--out {given['out']}", try_="--gallery FOLDER", usage=True)
    if given["gallery"] is None:
        if len(files) != 2:
            hint = "two pictures, or --gallery FOLDER for who is on each"
            raise Wrong("faces are compared in pairs", got=f"{len(files)} pictures", try_=hint, usage=True)
        answer: Any = matching.same(loaded, *files)
        lines = [f"{'same' if answer['same'] else 'different'}: similarity {answer['similarity']:.3f}"]
    else:
        place = Path(given["gallery"])
        saved = (place / matching.NOTE).is_file()
        gallery = matching.Gallery.load(place) if saved else matching.enrol(loaded, place)
        for name, reason in () if saved else gallery.left_out:
            print(f"left out: {name}: {reason}", file=sys.stderr)
        if given["out"] is not None:
            print(gallery.save(given["out"]), file=sys.stderr)
        answer = matching.search(loaded, gallery, files, given["top"])
        lines = []
        for one in answer:
            others = ", ".join(f"{other['person']} {other['similarity']:.3f}" for other in one["likeliest"])
            lines.append(f"{one['file']}: {one['person']} ({others})")
    if given["json"]:
        print(json.dumps(answer, indent=2))
        return
    at = matching.kept(loaded, None if given["gallery"] is None else "gallery")
    print(*lines, sep="\n", end="\n" if lines else "")
    same, others = at["watched_pairs"]
    print(
        f"from a similarity of {at['threshold']:.3f} on: of people kept from training {at['false_accept']:.2%} of {others:,} "
        f"pairs of others are taken for one, {at['false_reject']:.2%} of {same:,} of one person's for two"
    )


def explain(words: list[str]) -> None:
    """show where in a picture a run's answer comes from, beside random places"""
    import tyro

    def flags(
        run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")],
        file: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="FILE")] = None,
        label: Annotated[str | None, tyro.conf.arg(name="class")] = None,
        method: Literal["all", "saliency", "integrated", "gradcam", "hirescam", "guided"] = "all",
        stage: str | None = None,
        box: int | None = None,
        beside: str | None = None,
        seed: int = 0,
        out: str | None = None,
        json: bool = False,
        weights: Literal["last", "best"] = "last",
        trust: bool = False,
        offline: bool = False,
    ) -> None:
        """Explain what a run says of a picture, class, box, likeness or critic's logit, or what an agent does.

        Writes explain.png and explain.json.

        Args:
            run: the run folder
            file: a picture; the middle square of it is looked at, by a detector the whole. Of an agent none: it plays
            label: the class whose score is explained, by name or number; otherwise what the net takes the picture
                for; a critic that has learnt classes must be told one
            method: all is saliency, integrated, and gradcam, of a detector hirescam; guided draws edges whatever the net
                knows, and is there to be compared with
            stage: of Grad-CAM, as in --stage 'stage 2'; otherwise the last
            beside: of faces: the picture that this one is compared with
            box: of a detector: which of the things that it sees, or sees of that class; 0, the surest, otherwise
            seed: of random orders; of an agent also which episode
            out: folder to write into; otherwise RUN/explained
            json: print explain.json
            weights: last, or best by the score that was watched while training
            trust: run the folder's own recipe.py, where the run was made by somebody's own recipe
            offline: never touch the network: the training data, for the nearest pictures, may lie there
        """

    given = parse(flags, "gannet explain", words)

    from gannet.explain import explain_into
    from gannet.run import load

    loaded = load(given.pop("run"), weights=given.pop("weights"), trust=given["trust"])
    folder, as_json = Path(given.pop("out", None) or loaded.folder / "explained"), given.pop("json")
    if hasattr(loaded.objective, "decide"):
        _explain_agent(loaded, given, folder, as_json)
        return
    if given["file"] is None:
        raise Wrong("there is no picture to explain", try_="gannet explain RUN FILE", usage=True)
    report = explain_into(loaded, given.pop("file"), folder, **given)
    if as_json:
        print(json.dumps(report, indent=2))
        return
    print(f"{folder}/explain.png")
    if "class" in report:
        print(f"{report['file']}: {report['class']} {report['chance']:.1%}")
    if "similarity" in report:
        same = "same" if report["same"] else "different"
        print(f"{report['file']} and {report['beside']}: {same}, similarity {report['similarity']:.3f}")
    rows = [["", "deletion", "insertion"]]
    rows += [[name, f"{one['deletion']:.3f}", f"{one['insertion']:.3f}"] for name, one in report["maps"].items()]
    for name, one in report["floors"].items():
        numbers = [one[way] for way in ("deletion", "insertion")]
        rows.append([name, *(f"{n['area']:.3f} ± {n['spread']:.3f}" if name == "random" else f"{n:.3f}" for n in numbers)])
    print(_aligned(rows) + f"\nAreas {report['areas']}.")
    if "integrated" in report["maps"]:
        one = report["maps"]["integrated"]
        print(f"Integrated gradients miss what they should add up to by {one['gap']:.3f} of {one['of']:.3f}.")
    near = report["nearest"]
    if "left_out" in near:
        print(f"Nearest training pictures are left out: {near['left_out']}")
    else:
        said = ", ".join(f"{one.get('class', one['number'])} {one['distance']:.2f}" for one in near["examples"])
        print(f"Nearest: {said}; the median one: {near['median']:.2f} ({near['among']}).")


def _explain_agent(loaded: Any, given: dict[str, Any], folder: Path, as_json: bool) -> None:
    """`gannet explain` of an agent: what some steps of an episode rest on."""
    from gannet.explain import explain_agent_into

    for name in ("file", "label", "box", "beside"):
        if given[name] is not None:
            flag = {"file": "a picture", "label": "--class"}.get(name, f"--{name}")
            what = f"this run plays, and {flag} means nothing to it"
            raise Wrong(what, got=given[name], try_="gannet explain RUN", usage=True)
    report = explain_agent_into(loaded, folder, **{key: given[key] for key in ("method", "stage", "seed")})
    if as_json:
        print(json.dumps(report, indent=2))
        return
    print(f"{folder}/explain.png\nan episode of {report['length']} steps, return {report['returns']:g}; {report['of']}")
    for one in report["steps"]:
        chance = f" ({one['chance']:.0%})" if "chance" in one else ""
        most = f", mostly for inputs {', '.join(map(str, one['largest']))}" if "largest" in one else ""
        if "attention" in one:
            row, share = one["most"]["row"], one["most"]["share"]
            most += f"; it listens to {f'row {row}' if row else 'itself'} most ({share:.0%})"
        print(f"step {one['step']}: {one['action']}{chance}, value {one['value']:.3f}{most}")
    if "mean" in report:
        rows = [["", "deletion", "insertion"]]
        rows += [[name, f"{one['deletion']:.3f}", f"{one['insertion']:.3f}"] for name, one in report["mean"].items()]
        print(_aligned(rows) + f"\nMean areas {report['areas']}.")


def evaluate(words: list[str]) -> None:
    """score a run, each score beside what real pictures get"""
    import tyro

    def flags(
        run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")],
        weights: Literal["last", "best"] = "last",
        features: Literal["auto", "digits", "random", "inception", "dinov2"] = "auto",
        full: bool = False,
        seed: int = 0,
        greedy: bool = False,
        episodes: int | None = None,
        json: bool = False,
        offline: bool = False,
        trust: bool = False,
    ) -> None:
        """Score a run beside its floors; writes RUN/evaluation.json and the model card.

        Args:
            run: the run folder
            weights: last, or best by the score that was watched while training
            features: auto is the digit classifier for mnist and a fixed random net for everything else
            full: also a classifier trained on drawn pictures and tested on real ones; of texts LM scores; of drivers, late ones
            seed: of the first of three drawings; of an agent: other held-out episodes
            greedy: of an agent: its likeliest action is taken always, instead of being drawn
            episodes: of an agent: how many are played; otherwise what its recipe says, mostly 100
            json: print evaluation.json instead of the table
            offline: never touch the network
            trust: run the folder's own recipe.py, or an environment of somebody's own that it names
        """

    given = parse(flags, "gannet evaluate", words)
    as_json = given.pop("json", False)

    from gannet import card
    from gannet.run import evaluate

    report = evaluate(given.pop("run"), **given)
    if as_json:
        print(json.dumps(report, indent=2))
        return
    print(_aligned([["", *card.columns(report), "better", "n", ""], *card.rows_of(report)]))
    print("\n" + card.about(report))
    if classes := card.classes_of(report):
        print("\n" + _aligned(classes))


def export(words: list[str]) -> None:
    """write a run's net as ONNX, checked against torch"""
    import tyro

    def flags(
        run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")],
        out: str | None = None,
        weights: Literal["last", "best"] = "last",
        json: bool = False,
        trust: bool = False,
    ) -> None:
        """Write what plays, tells classes or people apart, finds or draws as an ONNX file, once it has given what torch gives.

        Args:
            run: the run folder
            out: the file; otherwise RUN/exported/model.onnx
            weights: last, or best by the score that was watched while training
            json: print what was written as JSON
            trust: run the folder's own recipe.py, where the run was made by somebody's own recipe
        """

    given = parse(flags, "gannet export", words)

    from gannet.export import CHECKED, to_onnx
    from gannet.run import load

    loaded = load(given["run"], weights=given["weights"], trust=given["trust"])
    made = to_onnx(loaded, given["out"])
    if given["json"]:
        print(json.dumps(asdict(made) | {"path": str(made.path)}, indent=2))
        return
    goes, comes = (", ".join(f"{name} {shape}" for name, shape in side.items()) for side in (made.inputs, made.outputs))
    print(f"{made.path}\n{goes} -> {comes}; at most {made.apart:.1g} from torch, on {CHECKED} inputs")
    times = ", ".join(f"{name} {middle:.2f} ms (99 % within {late:.2f})" for name, (middle, late) in made.milliseconds.items())
    print(f"one at a time, on one thread: {times}")


def _aligned(rows: list[list[str]]) -> str:
    """A table as lines of text."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def list_(words: list[str]) -> None:
    """show the recipes, and the runs under ./runs"""
    from gannet import folders, recipe

    def flags(json: bool = False) -> None:
        """Show the recipes, and the runs under ./runs.

        Args:
            json: as JSON
        """

    as_json = parse(flags, "gannet list", words)["json"]
    cards = [{"name": card.name, "arm": card.arm, "summary": card.summary} for card in recipe.available()]
    runs = [
        {
            "folder": str(folder),
            "recipe": record["recipe"],
            "steps": record["steps"],
            "done": folders.step_of(saved[-1]) if (saved := folders.checkpoints(folder)) else 0,
            "finished": folders.finished(folder, record),
            "begun": record["begun"],
        }
        for folder, record in folders.runs()
    ]
    if as_json:
        print(json.dumps({"recipes": cards, "runs": runs}, indent=2))
        return
    print("recipes")
    print("\n".join(f"  {card['name']:12}{card['arm']:8}{card['summary']}" for card in cards))
    print("runs" if runs else "runs        none under ./runs")
    for run in runs:
        state = "finished" if run["finished"] else f"{run['done']} of {run['steps']} steps"
        print(f"  {run['folder']:20}{run['recipe']:12}{state:20}{run['begun']}")


def data(words: list[str]) -> None:
    """list the named data sets, or get one into the cache"""
    import tyro

    from gannet.data import catalog

    def flags(
        what: tyro.conf.Positional[Literal["list", "get"]],
        name: tyro.conf.Positional[str | None] = None,
        offline: bool = False,
    ) -> None:
        """List the named data sets, or get one into the cache.

        Args:
            what: list or get
            name: which one to get
            offline: check what is cached and touch no network
        """

    given = parse(flags, "gannet data", words)
    if given["what"] == "list":
        for entry in catalog.available():
            size = sum(file.size for file in entry.files) / 1e6
            print(f"{entry.name:16}{catalog.status(entry.name):10}{size:7.1f} MB  {entry.licence:14}{entry.summary}")
        print(f"{'digits8':16}{'embedded':10}{0.0:7.1f} MB  {'CC BY 4.0':14}scikit-learn's 1,797 digits of 8x8 pixels")
        for name, kinds in (("cifar-10", 10), ("cifar-100", 100)):  # known here by name alone: no mirror has them
            lies = any((catalog.home() / "data" / name).rglob("test*.bin"))
            summary = f"60,000 colour images of 32x32 in {kinds} classes, which you put into the cache"
            print(f"{name:16}{'yours' if lies else 'absent':10}{184.4:7.1f} MB  {'unknown':14}{summary}")
        print(
            f"{'faces':16}{'drawn':10}{0.0:7.1f} MB  {'CC0':14}21,600 pictures of 1,800 people who are nobody, drawn by gannet"
        )
        print(f"{'stacked-mnist':16}{'made':10}{0.0:7.1f} MB  {'':14}three at a time of mnist in colour, 1,000 modes")
        return
    if given["name"] is None:
        raise Wrong("which data set?", try_="gannet data get mnist", usage=True)
    print(catalog.fetch(given["name"], offline=given["offline"]))


def doctor(words: list[str]) -> None:
    """tell versions, devices, threads, processes, cache and mirrors"""
    from gannet import doctor

    def flags(offline: bool = False) -> None:
        """Tell versions, devices, threads, processes really started, cache and mirrors.

        Args:
            offline: leave the mirrors alone
        """

    given = parse(flags, "gannet doctor", words)
    for topic, finding in doctor.findings(offline=given["offline"]):
        print(f"{topic:22}{finding}", flush=True)


def eject(words: list[str]) -> None:
    """write a recipe's file out for editing"""
    import tyro

    from gannet import recipe
    from gannet.files import write_text

    def flags(name: tyro.conf.Positional[str], out: str | None = None) -> None:
        """Write a recipe's file out; edit it and run `gannet train ./FILE.py`.

        Args:
            name: the recipe
            out: the file; otherwise NAME.py here
        """

    given = parse(flags, "gannet eject", words)
    card = recipe.find(given["name"])
    path = Path(given["out"] or f"{card.name}.py")
    if path.suffix != ".py":
        raise Wrong("a recipe file ends in .py", got=path, try_=f"{path}.py", usage=True)
    if path.exists():
        raise Wrong("a file is there already; nothing was written", got=path, try_="--out another.py")
    write_text(path, card.path.read_text(encoding="utf-8"))
    print(path)


VERBS: dict[str, Callable[[list[str]], None]] = {
    "train": train,
    "preflight": preflight,
    "sample": sample,
    "predict": predict,
    "explain": explain,
    "evaluate": evaluate,
    "export": export,
    "list": list_,
    "data": data,
    "doctor": doctor,
    "eject": eject,
}
