"""Who is it: two pictures compared, people enrolled from a folder, and pictures searched among them.

    gallery = enrol(run, "people")                  # a folder for each person
    gallery.save("gallery"), Gallery.load("gallery")
    search(run, gallery, ["somebody.jpg"])

Shapes: N pictures, D numbers of a vector, K people.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save as safetensors_bytes

from gannet.data.pictures import SUFFIXES, prepared, shown
from gannet.errors import Wrong
from gannet.files import check_ours, write_bytes, write_json
from gannet.run import Run

NOTE, VECTORS = "gallery.json", "gallery.safetensors"
TOP = 5


@dataclass
class Gallery:
    """People that were enrolled.

    Attributes:
        people: their names
        vectors_KD: of length 1, the mean of each person's pictures
        pictures: how many each has
        model: sha256 of what the run that made the vectors does: another run's vectors mean nothing to it
        left_out: [file, reason] for each that was not used
    """

    people: list[str]
    vectors_KD: torch.Tensor
    pictures: list[int]
    model: str
    left_out: list[list[str]]

    def save(self, folder: str | Path) -> Path:
        """Write gallery.safetensors and gallery.json.

        Raises:
            Wrong: where the folder holds other things, and nothing is written.
        """
        folder = Path(folder)
        check_ours(folder, NOTE)
        write_bytes(folder / VECTORS, safetensors_bytes({"vectors": self.vectors_KD.contiguous()}))
        note = {"people": self.people, "pictures": self.pictures, "model": self.model, "left_out": self.left_out}
        write_json(folder / NOTE, note)
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> Gallery:
        """Read one back; numbers and names, no code.

        Raises:
            Wrong: where there is none, or it is damaged.
        """
        folder = Path(folder)
        if not (folder / NOTE).is_file():
            raise Wrong("there is no gallery here", got=folder, try_="enrolling people first")
        try:
            note = json.loads((folder / NOTE).read_text(encoding="utf-8"))
            vectors_KD = read_tensors((folder / VECTORS).read_bytes())["vectors"]
            found = cls(note["people"], vectors_KD, note["pictures"], note["model"], note["left_out"])
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            raise Wrong("this gallery is damaged", got=f"{folder}: {error}") from error
        fits = vectors_KD.ndim == 2 and len(vectors_KD) == len(found.people) == len(found.pictures) > 0
        if not fits or not bool(torch.isfinite(vectors_KD).all()):
            raise Wrong("this gallery is damaged", got=folder, try_="enrolling people again")
        return found


def same(run: Run, a: str | Path, b: str | Path) -> dict[str, Any]:
    """Are two pictures of one person?

    Returns:
        {"files", "similarity" (cosine, -1 to 1), "same", "threshold", "false_accept", "false_reject", "watched_pairs"}: the
        shares of wrong answers at this threshold among people whom the run kept from training, and how many pairs of one
        person and of two these had.

    Raises:
        Wrong: for a run that tells no people apart, and for what is no picture; the line names the file.
    """
    at = kept(run)
    one_D, two_D = embedded(run, [a, b])
    similarity = float(one_D @ two_D)
    answer = {"files": [str(a), str(b)], "similarity": round(similarity, 4), "same": similarity > at["threshold"]}
    return answer | at


def enrol(run: Run, folder: str | Path) -> Gallery:
    """Everybody who has a folder in a folder, each by the mean of the vectors of their pictures.

    A picture that cannot be used stops nobody: it is named in `left_out`. Who has no usable picture stops all.

    Raises:
        Wrong: for a folder that is missing or holds no folders with pictures, and for a person without a usable picture.
    """
    kept(run)
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise Wrong("there is no such folder of people", got=folder, try_="a folder with a folder for each person")
    people, vectors, counts, left_out = [], [], [], []
    places = (path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".") and path.name != "__MACOSX")
    for place in sorted(places):
        found_in = (file for file in place.rglob("*") if file.suffix.lower() in SUFFIXES and not file.name.startswith("."))
        files = sorted(file for file in found_in if file.is_file())
        found = []
        for file in files:
            try:
                found.append(embedded(run, [file])[0])
            except Wrong as wrong:
                left_out.append([shown(str(file.relative_to(root))), str(wrong.got).removeprefix(f"{file}: ")])
        if not found:
            why = f", such as {left_out[-1][0]}: {left_out[-1][1]}" if files else ""
            raise Wrong(f"no picture of {shown(place.name)} can be used{why}", got=place, try_="one picture at least of each")
        people.append(shown(place.name))
        vectors.append(F.normalize(torch.stack(found).mean(0), dim=0))
        counts.append(len(found))
    if not people:
        raise Wrong("nobody has a folder here", got=folder, try_="a folder with a folder for each person")
    return Gallery(people, torch.stack(vectors), counts, weights_of(run), left_out)


def weights_of(run: Run) -> str:
    """sha256 of the finished nets' weights: the same on every machine, where what a net says differs in its last bits."""
    digest = hashlib.sha256()
    for net in run.nets.values():
        for name, tensor in sorted(net.state_dict().items()):
            digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def search(run: Run, gallery: Gallery, files: Sequence[str | Path], top: int = TOP) -> list[dict[str, Any]]:
    """Who of a gallery is on each picture, or nobody.

    Args:
        run: that enrolled them
        gallery: of people
        files: pictures
        top: how many of the likeliest to name

    Returns:
        for each file {"file", "person" (a name, or "nobody known"), "known", "similarity", "likeliest": [{"person",
        "similarity"}], "threshold", "false_accept", "false_reject", "watched_pairs", "false_alarm"}. Threshold and rates are
        those of a picture beside somebody known by several, as a gallery's people are. The last is what false accepts come to
        over the whole gallery, were its people independent: a stranger may be like any of them; where none was seen among the
        watched people, with the rate of which 95 % of such samples would have shown one (three in their number).

    Raises:
        Wrong: for a gallery of another run, for top < 1, and for what is no picture; the line names the file.
    """
    at = kept(run, "gallery")
    if top < 1:
        raise Wrong("at least one of the likeliest is named", got=f"top={top}", try_="top=5", usage=True)
    if gallery.model != weights_of(run) and gallery.model != run.digest():  # the second is what older galleries hold
        raise Wrong("these people were enrolled by another run, or another state of it", got=run.folder, try_="enrolling again")
    rate = at["false_accept"] or min(1.0, 3 / max(at["watched_pairs"][1], 1))
    alarm = 1 - (1 - rate) ** len(gallery.people)
    found = []
    for file, e_D in zip(files, embedded(run, files), strict=True):
        cos_K, who_K = (gallery.vectors_KD @ e_D).sort(descending=True)
        pairs = list(zip(who_K.tolist(), cos_K.tolist(), strict=True))[:top]
        likeliest = [{"person": gallery.people[k], "similarity": round(cos, 4)} for k, cos in pairs]
        known = pairs[0][1] > at["threshold"]
        person = likeliest[0]["person"] if known else "nobody known"
        answer = {"file": str(file), "person": person, "known": known, "similarity": likeliest[0]["similarity"]}
        found.append(answer | {"likeliest": likeliest} | at | {"false_alarm": round(alarm, 4)})
    return found


