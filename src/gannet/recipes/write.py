"""Write: a small Transformer learns anybody's text, and goes on with what one begins.

Arm: text
"""

from typing import Literal

from gannet.data import text
from gannet.evaluation.texts import Writing
from gannet.nets.sequence import Recurrent, TextCritic, Transformer
from gannet.objectives.language import Language
from gannet.objectives.text_gan import TextGan
from gannet.recipe import Recipe, one_cycle, two_acts


def write(
    size: Literal["tiny", "small", "base"] = "small",
    data: str = "tinyshakespeare",
    tokens: Literal["auto", "characters", "words", "bpe"] = "auto",
    documents: Literal["auto", "lines", "blank", "whole"] = "auto",
    context: int | None = None,
    net: Literal["transformer", "gru", "lstm"] = "transformer",
    dropout: float = 0.0,
    batch: int | None = None,
    rate: float = 4e-3,
    gan: Literal["off", "policy", "gumbel", "cot"] = "off",
    seed: int = 0,
) -> Recipe:
    """A language model of characters, words or pieces of words, judged on held-out text and by what it writes.

    Args:
        size: tiny for tests, small for two CPU cores, base for a GPU (only begun)
        data: tinyshakespeare, shakespeare, names, tang, song, sums, a text file, or a folder with a folder for each class
        tokens: auto is characters, but words where single Chinese characters are kept apart by spaces already
        documents: a text a line, texts with blank lines between, or one text without end
        context: tokens that are read at once, 2 or more; without, what suits the texts
        net: a Transformer, or a recurrent net as in char-rnn
        dropout: share that is dropped in training; for little text and long runs
        batch: texts per step; without, 32 (tiny: 8, base: 256), or as many as the memory that is free can hold
        rate: peak learning rate
        gan: what the last quarter of the steps is: policy gradients or relaxed choices against a critic, or cot, a mediator
        seed: of everything that is random
    """
    numbers = {"tiny": (32, 1, 2, 8, 60), "small": (128, 4, 4, 32, 3_000), "base": (512, 8, 8, 256, 20_000)}
    width, layers, heads, usual, steps = numbers[size]
    batch = batch or usual
    train, watched = text.load(data, "train", tokens=tokens, documents=documents, context=context).parted(20)
    shape = {"width": width, "layers": layers, "context": train.context, "classes": len(train.classes), "dropout": dropout}
    shape |= {"noise": 32} if gan == "gumbel" else {}
    kinds, longest = len(train.vocabulary), 500 if train.whole else train.context
    made = Transformer(kinds, heads=heads, **shape) if net == "transformer" else Recurrent(kinds, kind=net, **shape)
    words = {"longest": longest, "whole": train.whole, "rate": rate, "half_life": steps * batch / 100}
    scores = Writing(train, watched, text.load(data, "test", tokens=tokens, documents=documents, context=context))
    rest = {"examples": steps * batch, "seed": seed, "show": 6, "evaluation": scores}
    if gan == "off":
        return Recipe(train, Language(made, train.vocabulary, **words), batch, schedule=one_cycle, **rest)
    judge = {"width": width // 2, "heads": heads, "context": train.context, "classes": len(train.classes), "dropout": 0.1}
    critic = None if gan == "cot" else TextCritic(kinds, **judge)
    contest = TextGan(made, train.vocabulary, critic=critic, path=gan, warm=0.75, **words)
    return Recipe(train, contest, batch, schedule=two_acts(0.75), **rest)