def kept(run: Run, of: str | None = None) -> dict[str, Any]:
    """The threshold that the run keeps, with its error rates and of how many pairs they are.

    Args:
        run: of faces
        of: "gallery": of a picture beside a person; without, of two pictures

    Raises:
        Wrong: for a run that tells no people apart, and for one that is not finished.
    """
    if not hasattr(run.objective, "embed"):
        raise Wrong("this run tells no people apart", got=run.record["recipe"], try_="gannet train faces", usage=True)
    if "threshold" not in run.record.get("trained", {}):
        raise Wrong("this run is not finished and keeps no threshold yet", got=run.folder, try_=run.record["command"])
    trained = run.record["trained"]
    if of is not None and of not in trained:
        raise Wrong("this run was finished before galleries had a threshold of their own", got=run.folder, try_="--more 1")
    found = trained if of is None else trained[of]
    return {key: found[key] for key in ("threshold", "false_accept", "false_reject", "watched_pairs")}


def embedded(run: Run, files: Sequence[str | Path]) -> torch.Tensor:
    """Vectors of picture files (N, D).

    Raises:
        Wrong: for what is no picture; the line names the file.
    """
    facts = next(iter(run.record["data"].values()))
    made = [prepared(Path(file), facts["pixels"], facts["channels"]) for file in files]
    return run.objective.embed(torch.stack(made)) if made else torch.empty(0, run.objective.size)
